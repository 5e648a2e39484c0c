"""What each family came to, with and without a model."""

from __future__ import annotations

import pytest

from gpu.protocol import TrainFailed
from steps.contract import FamilyResult
from steps.contract.diagnostics import FamilyDiagnostics, Finding
from steps.policies import Policy
from steps.step5_training.comparison import Orders
from steps.step5_training.judged import Judged
from steps.step5_training.results import family_results, stopped_results, with_health
from steps.step5_training.settings import Settings
from steps.step5_training.studies import Studies

DIVERGED = TrainFailed(kind="diverged", message="loss is nan")
LEFT_OUT = FamilyResult(status="skipped", severity="warning", error="left out")
XGBOOST = Settings(compare_models=False, model_type="xgboost")


@pytest.fixture
def ended(world):
    def build(**options):
        scheduler, studies, *_ = world(families=("xgboost",), **options)
        comparison = scheduler.run()
        return Studies(dict(studies), {"catboost": LEFT_OUT}, ()), Judged(comparison, ())

    return build


def test_families_come_in_their_own_order_and_those_left_out_say_why(ended):
    studies, judged = ended()
    both = Settings()
    studies.skipped.update(dict.fromkeys(("neural_net", "lightgbm"), LEFT_OUT))
    results = family_results(studies, judged, both)
    assert list(results) == list(both.families)
    assert results["catboost"] is LEFT_OUT


def test_a_model_whose_predictions_are_gone_cannot_be_scored_and_has_failed(ended):
    result = family_results(*ended(), XGBOOST)["xgboost"]
    assert (result.status, result.trials_complete) == ("failed", 4)
    assert "out-of-fold predictions are gone" in result.error


@pytest.mark.parametrize(("pruning", "complete"), [(True, 4), (False, 10)])
def test_trials_that_are_no_finalists_are_counted_as_stopped_with_the_folds_they_saved(
    ended, pruning, complete
):
    result = family_results(*ended(pruning=pruning), XGBOOST)["xgboost"]
    others = 10 - complete
    assert (result.trials_complete, result.trials_pruned) == (complete, others)
    # Of three folds, two rank the trials.
    assert (result.folds_fitted, result.folds_pruned) == (3 * complete + 2 * others, others)


@pytest.mark.parametrize("until", [20, 45])
def test_folds_of_trials_that_were_cut_off_are_not_said_to_be_saved(ended, until):
    polls = iter(range(1000))
    studies, _ = ended(orders=lambda: Orders(stop="stop" if next(polls) > until else None))
    stopped = stopped_results(studies, "stop", Policy())["xgboost"]
    assert stopped.trials_complete == 0
    assert 0 < stopped.trials_pruned < 10
    assert stopped.folds_fitted == 2 * stopped.trials_pruned
    # The best four so far would have gone on; the others are behind them for good.
    assert stopped.folds_pruned == max(0, stopped.trials_pruned - 4)


def test_a_family_whose_trials_all_failed_says_why(ended):
    result = family_results(*ended(fail={"xgboost": DIVERGED}), XGBOOST)["xgboost"]
    assert (result.status, result.trials_failed) == ("failed", 8)
    assert "loss is nan" in result.error


def test_a_family_that_people_stopped_keeps_its_counts_and_its_faults_are_warnings(ended):
    studies, _ = ended(fail={"xgboost": DIVERGED})
    results = stopped_results(studies, "the watcher asked to stop", Policy())
    assert results["catboost"] is LEFT_OUT
    stopped = results["xgboost"]
    assert (stopped.status, stopped.severity) == ("stopped", "warning")
    assert stopped.error == "the watcher asked to stop"
    assert [note.code for note in stopped.notes] == ["diverged", "trials_failed"]


def test_health_becomes_severity_and_notes_and_nothing_else():
    findings = tuple(
        Finding(level=level, code=code, message="it is so", meaning="It means.", remedy="Do.")
        for level, code in (("critical", "dead_units"), ("info", "overfit"))
    )
    health = FamilyDiagnostics(severity="critical", findings=findings, status="complete")
    before = FamilyResult(status="complete", trials_complete=3)
    result = with_health(before, health)
    assert [(note.code, note.message) for note in result.notes] == [
        ("dead_units", "it is so. It means. Do.")
    ]
    assert result.model_copy(update={"notes": (), "severity": "ok"}) == before
