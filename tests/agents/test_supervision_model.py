"""Judge, decide and the ledger together, through random nights, against a simple model of them.

A night: attempts end in every way, people edit the policy, halt and resume, the watcher is killed
in the middle of an attempt, after it, and between runs. The model knows the rules as one-line
functions and counts on its own; after every event the ledger must hold what the model holds, and
what a new process makes of the ledger must be what the old one knew.
"""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agents.bounds import check_value
from agents.decide import Decision, Tried, decide
from agents.health import Ending, judge
from agents.ledger import Ledger
from agents.manifests import Manifest
from agents.parameters import Given, Parameter, changed, merge_params
from agents.remedies import rule_key
from steps.contract import ExitCode, FamilyResult, Note, StepError, StepResult
from steps.policies import Remedy, RetriesPolicy

_TRIALS = {"type": "integer", "min": 1, "max": 200, "default": 20}
_SLOTS = {"type": "integer", "min": 0, "max": 64, "default": 0}
_LEAKY = {"type": "boolean", "default": False}
_PATIENCE = {"type": "integer", "min": 1, "max": 12, "default": 10}


def _manifest(step: int, **bounds: Any) -> Manifest:
    return Manifest.model_validate(
        {
            "step": step,
            "agent_name": f"agent{step}",
            "module": f"steps.step{step}",
            "parameter_bounds": bounds,
        }
    )


MANIFESTS = {
    3: _manifest(3, trials=_TRIALS, slots=_SLOTS),
    5: _manifest(5, trials=_TRIALS, slots=_SLOTS, leaky=_LEAKY, patience=_PATIENCE),
}
STEPS = tuple(MANIFESTS)


@dataclass(frozen=True)
class Known:
    """A rule as the policy says it, and as the model knows it."""

    remedy: Remedy
    new_value: Callable[[Any], Any]


def _known(new_value: Callable[[Any], Any], **facts: Any) -> Known:
    return Known(Remedy(**facts), new_value)


