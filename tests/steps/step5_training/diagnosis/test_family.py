"""One family's diagnosis, from a study on made-up trials and files that a worker would leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpu.protocol import FinalFit, TrainFailed
from gpu.protocol.observations import (
    Curve,
    FitObservations,
    Importance,
    LayerHealth,
    NetworkHealth,
    TrialCurves,
)
from steps.contract import FamilyResult
from steps.policies import Policy
from steps.step5_training.diagnosis.family import (
    Ground,
    diagnose,
    findings_as_notes,
    severity_of,
    untrained,
)
from steps.step5_training.diagnosis.rules import Standing
from steps.step5_training.folds import draw_folds
from steps.step5_training.settings import Settings

COMPLETE = FamilyResult(status="complete")
WELL = Standing(own="strong", best="strong", needs_harm=True)
DIVERGED = TrainFailed(kind="diverged", message="loss is nan")
ROWS = 60


def ground(policy=None, **params):
    rng = np.random.default_rng(0)
    y = rng.normal(size=ROWS)
    splits = draw_folds(ROWS, split="random", n_folds=3, holdout_fraction=0.2, seed=0)
    out_of_fold, holdout = np.full(ROWS, np.nan), np.full(ROWS, np.nan)
    out_of_fold[splits.search_rows] = 0.9 * y[splits.search_rows]
    holdout[splits.holdout_rows] = 0.8 * y[splits.holdout_rows]
    predictions = dict.fromkeys(("neural_net", "xgboost"), out_of_fold)
    held = dict.fromkeys(("neural_net", "xgboost"), holdout)
    policy = Policy.model_validate(policy or {})
    return Ground(y, 2, splits, predictions, held, Settings(**params), policy)


def curve(fold):
    return Curve(
        fold=fold,
        rounds=(1, 2),
        train=(1.0, 0.5),
        validation=(1.0, 0.9) if fold is not None else None,
        best_round=2,
        rounds_run=2,
    )


def dead_network(dead_pct):
    layers = tuple(
        LayerHealth(
            name=name,
            units=8,
            gradient_norm=(1.0,),
            weight_norm=(1.0,),
            activation_mean=(0.0,),
            activation_std=(1.0,),
            dead_pct=dead,
            weight_edges=(0.0, 1.0),
            weight_counts=(16,),
        )
        for name, dead in (("hidden 1", (dead_pct,)), ("output", None))
    )
    return NetworkHealth(probe_rows=8, epochs=(1,), layers=layers, feature_gradients=(1.0, 1.0))


@pytest.fixture
def trained(world):
    """A searched and refitted family, with what its workers have left."""

    def build(family="xgboost", network=None, curves=True, seen=True, absent=()):
        scheduler, studies, *_ = world(families=(family,))
        fit = scheduler.run().fits[family]
        study = studies[family]
        best = study.files.curves_path(study.best.position, full=study.confirmation is study.best)
        if curves:
            document = TrialCurves(curves=tuple(curve(fold) for fold in range(3)))
            best.write_text(document.model_dump_json())
        if seen:
            kind = "input_gradient" if family == "neural_net" else "gain"
            document = FitObservations(
                family=family,
                curve=curve(None),
                importances=(Importance(kind=kind, values=(1.0, 2.0)),),
                network=network,
                seconds={"fit": 2.0, "observe": 0.1},
                peak_rss_mib=50.0,
                absent=absent,
            )
            path = Path(fit[0].observations_path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(document.model_dump_json())
        return family, COMPLETE, study, fit

    return build


def test_everything_that_is_known_of_a_healthy_family_is_there(trained):
    found = diagnose(*trained(), ground(), WELL)
    assert (found.severity, found.findings, found.absent) == ("ok", (), ())
    assert [c.fold for c in found.curves] == [f.fold for f in found.folds] == [0, 1, 2]
    assert found.final_curve.validation is None
    assert [r.part for r in found.residuals] == ["holdout", "out_of_fold"]
    assert sum(found.residuals[0].errors.counts) == 12
    assert sum(found.residuals[1].errors.counts) == 48
    assert len(found.trials) == 10
    # Two folds rank the trials; the four best went on to the third.
    assert sorted((row.state, row.folds) for row in found.trials) == (
        [("complete", 3)] * 4 + [("pruned", 2)] * 6
    )
    assert None not in {row.ranked for row in found.trials}
    assert sum(found.parameter_importance.values()) == pytest.approx(1.0)
    assert found.params["max_bin"] == 256
    assert found.rounds == 11
    assert list(found.seconds) == ["search", "fit", "observe"]
    # Ten trials of two folds, four third folds and a confirmation of three, of a second each.
    assert found.seconds["search"] == pytest.approx(10 * 2 + 4 * 1 + 3)
    assert found.devices == ("cpu",)
    assert found.metrics["unused_feature_pct"] == 0.0
    assert found.metrics["early_stop_ratio"] == pytest.approx(11 / 20)
    assert found.metrics["diverged_trial_pct"] == 0.0
    assert found.metrics["train_r2"] < found.metrics["cv_r2"]


def test_the_time_of_a_confirmation_that_was_stopped_counts_and_its_record_does_not(world):
    scheduler, studies, pool, *_ = world(families=("xgboost",))
    finish = pool.finish

    def stop_full(job):
        events = finish(job)
        if isinstance(job, FinalFit) or job.params["max_bin"] != 256:
            return events
        ended = events[-1]
        behind = ended.outcome.scores[0].model_copy(update={"r2": -1.0})
        done = ended.outcome.model_copy(update={"scores": (behind,), "pruned": True})
        return [type(ended)(job, done, 1.0)]

    pool.finish = stop_full
    fit = scheduler.run().fits["xgboost"]
    study = studies["xgboost"]
    assert (study.confirmation, len(study.tried_full.scores)) == (None, 1)
    found = diagnose("xgboost", COMPLETE, study, fit, ground(), WELL)
    assert found.seconds["search"] == pytest.approx(10 * 2 + 4 * 1 + 1)
    assert found.params["max_bin"] == 64


@pytest.mark.parametrize("collected", [True, False])
def test_trials_are_counted_in_the_search_and_not_in_the_rows_that_are_shown(trained, collected):
    family, _, study, fit = trained()
    result = FamilyResult(
        status="complete", trials_complete=2000, trials_pruned=300, trials_failed=4
    )
    policy = {"training": {"diagnostics": collected}}
    found = diagnose(family, result, study, fit, ground(policy), WELL)
    assert (found.trials_complete, found.trials_pruned, found.trials_failed) == (2000, 300, 4)


def test_a_network_whose_units_are_dead_is_critical_with_a_change_to_make(trained):
    found = diagnose(*trained("neural_net", dead_network(75.0)), ground(), WELL)
    assert found.severity == "critical"
    (finding,) = found.findings
    assert (finding.code, finding.value, finding.bound) == ("dead_units", 75.0, 50.0)
    assert finding.change == {"max_learning_rate": 0.003}
    (note,) = findings_as_notes(found.findings)
    assert note.level == "critical"
    for words in ("75 % of the hidden units are dead", "from 50 %", finding.meaning, "Use Leaky"):
        assert words in note.message


def test_the_worst_finding_comes_first_and_decides(trained):
    policy = {"metric_bounds": {"fold_instability": {"warning": 0, "critical": None}}}
    found = diagnose(*trained("neural_net", dead_network(75.0)), ground(policy), WELL)
    assert [f.level for f in found.findings] == ["critical", "warning"]
    assert found.severity == "critical"


def test_an_info_finding_is_in_the_report_but_is_no_note_and_no_severity(trained):
    policy = {"metric_bounds": {"overfit_ratio": {"warning": 0, "critical": 0}}}
    found = diagnose(*trained(), ground(policy), WELL)
    assert [f.level for f in found.findings] == ["info"]
    assert found.severity == "ok"
    assert findings_as_notes(found.findings) == ()


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ({"curves": False}, "no loss curves"),
        ({"seen": False}, "nothing of the final fit"),
        ({"absent": ("the attributions: it broke",)}, "the attributions: it broke"),
    ],
)
def test_what_was_not_observed_is_a_warning_and_never_healthy(trained, left, words):
    found = diagnose(*trained(**left), ground(), WELL)
    assert found.severity == "warning"
    assert [f.code for f in found.findings] == ["diagnostics_absent"]
    assert words in found.findings[0].message
    assert any(words in sentence for sentence in found.absent)


def test_with_diagnostics_off_nothing_is_collected_and_nobody_calls_it_healthy(trained):
    found = diagnose(*trained(), ground({"training": {"diagnostics": False}}), WELL)
    assert found.severity == "warning"
    assert found.findings == found.folds == found.trials == found.residuals == ()


def test_with_diagnostics_off_faults_are_told_all_the_same(trained):
    family, _, study, (job, _) = trained()
    off = ground({"training": {"diagnostics": False}})
    result = FamilyResult(status="failed", error="the final fit failed")
    found = diagnose(family, result, study, (job, DIVERGED), off, WELL)
    assert (found.severity, [f.code for f in found.findings]) == ("critical", ["diverged"])


def test_a_family_that_failed_is_critical_and_what_is_not_known_is_named(trained):
    family, _, study, (job, _) = trained(seen=False)
    result = FamilyResult(status="failed", error="the final fit failed")
    unscored = Standing(None, "strong", True)
    found = diagnose(family, result, study, (job, DIVERGED), ground(), unscored)
    assert found.severity == "critical"
    assert [f.code for f in found.findings] == ["diverged"]
    assert found.absent == ("nothing of the final fit: there is no model",)
    assert len(found.trials) == 10


def test_a_family_without_one_finished_trial_can_be_diagnosed(world):
    scheduler, studies, *_ = world(families=("xgboost",), fail={"xgboost": DIVERGED})
    scheduler.run()
    result = FamilyResult(status="failed", error="every trial failed")
    here = ground()
    found = diagnose("xgboost", result, studies["xgboost"], None, here, Standing(None, None, True))
    assert found.severity == "critical"
    assert found.metrics == {"diverged_trial_pct": 100.0}
    assert found.folds == ()
    assert {row.state for row in found.trials} == {"failed"}


def test_findings_of_a_family_that_people_skipped_or_stopped_are_no_more_than_warnings(trained):
    family, _, study, fit = trained("neural_net", dead_network(75.0))
    job, _ = fit
    skipped = FamilyResult(status="skipped", error="switched off by policy")
    found = diagnose(family, skipped, study, (job, DIVERGED), ground(), WELL)
    assert found.severity == "warning"
    assert severity_of("stopped", ()) == "ok"


def test_a_family_that_did_not_train_says_why():
    left_out = FamilyResult(status="skipped", severity="warning", error="left out")
    found = untrained(left_out)
    assert (found.severity, found.status, found.error) == ("warning", "skipped", "left out")


def test_the_changes_are_those_of_the_policys_own_rules(trained):
    rules = [{"finding": "dead_units", "parameter": "dropout", "set": 0.0}]
    here = ground({"retries": {"remedies": rules}})
    found = diagnose(*trained("neural_net", dead_network(60.0)), here, WELL)
    assert found.findings[0].change == {"dropout": 0.0}
