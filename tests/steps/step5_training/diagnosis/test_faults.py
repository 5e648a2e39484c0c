"""What a retry can match: stable codes, critical where the family is of no use."""

from __future__ import annotations

import pytest

from gpu.protocol import TrainFailed
from steps.contract import FamilyResult
from steps.policies.health import HighIsBad, MetricBounds
from steps.step5_training.comparison import TIME_IS_UP, Comparison, Orders
from steps.step5_training.diagnosis.family import findings_as_notes
from steps.step5_training.diagnosis.faults import absent_finding, find_faults
from steps.step5_training.judged import Judged
from steps.step5_training.wording import result_error

DIVERGED = TrainFailed(kind="diverged", message="training loss is nan in epoch 3")
OOM = TrainFailed(kind="oom", message="memory ran out")
INTERNAL = TrainFailed(kind="internal", message="broken")
BOUNDS = MetricBounds().diverged_trial_pct


def findings(study, fit, bounds=BOUNDS):
    return find_faults(study, fit, bounds)


def study_of(world, fail=None, family="neural_net", **options):
    failures = {} if fail is None else {family: fail}
    scheduler, studies, *_ = world(families=(family,), fail=failures, **options)
    comparison = scheduler.run()
    fit = comparison.fits.get(family)
    return studies[family], fit and fit[1]


def codes(notes):
    return [(note.code, note.level) for note in notes]


def test_a_family_without_fault_has_no_finding(world):
    assert findings(*study_of(world)) == []


def test_networks_that_all_diverged_are_a_critical_finding_with_the_numbers(world):
    notes = findings(*study_of(world, DIVERGED))
    assert codes(notes) == [("diverged", "critical"), ("trials_failed", "warning")]
    assert notes[0].message.startswith("8 of 8 trials diverged")
    assert "none was left" in notes[0].message


@pytest.mark.parametrize(("family", "of_network"), [("neural_net", True), ("xgboost", False)])
def test_only_the_network_is_told_to_lower_its_own_learning_rate(world, family, of_network):
    study, fit = study_of(world, DIVERGED, family)
    for outcome in (fit, DIVERGED):
        (diverged,) = [f for f in findings(study, outcome) if f.code == "diverged"]
        assert ("max_learning_rate" in diverged.remedy) is of_network
        assert diverged.remedy


def some_fail(world, outcome, count, r2=0.5, finalists=False):
    """A study of ten trials of which the first `count` fail, and the others score r2.

    finalists: the first finalists fail instead, when they go on to all folds.
    """
    scheduler, studies, pool, *_ = world(families=("neural_net",))
    finish = pool.finish

    def partly(job):
        events = finish(job)
        due = getattr(job, "folds", None) and bool(job.begun) >= finalists
        if due and len(seen) < count:
            seen.append(job.id)
            return [
                type(event)(job, outcome.model_copy(update={"id": job.id}), event.wall_s)
                for event in events[-1:]
            ]
        if not getattr(job, "folds", None):
            return events
        scores = tuple(s.model_copy(update={"r2": r2}) for s in events[-1].outcome.scores)
        done = events[-1].outcome.model_copy(update={"scores": scores})
        return [type(events[-1])(job, done, events[-1].wall_s)]

    seen = []
    pool.finish = partly
    comparison = scheduler.run()
    study = studies["neural_net"]
    assert sum(bool(trial.failure) for trial in study.finished) == count
    return study, comparison.fits["neural_net"][1]


def test_trials_that_are_ranked_are_left_though_none_is_complete(world):
    held = {}

    def orders():
        done = len(held["study"].finished) if held else 0
        return Orders(stop="halt" if done >= 4 else None)

    scheduler, studies, pool, *_ = world(families=("xgboost",), orders=orders)
    held["study"] = studies["xgboost"]
    finish, failed = pool.finish, []

    def partly(job):
        events = finish(job)
        if len(failed) < 2:
            failed.append(job.id)
            outcome = DIVERGED.model_copy(update={"id": job.id})
            return [type(events[-1])(job, outcome, events[-1].wall_s)]
        return events

    pool.finish = partly
    scheduler.run()
    study = studies["xgboost"]
    assert study.best is None
    (diverged, _) = findings(study, None)
    assert (diverged.code, diverged.level) == ("diverged", "warning")
    assert "none was left" not in diverged.message


def test_most_trials_diverged_but_the_best_is_good_is_a_warning(world):
    notes = findings(*some_fail(world, DIVERGED, 6))
    assert codes(notes) == [("diverged", "warning"), ("trials_failed", "warning")]


def test_most_trials_diverged_and_the_best_is_useless_is_critical(world):
    notes = findings(*some_fail(world, DIVERGED, 6, r2=-0.2))
    assert codes(notes)[0] == ("diverged", "critical")
    assert "6 of 10 trials diverged" in notes[0].message
    assert "R2 -0.200" in notes[0].message


