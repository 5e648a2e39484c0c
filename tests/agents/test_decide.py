"""Decisions from verdicts, budgets and rules; nothing is run."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agents.bounds import Bound, check_value
from agents.decide import Decision, Retry, Tried, decide
from agents.errors import LedgerError
from agents.health import Verdict
from agents.remedies import Change
from steps.contract import ExitCode
from steps.policies import RetriesPolicy

BOUNDS = {
    "trials": TypeAdapter(Bound).validate_python(
        {"type": "integer", "min": 1, "max": 200, "default": 20}
    ),
    "leaky": TypeAdapter(Bound).validate_python({"type": "boolean", "default": False}),
}
PARAMETERS = {"trials": 20, "leaky": False}
HALVE = {"finding": "timeout", "parameter": "trials", "multiply": 0.5}
LEAKY = {"finding": "dead_units", "parameter": "leaky", "set": True}
AMPLE = {"bug": 20, "memory": 20, "timeout": 20, "health": 20}

BUDGET_OF = {
    "internal": "bug",
    "crash": "bug",
    "bad_result": "bug",
    "out_of_memory": "memory",
    "timeout": "timeout",
    "unhealthy": "health",
}


def policy(**keys):
    defaults = {"max_per_step": 3, "max_per_run": 4, "backoff_s": 5, "remedies": [HALVE, LEAKY]}
    return RetriesPolicy.model_validate({"budgets": AMPLE, **defaults, **keys})


def verdict(outcome, *codes):
    return Verdict(outcome, "critical", "it happened", findings=(outcome, *codes))


def ask(outcome, *codes, tried=(), step=5, parameters=PARAMETERS, **keys):
    return decide(
        verdict(outcome, *codes), step, Tried(tuple(tried)), policy(**keys), parameters, BOUNDS
    )


def retry(outcome, step=5, change=None):
    return Retry(step=step, outcome=outcome, budget=BUDGET_OF[outcome], change=change)


def halved(step=5):
    decision = ask("timeout", step=step)
    return decision.retry


def test_complete_goes_on():
    decision = ask("complete")
    assert (decision.action, decision.exit_code) == ("next", ExitCode.DONE)


def test_no_signal_of_training_goes_on():
    assert ask("no_signal").action == "next"


def test_no_signal_of_prediction_is_a_refusal():
    decision = ask("no_signal", step=6)
    assert (decision.action, decision.exit_code) == ("stop", ExitCode.NO_SIGNAL)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("bad_input", ExitCode.STEP_FAILED),
        ("usage", ExitCode.USAGE),
        ("blocked", ExitCode.HALTED),
        ("halted", ExitCode.HALTED),
        ("interrupted", ExitCode.INTERRUPTED),
    ],
)
@pytest.mark.parametrize("when_used_up", ["fail", "ask"])
def test_what_would_end_alike_is_never_retried(outcome, code, when_used_up):
    # Not even with a rule for it.
    rule = {"finding": outcome, "parameter": "trials", "multiply": 0.5}
    decision = ask(outcome, remedies=[rule], when_used_up=when_used_up)
    assert (decision.action, decision.exit_code, decision.retry) == ("stop", code, None)


@pytest.mark.parametrize("outcome", ["internal", "out_of_memory", "crash", "bad_result"])
def test_what_may_pass_is_retried_with_the_same_parameters(outcome):
    decision = ask(outcome)
    assert (decision.action, decision.changes) == ("retry", {})
    assert decision.retry == retry(outcome)
    assert decision.reason == "it happened; retry 1 of 3 with the same parameters"


def test_timeout_is_retried_with_what_its_rule_changes():
    decision = ask("timeout")
    assert (decision.action, decision.changes) == ("retry", {"trials": 10})
    assert decision.retry.budget == "timeout"
    assert json.loads(decision.retry.rule_key) == HALVE
    assert decision.reason == ("it happened; retry 1 of 3 with timeout: trials 10 instead of 20")


def test_failed_step_is_retried_with_what_a_finding_of_its_families_asks_for():
    decision = ask("internal", "dead_units")
    assert (decision.changes, decision.retry.budget) == ({"leaky": True}, "bug")


def test_retry_changes_one_parameter_only():
    decision = ask("timeout", "dead_units")
    assert decision.changes == {"trials": 10}


def test_timeout_whose_rule_is_used_is_retried_with_the_same_parameters():
    decision = ask("timeout", tried=[halved()], parameters=PARAMETERS | {"trials": 10})
    assert (decision.action, decision.changes) == ("retry", {})
    assert decision.passed_over == ("timeout: trials x 0.5: was used in this run",)


def test_rule_that_another_step_has_used_is_used():
    assert ask("timeout", tried=[halved(step=3)]).changes == {}


def test_unhealthy_winner_is_retried_with_a_change():
    decision = ask("unhealthy", "dead_units")
    assert (decision.action, decision.changes) == ("retry", {"leaky": True})
    assert decision.retry.budget == "health"


def test_unhealthy_winner_for_which_no_rule_is_known_stops_at_once():
    decision = ask("unhealthy", "bored")
    assert (decision.action, decision.exit_code) == ("stop", ExitCode.STEP_FAILED)
    assert decision.reason == (
        "it happened; given up: no rule of retries.remedies applies "
        "(none answers unhealthy, bored); tried: nothing else was tried"
    )


def test_unhealthy_winner_whose_rule_changes_nothing_stops_and_says_so():
    decision = ask("unhealthy", "dead_units", parameters=PARAMETERS | {"leaky": True})
    assert decision.action == "stop"
    assert "(dead_units: leaky = true: leaky is true and would stay so)" in decision.reason
    assert decision.passed_over == ("dead_units: leaky = true: leaky is true and would stay so",)


def test_pause_doubles_with_each_retry_of_the_step_up_to_an_hour():
    keys = {"max_per_step": 20, "max_per_run": 20}
    made = [[retry("crash", step=3), *[retry("crash")] * n] for n in (0, 1, 2, 12)]
    assert [ask("crash", tried=tried, **keys).wait_s for tried in made] == [5, 10, 20, 3600]


@pytest.mark.parametrize("outcome", list(BUDGET_OF))
def test_budget_of_its_kind_ends_the_retries(outcome):
    budget = BUDGET_OF[outcome]
    keys = {"budgets": {**AMPLE, budget: 1}}
    codes = ["dead_units"] if outcome == "unhealthy" else []
    assert ask(outcome, *codes, **keys).action == "retry"
    decision = ask(outcome, *codes, tried=[retry(outcome)], **keys)
    assert decision.action == "stop"
    assert f"given up: retries.budgets.{budget} is 1; tried:" in decision.reason


def test_retries_of_another_kind_or_step_leave_a_budget_as_it_is():
    made = [retry("crash"), retry("timeout", step=3)]
    assert ask("timeout", tried=made, budgets={**AMPLE, "timeout": 1}).action == "retry"


def test_limit_of_the_step_holds_over_all_kinds():
    made = [retry("crash"), retry("timeout"), retry("out_of_memory")]
    decision = ask("unhealthy", "dead_units", tried=made)
    assert (decision.action, decision.exit_code) == ("stop", ExitCode.STEP_FAILED)
    assert "given up: retries.max_per_step is 3;" in decision.reason


def test_limit_of_the_run_holds_over_all_steps():
    made = [retry("crash", step=step) for step in (1, 2, 3, 4)]
    decision = ask("timeout", tried=made)
    assert (decision.action, decision.exit_code) == ("stop", ExitCode.TIMEOUT)
    assert "given up: retries.max_per_run is 4;" in decision.reason


def test_every_budget_that_is_used_up_is_named():
    keys = {"budgets": {**AMPLE, "bug": 0}, "max_per_step": 0, "max_per_run": 0}
    assert (
        "given up: retries.budgets.bug is 0 and retries.max_per_step is 0 and "
        "retries.max_per_run is 0; tried: nothing else was tried"
    ) in ask("crash", **keys).reason


@pytest.mark.parametrize(
    ("outcome", "when_used_up", "code"),
    [
        ("timeout", "fail", ExitCode.TIMEOUT),
        ("crash", "fail", ExitCode.STEP_FAILED),
        ("unhealthy", "fail", ExitCode.STEP_FAILED),
        ("timeout", "ask", ExitCode.WAITING_FOR_APPROVAL),
        ("crash", "ask", ExitCode.WAITING_FOR_APPROVAL),
        ("unhealthy", "ask", ExitCode.WAITING_FOR_APPROVAL),
    ],
)
@pytest.mark.parametrize("max_per_step", [0, 3])  # 3: an unhealthy winner without a rule
def test_exit_code_when_there_is_nothing_left_to_try(outcome, when_used_up, code, max_per_step):
    budgets = AMPLE if outcome == "unhealthy" else {**AMPLE, BUDGET_OF[outcome]: 0}
    decision = ask(outcome, budgets=budgets, max_per_step=max_per_step, when_used_up=when_used_up)
    assert (decision.action, decision.exit_code) == ("stop", code)
    assert ("a person decides" in decision.reason) == (when_used_up == "ask")


def test_last_reason_tells_all_that_was_tried_in_order():
    made = [retry("crash", step=3), halved(), retry("out_of_memory")]
    assert ask("timeout", tried=made, budgets={**AMPLE, "timeout": 1}).reason == (
        "it happened; given up: retries.budgets.timeout is 1; "
        "tried: step 3 after crash, with the same parameters; "
        "step 5 after timeout, with timeout: trials 10 instead of 20; "
        "step 5 after out_of_memory, with the same parameters"
    )


def test_tried_grows_by_retries_only():
    tried = Tried()
    for decision in (ask("complete"), ask("bad_input"), Decision("skip", "it is fresh")):
        assert tried.after(decision) == Tried()
    assert tried.after(ask("timeout")).retries == (halved(),)


def test_tried_knows_counts_rules_changes_and_story():
    first = Change(rule_key="a", parameter="trials", before=20, after=10, because="w1")
    second = Change(rule_key="b", parameter="trials", before=10, after=5, because="w2")
    other = Change(rule_key="c", parameter="leaky", before=False, after=True, because="w3")
    tried = Tried(
        (
            retry("timeout", change=first),
            retry("crash"),
            retry("timeout", change=second),
            retry("unhealthy", step=3, change=other),
        )
    )
    assert (tried.count(5, "timeout"), tried.count(5, "bug"), tried.count(3, "bug")) == (2, 1, 0)
    assert tried.rule_keys == {"a", "b", "c"}
    assert tried.changes(5) == {"trials": 5}
    assert tried.changes(3) == {"leaky": True}
    assert tried.changes(4) == {}
    assert len(tried.story) == 4


def row(decision, step=5, parse=False):
    evidence = {"outcome": "x", **decision.evidence()}
    return {
        "step": step,
        "action": decision.action,
        "evidence": evidence if parse else json.dumps(evidence),
    }


@pytest.mark.parametrize("parse", [True, False])
def test_tried_is_made_again_from_the_rows_of_the_ledger(parse):
    decisions = [ask("timeout"), ask("complete"), ask("crash"), ask("unhealthy", "dead_units")]
    tried = Tried()
    for decision in decisions:
        tried = tried.after(decision)
    rows = [row(decision, parse=parse) for decision in decisions]
    assert Tried.from_rows(rows) == tried
    assert len(tried.retries) == 3


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ("{}", "must have evidence.retry, got '{}'"),
        ("{", "must have evidence.retry"),
        ("[]", "must have evidence.retry"),
        ('{"retry": {"step": 5}}', "evidence.retry: outcome: Field required"),
        (
            '{"retry": {"step": 4, "outcome": "crash", "budget": "bug"}}',
            "evidence.retry.step: must be that step, got 4",
        ),
    ],
)
def test_row_that_does_not_say_what_was_retried_is_an_error(evidence, message):
    with pytest.raises(LedgerError, match="the decision to retry step 5") as caught:
        Tried.from_rows([{"step": 5, "action": "retry", "evidence": evidence}])
    assert message in str(caught.value)


outcomes = st.sampled_from([*BUDGET_OF, "complete", "bad_input"])
counts = st.integers(0, 4)
events = st.tuples(st.integers(1, 3), outcomes, st.sampled_from([(), ("dead_units",)]))
policies = st.builds(
    policy,
    max_per_step=counts,
    max_per_run=st.integers(0, 8),
    budgets=st.fixed_dictionaries(dict.fromkeys(AMPLE, counts)),
    remedies=st.permutations([HALVE, LEAKY, {**HALVE, "multiply": 0.25}]).map(lambda r: r[:2]),
)


@given(policies, st.lists(events, max_size=40))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_retries_stay_within_every_budget_whatever_happens(rules, happened):
    tried = Tried()
    values = {step: dict(PARAMETERS) for step in (1, 2, 3)}
    for step, outcome, codes in happened:
        decision = decide(verdict(outcome, *codes), step, tried, rules, values[step], BOUNDS)
        assert (decision.action == "retry") == (decision.retry is not None)
        tried = tried.after(decision)
        values[step] |= decision.changes
    assert len(tried.retries) <= rules.max_per_run
    for step in (1, 2, 3):
        assert len(tried.of_step(step)) <= rules.max_per_step
        for budget in AMPLE:
            assert tried.count(step, budget) <= getattr(rules.budgets, budget)
        for name, value in values[step].items():
            assert check_value(name, BOUNDS[name], value) == value
        assert values[step] == PARAMETERS | tried.changes(step)
    keys = [made.rule_key for made in tried.retries if made.rule_key]
    assert len(keys) == len(set(keys))
