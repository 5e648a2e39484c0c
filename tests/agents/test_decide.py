"""Decisions from verdicts and budgets; nothing is run."""

import pytest

from agents.decide import decide
from agents.health import Verdict
from steps.contract import ExitCode
from steps.policies import RetriesPolicy

POLICY = RetriesPolicy(max_per_step=3, max_per_run=4, backoff_s=5)


def verdict(outcome):
    return Verdict(outcome, "critical", "it happened")


def test_complete_goes_on():
    decision = decide(verdict("complete"), 5, 0, 0, POLICY)
    assert (decision.action, decision.exit_code) == ("next", ExitCode.DONE)


def test_no_signal_of_training_goes_on():
    assert decide(verdict("no_signal"), 5, 0, 0, POLICY).action == "next"


def test_no_signal_of_prediction_is_a_refusal():
    decision = decide(verdict("no_signal"), 6, 0, 0, POLICY)
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
def test_what_would_end_alike_is_never_retried(outcome, code):
    decision = decide(verdict(outcome), 5, 0, 0, POLICY)
    assert (decision.action, decision.exit_code) == ("stop", code)


@pytest.mark.parametrize("outcome", ["internal", "out_of_memory", "timeout", "crash", "bad_result"])
def test_what_may_pass_is_retried(outcome):
    assert decide(verdict(outcome), 5, 0, 0, POLICY).action == "retry"


def test_pause_doubles_with_each_retry():
    waits = [decide(verdict("crash"), 5, retries, 0, POLICY).wait_s for retries in range(3)]
    assert waits == [5, 10, 20]


def test_limit_of_the_step_ends_the_retries():
    decision = decide(verdict("crash"), 5, 3, 3, POLICY)
    assert (decision.action, decision.exit_code) == ("stop", ExitCode.STEP_FAILED)


def test_limit_of_the_run_ends_the_retries():
    decision = decide(verdict("timeout"), 5, 0, 4, POLICY)
    assert (decision.action, decision.exit_code) == ("stop", ExitCode.TIMEOUT)