def test_a_few_trials_that_diverged_are_a_warning_with_their_share_and_the_bound(world):
    first, last = findings(*some_fail(world, DIVERGED, 3))
    assert (first.code, first.level, last.code) == ("diverged", "warning", "trials_failed")
    assert (first.metric, first.value, first.bound) == ("diverged_trial_pct", 30.0, 10.0)


def test_finalists_that_diverged_are_trials_that_diverged(world):
    study, fit = some_fail(world, DIVERGED, 3, finalists=True)
    diverged, failed = findings(study, fit)
    assert len(study.complete) == 4
    assert (diverged.code, diverged.level, diverged.value) == ("diverged", "warning", 30.0)
    assert failed.message.startswith("3 of 10 trials failed; the last: diverged")


def test_trials_that_diverged_below_the_bound_are_failed_trials_and_no_more(world):
    faults = findings(*some_fail(world, DIVERGED, 3), HighIsBad(warning=31, critical=50))
    assert codes(faults) == [("trials_failed", "warning")]


def test_without_bounds_trials_that_diverged_are_failed_trials_and_no_more(world):
    assert codes(findings(*study_of(world, DIVERGED), HighIsBad())) == [
        ("trials_failed", "warning")
    ]


def test_what_was_not_observed_is_a_warning_that_says_what(world):
    finding = absent_finding(["no loss curves", "no attributions"])
    assert (finding.level, finding.code) == ("warning", "diagnostics_absent")
    assert "no loss curves; no attributions" in finding.message


def test_a_family_that_failed_for_want_of_memory_says_so(world):
    notes = findings(*study_of(world, OOM))
    assert codes(notes)[0] == ("out_of_memory", "critical")
    assert "8 of 8 trials ran out of memory" in notes[0].message


def test_memory_that_ran_out_in_some_trials_only_is_no_finding_of_its_own(world):
    assert codes(findings(*some_fail(world, OOM, 6))) == [("trials_failed", "warning")]


@pytest.mark.parametrize(("outcome", "code"), [(OOM, "out_of_memory"), (DIVERGED, "diverged")])
def test_a_final_fit_that_failed_says_why(world, outcome, code):
    study, _ = study_of(world)
    assert codes(findings(study, outcome)) == [(code, "critical")]


def test_any_other_failure_has_no_code_that_a_retry_could_match(world):
    assert codes(findings(*study_of(world, INTERNAL))) == [("trials_failed", "warning")]


# --- the error of a step that has no model at all -----------------------------------------------


def failed_with(world, **outcomes):
    """The step's error when each named family failed with its outcome."""
    families = {}
    for family, outcome in outcomes.items():
        study, fit = study_of(world, outcome, family, run=f"{family}-{outcome.kind}")
        families[family] = FamilyResult(
            status="failed", error=study.stopped, notes=findings_as_notes(findings(study, fit))
        )
    return result_error(Judged(Comparison({}, {}, {}, None, False), ()), families)


def test_when_all_families_failed_for_memory_the_step_did(world):
    error = failed_with(world, neural_net=OOM, lightgbm=OOM)
    assert error.kind == "out_of_memory"
    assert "memory ran out" in error.message


def test_one_family_with_another_fault_makes_it_a_fault_of_the_program(world):
    assert failed_with(world, neural_net=OOM, lightgbm=INTERNAL).kind == "internal"


def test_families_that_people_switched_off_do_not_hide_a_want_of_memory(world):
    study, fit = study_of(world, OOM)
    families = {
        "neural_net": FamilyResult(
            status="failed", error=study.stopped, notes=findings_as_notes(findings(study, fit))
        ),
        "catboost": FamilyResult(status="skipped", error="switched off by policy"),
    }
    judged = Judged(Comparison({}, {}, {}, None, False), ())
    assert result_error(judged, families).kind == "out_of_memory"


def test_a_time_budget_that_is_too_short_is_a_usage_error(world):
    families = {
        name: FamilyResult(status="failed", error=TIME_IS_UP) for name in ("xgboost", "lightgbm")
    }
    families["catboost"] = FamilyResult(status="skipped", error="switched off by policy")
    error = result_error(Judged(Comparison({}, {}, {}, None, True), ()), families)
    assert error.kind == "usage"
    assert "time_budget_minutes is too short" in error.message


def test_a_step_whose_families_are_all_switched_off_is_blocked():
    families = {"xgboost": FamilyResult(status="skipped", error="switched off by policy")}
    error = result_error(Judged(Comparison({}, {}, {}, None, False), ()), families)
    assert error.kind == "blocked"