MENU = (
    _known(lambda v: max(1, v // 2), finding="timeout", parameter="trials", multiply=0.5),
    _known(lambda v: max(1, v // 4), finding="timeout", parameter="trials", multiply=0.25),
    _known(lambda v: 1, finding="timeout", parameter="trials", set=1, step=5),
    _known(
        lambda v: max(1, (v or 8) // 2),
        finding="out_of_memory",
        parameter="slots",
        multiply=0.5,
        when_unset=8,
    ),
    _known(lambda v: max(1, v - 9), finding="out_of_memory", parameter="trials", add=-9, step=3),
    _known(lambda v: True, finding="dead_units", parameter="leaky", set=True),
    _known(lambda v: min(12, v + 5), finding="diverged", parameter="patience", add=5),
    _known(lambda v: max(1, v - 1), finding="unhealthy", parameter="trials", add=-1),
    _known(lambda v: v, finding="internal", parameter="trials", multiply=1),
    _known(lambda v: 3, finding="crash", parameter="slots", set=3),
)
BUDGET_OF = {
    "internal": "bug",
    "crash": "bug",
    "bad_result": "bug",
    "out_of_memory": "memory",
    "timeout": "timeout",
    "unhealthy": "health",
}


@dataclass(frozen=True)
class Happening:
    """How an attempt ends, and what the verdict on it must be."""

    ending: Ending
    outcome: str
    status: str | None = None
    codes: tuple[str, ...] = ()
    error: str | None = None
    missing: tuple[str, ...] = ()

    def result(self, run_id: str, step: int, attempt: int) -> StepResult | None:
        if self.status is None:
            return None
        notes = tuple(Note(level="critical", code=code, message="m") for code in self.codes)
        severity = "critical" if notes else "ok"
        error = StepError(kind=self.error, message="because") if self.error else None
        return StepResult(
            run_id=run_id,
            step=step,
            attempt=attempt,
            status=self.status,
            headline="it ended",
            families={"xgboost": FamilyResult(status="complete", severity=severity, notes=notes)},
            winner="xgboost" if self.status == "complete" else None,
            error=error,
        )


_FINE = Ending(0, None, 1.0, 60.0)
_FAILED = Ending(1, None, 1.0, 60.0)
GOOD = (Happening(_FINE, "complete", "complete"),)
TROUBLES = (
    Happening(_FINE, "unhealthy", "complete", ("dead_units",)),
    Happening(_FINE, "unhealthy", "complete", ("diverged", "dead_units")),
    Happening(_FINE, "unhealthy", "complete", ("unheard_of",)),
    Happening(_FINE, "bad_result", "complete", missing=("model.txt is not there",)),
    Happening(_FAILED, "internal", "failed", ("diverged",), "internal"),
    Happening(_FAILED, "out_of_memory", "failed", (), "out_of_memory"),
    Happening(Ending(None, "SIGSEGV", 1.0, 60.0), "crash"),
    Happening(Ending(None, "SIGKILL", 61.0, 60.0, timed_out=True, killed=True), "timeout"),
    Happening(Ending(0, None, 61.0, 60.0, timed_out=True), "timeout", "halted", ("diverged",)),
)
ENDS = (
    Happening(_FAILED, "bad_input", "failed", (), "bad_input"),
    Happening(Ending(0, None, 1.0, 60.0, asked_to="halt"), "halted", "halted"),
    Happening(Ending(None, "SIGTERM", 1.0, 60.0, asked_to="interrupt"), "interrupted"),
)
HAPPENINGS = (*TROUBLES, *GOOD, *ENDS)
LEAVES_OFF = {"halted": "halted", "interrupted": "interrupted", "bad_input": "failed"}

budgets = ("bug", "memory", "timeout", "health")
orders = st.permutations(range(len(MENU))).map(lambda order: order[:8])
ample = {
    "max_per_step": st.just(4),
    "max_per_run": st.just(6),
    "budgets": st.fixed_dictionaries(dict.fromkeys(budgets, st.integers(1, 3))),
}
tight = {
    "max_per_step": st.integers(0, 4),
    "max_per_run": st.integers(0, 6),
    "budgets": st.fixed_dictionaries(dict.fromkeys(budgets, st.integers(0, 4))),
}
others = {"remedies": orders, "when_used_up": st.sampled_from(["fail", "ask"])}
policies = st.fixed_dictionaries(ample | others) | st.fixed_dictionaries(tight | others)


@dataclass
class Model:
    """One run as plainly as can be."""

    run_id: str
    state: str = "running"
    position: int = 0
    values: dict[int, dict[str, Any]] = field(
        default_factory=lambda: {
            step: {name: bound.default for name, bound in manifest.parameter_bounds.items()}
            for step, manifest in MANIFESTS.items()
        }
    )
    attempts: list[tuple[int, int]] = field(default_factory=list)
    rows: list[tuple[int, int, str, dict[str, Any], str | None, str | None]] = field(
        default_factory=list
    )
    retries: Counter[tuple[int, str]] = field(default_factory=Counter)
    used: list[int] = field(default_factory=list)

    @property
    def step(self) -> int:
        return STEPS[self.position]

    @property
    def attempt(self) -> int:
        """The number of the step's next attempt."""
        return 1 + sum(step == self.step for step, _ in self.attempts)

    def rule_for(self, findings: tuple[str, ...], order: list[int]) -> int | None:
        for index in order:
            remedy, values = MENU[index].remedy, self.values[self.step]
            if (
                remedy.finding in findings
                and remedy.step in {None, self.step}
                and index not in self.used
                and remedy.parameter in values
                and MENU[index].new_value(values[remedy.parameter]) != values[remedy.parameter]
            ):
                return index
        return None

    def has_budget(self, budget: str, policy: dict[str, Any]) -> bool:
        of_step = sum(n for (step, _), n in self.retries.items() if step == self.step)
        return (
            self.retries[self.step, budget] < policy["budgets"][budget]
            and of_step < policy["max_per_step"]
            and self.retries.total() < policy["max_per_run"]
        )

    def decided(self, happened: Happening, policy: dict[str, Any]) -> str:
        """What must be decided; remembers it. Returns the action."""
        step, attempt = self.attempts[-1]
        budget = BUDGET_OF.get(happened.outcome)
        if happened.outcome == "complete":
            self.moved_on(attempt, "next")
            return "next"
        if budget is None or not self.has_budget(budget, policy):
            return self.stopped(happened, policy)
        index = self.rule_for((happened.outcome, *happened.codes), policy["remedies"])
        if index is None and budget == "health":
            return self.stopped(happened, policy)
        changes, key = {}, None
        if index is not None:
            remedy = MENU[index].remedy
            key = rule_key(remedy)
            changes = {remedy.parameter: MENU[index].new_value(self.values[step][remedy.parameter])}
            self.values[step] |= changes
            self.used.append(index)
        self.retries[step, budget] += 1
        self.rows.append((step, attempt, "retry", changes, budget, key))
        return "retry"

    def stopped(self, happened: Happening, policy: dict[str, Any]) -> str:
        self.rows.append((*self.attempts[-1], "stop", {}, None, None))
        used_up = "waiting" if policy["when_used_up"] == "ask" else "failed"
        self.state = LEAVES_OFF.get(happened.outcome, used_up)
        return "stop"

    def moved_on(self, attempt: int, action: str) -> None:
        self.rows.append((self.step, attempt, action, {}, None, None))
        self.position += 1
        if self.position == len(STEPS):
            self.state = "complete"


def _now() -> datetime:
    return datetime(2026, 11, 22, 2, 3, 18, tzinfo=UTC)


def _state_of(code: ExitCode) -> str:
    match code:
        case ExitCode.DONE:
            return "complete"
        case ExitCode.HALTED:
            return "halted"
        case ExitCode.INTERRUPTED:
            return "interrupted"
        case ExitCode.WAITING_FOR_APPROVAL:
            return "waiting"
        case _:
            return "failed"


class Night(RuleBasedStateMachine):
    """What the watcher does with what happens, and the model beside it."""

    @initialize(policy=policies)
    def begin(self, policy: dict[str, Any]) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.sqlite"
        self.runs: list[Model] = []
        self.edit_policy(policy)
        self.ledger = Ledger.create(self.path, _now)
        self.start()

    def start(self) -> None:
        self.model = Model(f"r{len(self.runs)}")
        self.runs.append(self.model)
        self.ledger.run_started(self.model.run_id, "pipeline", {}, "{}", "0")
        self.tried = Tried()
        self.parameters: dict[int, tuple[Parameter, ...]] = {
            step: merge_params(manifest, Given({})) for step, manifest in MANIFESTS.items()
        }

    @rule(policy=policies)
    def edit_policy(self, policy: dict[str, Any]) -> None:
        self.said = policy
        remedies = [MENU[index].remedy for index in policy["remedies"]]
        self.policy = RetriesPolicy.model_validate({**policy, "remedies": remedies})

    def running(self) -> bool:
        return self.model.state == "running"

    def stopped(self) -> bool:
        return self.model.state not in {"running", "complete"}

    def over(self) -> bool:
        return self.model.state != "running"

    @precondition(running)
    @rule(troubles=st.lists(st.sampled_from(TROUBLES), min_size=3, max_size=9))
    def have_a_bad_hour(self, troubles: list[Happening]) -> None:
        for happened in troubles:
            if self.running():
                self.attempt(happened)

    @precondition(running)
    @rule(happened=st.sampled_from(HAPPENINGS))
    def have_one_attempt(self, happened: Happening) -> None:
        self.attempt(happened)

    def attempt(self, happened: Happening) -> None:
        step, attempt_id, number = self.begin_attempt()
        result = happened.result(self.model.run_id, step, number)
        verdict = judge(step, happened.ending, result, None, happened.missing)
        assert verdict.outcome == happened.outcome
        self.ledger.attempt_ended(attempt_id, happened.ending, verdict, result)
        values = {parameter.name: parameter.value for parameter in self.parameters[step]}
        decision = decide(
            verdict, step, self.tried, self.policy, values, MANIFESTS[step].parameter_bounds
        )
        assert decision.action == self.model.decided(happened, self.said), decision.reason
        self.record(step, number, decision)

    @precondition(lambda self: self.running() and self.model.attempts and self.model.attempt == 1)
    @rule()
    def skip(self) -> None:
        step, number = self.model.step, self.model.attempt
        self.model.moved_on(number, "skip")
        self.record(step, number, Decision("skip", "it is fresh"))

    @precondition(running)
    @rule(
        when=st.sampled_from(["between attempts", "in an attempt", "before the decision"]),
        happened=st.sampled_from(HAPPENINGS),
    )
    def kill(self, when: str, happened: Happening) -> None:
        """The watcher dies; a new one goes on."""
        if when != "between attempts":
            step, attempt_id, number = self.begin_attempt()
            if when == "before the decision":
                result = happened.result(self.model.run_id, step, number)
                verdict = judge(step, happened.ending, result, None, happened.missing)
                self.ledger.attempt_ended(attempt_id, happened.ending, verdict, result)
        self.close()
        self.ledger = Ledger.create(self.path, _now)
        self.go_on()

    @precondition(stopped)
    @rule()
    def resume(self) -> None:
        self.go_on()

    @precondition(over)
    @rule()
    def run_again(self) -> None:
        """Another run: every rule and every budget is new."""
        self.start()

    def go_on(self) -> None:
        """With the same run, from the ledger alone."""
        run_id = self.model.run_id
        self.ledger.run_resumed(run_id, "{}")
        tried = Tried.from_rows(self.ledger.decisions(run_id))
        assert tried == self.tried
        for step, manifest in MANIFESTS.items():
            again = changed(merge_params(manifest, Given({})), tried.changes(step))
            assert again == self.parameters[step]
        self.tried = tried
        self.model.state = "running"

    def begin_attempt(self) -> tuple[int, int, int]:
        step, number = self.model.step, self.model.attempt
        self.model.attempts.append((step, number))
        attempt_id = self.ledger.attempt_started(
            self.model.run_id,
            step,
            number,
            agent_name=MANIFESTS[step].agent_name,
            title="",
            module=MANIFESTS[step].module,
            out_dir="",
            limit_s=60.0,
            parameters=self.parameters[step],
        )
        return step, attempt_id, number

    def record(self, step: int, number: int, decision: Decision) -> None:
        run_id = self.model.run_id
        self.ledger.decided(run_id, step, number, decision, decision.evidence())
        self.tried = self.tried.after(decision)
        self.parameters[step] = changed(self.parameters[step], decision.changes)
        ends = self.model.state == "complete" or decision.action == "stop"
        if ends:
            state = _state_of(decision.exit_code)
            self.ledger.run_ended(run_id, state, decision.exit_code, decision.reason)
            assert state == self.model.state

    @invariant()
    def the_ledger_holds_what_the_model_holds(self) -> None:
        with Ledger.read(self.path, _now) as ledger:
            for model in self.runs[-2:]:
                run_id = model.run_id
                attempts = [(row["step"], row["attempt"]) for row in ledger.attempts(run_id)]
                assert attempts == model.attempts
                rows = ledger.decisions(run_id)
                shown = [(row["step"], row["attempt"], row["action"]) for row in rows]
                assert shown == [row[:3] for row in model.rows]
                retries = Tried.from_rows(rows).retries
                wanted = [row for row in model.rows if row[2] == "retry"]
                assert [(r.step, r.budget, r.rule_key) for r in retries] == [
                    (step, budget, key) for step, _, _, _, budget, key in wanted
                ]
                assert ledger.run(run_id)["state"] == model.state

    @invariant()
    def values_are_what_the_model_says_and_inside_the_bounds(self) -> None:
        for step, parameters in self.parameters.items():
            values = {parameter.name: parameter.value for parameter in parameters}
            assert values == self.model.values[step]
            for name, bound in MANIFESTS[step].parameter_bounds.items():
                assert check_value(name, bound, values[name]) == values[name]

    @invariant()
    def no_rule_is_used_twice_in_a_run(self) -> None:
        keys = [retry.rule_key for retry in self.tried.retries if retry.rule_key]
        assert len(keys) == len(set(keys)) == len(self.model.used)

    @invariant()
    def retries_stay_within_the_loosest_policy_there_can_be(self) -> None:
        assert len(self.tried.retries) <= 6
        for step in STEPS:
            assert len(self.tried.of_step(step)) <= 4

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.close()
            self.folder.cleanup()

    def close(self) -> None:
        self.ledger.__exit__(None, None, None)


TestNight = Night.TestCase
TestNight.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True
)
