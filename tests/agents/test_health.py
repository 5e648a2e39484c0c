"""Verdicts from endings and results; no process is started."""

import pytest

from agents.health import Ending, judge
from steps.contract import FamilyResult, Note, StepError, StepResult

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


def critical(*codes):
    return tuple(Note(level="critical", code=code, message=f"it has {code}") for code in codes)


def family(severity, *codes, **facts):
    return FamilyResult(status="complete", severity=severity, notes=critical(*codes), **facts)


def test_complete_step_whose_winner_is_critical_is_unhealthy_and_says_why():
    families = {"neural_net": family("critical", "dead_units"), "xgboost": family("ok")}
    verdict = judge(5, OK, result("complete", families=families, winner="neural_net"))
    assert (verdict.outcome, verdict.severity) == ("unhealthy", "critical")
    assert "winner neural_net is not healthy: it has dead_units" in verdict.message
    assert verdict.findings == ("unhealthy", "dead_units")
    assert [issue.code for issue in verdict.issues] == ["dead_units"]


def test_critical_loser_warns_and_does_not_stop_a_healthy_winner():
    families = {"neural_net": family("critical", "dead_units"), "xgboost": family("ok")}
    verdict = judge(5, OK, result("complete", families=families, winner="xgboost"))
    assert (verdict.outcome, verdict.severity) == ("complete", "warning")
    assert [issue.code for issue in verdict.issues] == ["family_critical"]
    assert "neural_net, which did not win, is not healthy" in verdict.issues[0].message
    assert verdict.findings == ()


@pytest.mark.parametrize("severity", ["ok", "warning"])
def test_winner_that_is_not_critical_is_complete(severity):
    families = {"neural_net": family(severity)}
    verdict = judge(5, OK, result("complete", families=families, winner="neural_net"))
    assert (verdict.outcome, verdict.findings) == ("complete", ())


@pytest.mark.parametrize("families", [{}, {"xgboost": family("critical")}])
def test_winner_of_which_nothing_is_said_is_not_called_unhealthy(families):
    verdict = judge(5, OK, result("complete", families=families, winner="neural_net"))
    assert verdict.outcome == "complete"


def test_critical_winner_without_notes_is_unhealthy_and_says_that_it_does_not_say_why():
    families = {"xgboost": family("critical")}
    verdict = judge(5, OK, result("complete", families=families, winner="xgboost"))
    assert verdict.findings == ("unhealthy",)
    assert "it does not say why" in verdict.message


def test_no_signal_with_a_critical_family_stays_no_signal():
    families = {"xgboost": family("critical", "diverged")}
    verdict = judge(5, OK, result("no_signal", families=families))
    assert verdict.outcome == "no_signal"
    assert [issue.code for issue in verdict.issues] == ["family_critical"]
    assert verdict.findings == ("diverged",)


def test_findings_are_the_outcome_then_the_winners_notes_then_the_results_without_doubles():
    families = {
        "neural_net": family("critical", "diverged", "dead_units", "diverged"),
        "xgboost": family("critical", "of_the_loser"),
    }
    said = result(
        "complete",
        families=families,
        winner="neural_net",
        notes=(*critical("leak", "dead_units"), Note(level="warning", code="old", message="m")),
    )
    assert judge(5, OK, said).findings == ("unhealthy", "diverged", "dead_units", "leak")


def test_failed_step_brings_the_critical_notes_of_all_its_families():
    lost = FamilyResult(status="failed", severity="critical", error="x", notes=critical("diverged"))
    failed = result(
        "failed",
        families={"neural_net": lost, "xgboost": family("warning")},
        error=StepError(kind="internal", message="no family has a model"),
    )
    verdict = judge(5, Ending(1, None, 1.0, 60.0), failed)
    assert verdict.findings == ("internal", "diverged")


@pytest.mark.parametrize(
    ("ending", "said", "findings"),
    [
        (Ending(None, "SIGKILL", 61.0, 60.0, timed_out=True), None, ("timeout",)),
        (Ending(None, "SIGSEGV", 1.0, 60.0), None, ("crash",)),
        (Ending(None, "SIGTERM", 1.0, 60.0, asked_to="halt"), None, ("halted",)),
        (OK, result("complete"), ()),
        (OK, result("no_signal"), ()),
    ],
)
def test_every_ending_but_a_good_one_is_a_finding(ending, said, findings):
    assert judge(5, ending, said).findings == findings


def test_unhealthy_winner_whose_outputs_are_missing_is_a_bad_result():
    families = {"xgboost": family("critical", "diverged")}
    said = result("complete", families=families, winner="xgboost")
    verdict = judge(5, OK, said, None, ["model.txt is not there"])
    assert verdict.findings == ("bad_result", "diverged")


def test_traceback_of_a_critical_family_is_cut_to_its_first_line():
    lost = FamilyResult(status="failed", severity="critical", error="oops\n" + "line\n" * 50)
    verdict = judge(5, OK, result("complete", families={"catboost": lost}))
    assert verdict.issues[0].message.endswith("is not healthy: oops")
