"""Verdicts from endings and results; no process is started."""

import pytest

from agents.health import Ending, judge
from steps.contract import StepError, StepResult

OK = Ending(exit_code=0, signal=None, duration_s=1.0, limit_s=60.0)


def result(status, **facts):
    return StepResult(
        run_id="r", step=5, attempt=1, status=status, headline=f"it is {status}", **facts
    )


def test_complete_result_and_exit_0_are_ok():
    verdict = judge(5, OK, result("complete"))
    assert (verdict.outcome, verdict.severity, verdict.issues) == ("complete", "ok", ())


def test_no_signal_is_a_warning():
    verdict = judge(5, OK, result("no_signal"))
    assert (verdict.outcome, verdict.severity) == ("no_signal", "warning")


@pytest.mark.parametrize("kind", ["bad_input", "usage", "out_of_memory", "internal", "blocked"])
def test_failed_result_keeps_its_kind_and_sentence(kind):
    failed = result("failed", error=StepError(kind=kind, message="because"))
    verdict = judge(5, Ending(1, None, 1.0, 60.0), failed)
    assert (verdict.outcome, verdict.message) == (kind, "because")


def test_timeout_names_the_limit():
    verdict = judge(5, Ending(None, "SIGKILL", 61.0, 3600.0, timed_out=True, killed=True), None)
    assert verdict.outcome == "timeout"
    assert "limit of 1 h" in verdict.message


def test_step_that_stops_in_good_order_at_its_limit_timed_out_all_the_same():
    ending = Ending(0, None, 61.0, 60.0, timed_out=True)
    assert judge(5, ending, result("halted")).outcome == "timeout"


def test_finished_step_that_would_not_exit_is_complete_with_a_warning():
    verdict = judge(5, Ending(None, "SIGKILL", 61.0, 60.0, timed_out=True), result("complete"))
    assert verdict.outcome == "complete"
    assert [issue.code for issue in verdict.issues] == ["late_exit"]


@pytest.mark.parametrize(
    ("asked_to", "outcome"), [("halt", "halted"), ("interrupt", "interrupted")]
)
def test_step_that_dies_of_the_request_to_stop_was_stopped_not_broken(asked_to, outcome):
    ending = Ending(None, "SIGTERM", 1.0, 60.0, asked_to=asked_to)
    assert judge(5, ending, None).outcome == outcome


def test_step_that_finishes_although_asked_to_stop_is_complete():
    ending = Ending(0, None, 1.0, 60.0, asked_to="halt")
    assert judge(5, ending, result("complete")).outcome == "complete"


def test_signal_without_result_is_a_crash_that_names_it():
    verdict = judge(5, Ending(None, "SIGSEGV", 1.0, 60.0), None)
    assert verdict.outcome == "crash"
    assert "SIGSEGV" in verdict.message


def test_exit_without_result_is_internal():
    verdict = judge(5, Ending(3, None, 1.0, 60.0), None)
    assert verdict.outcome == "internal"
    assert "exit code 3 and wrote no result" in verdict.message


def test_unreadable_result_is_not_taken():
    verdict = judge(5, OK, None, "result.json: it is of another run")
    assert verdict.outcome == "bad_result"
    assert "of another run" in verdict.message


def test_missing_output_of_a_complete_result_is_critical():
    verdict = judge(5, OK, result("complete"), None, ["model.txt is not there"])
    assert (verdict.outcome, verdict.severity) == ("bad_result", "critical")
