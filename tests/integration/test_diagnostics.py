"""Diagnostics through the real path: workers observe, the parent judges, the watcher acts."""

from __future__ import annotations

import json

import pytest
from tests_integration import QUICK, make_columns

from gpu.params import FAMILIES
from steps.contract.diagnostics import FamilyPart, TrainingDiagnostics

SMALL = {
    "target": "price",
    "trials": 1,
    "k_folds": 2,
    "n_estimators": 40,
    "epochs": 1,
    "study_storage": "journal",
}


def document(workspace, name="training_diagnostics.json"):
    path = workspace.root / "diagnostics_outputs" / name
    return TrainingDiagnostics.model_validate_json(path.read_bytes())


def allow(workspace, *families, **sections):
    """A policy in which these families train and bounds may be strict."""
    switches = {family: family in families for family in FAMILIES}
    workspace.policy({"families": switches, "diagnostics": True}, **sections)


def attempts(answer):
    return answer.document["steps"][-1]["attempts"]


# --- one healthy comparison of four families ----------------------------------------------------


@pytest.fixture(scope="module")
def healthy(trained):
    workspace, answer = trained
    return workspace, answer, document(workspace)


def test_nothing_is_absent_and_the_winner_is_not_critical(healthy):
    _, answer, found = healthy
    assert found.collected
    assert {name: family.absent for name, family in found.families.items()} == dict.fromkeys(
        FAMILIES, ()
    )
    assert found.families[found.winner].severity != "critical"
    for name, family in found.families.items():
        assert family.severity == answer.result["families"][name]["severity"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_tells_the_same_things(healthy, family):
    _, answer, found = healthy
    one, n_features = found.families[family], len(found.table.feature_names)
    result = answer.result["families"][family]
    assert one.cv.model_dump(mode="json") == result["cv"]
    assert [fold.fold for fold in one.folds] == [curve.fold for curve in one.curves] == [0, 1, 2]
    for curve, fold in zip(one.curves, one.folds, strict=True):
        assert (curve.best_round, curve.rounds_run) == (fold.best_round, fold.rounds_run)
        assert len(curve.train) == len(curve.validation) == len(curve.rounds)
        best = curve.rounds.index(curve.best_round)
        assert curve.validation[best] == pytest.approx(fold.val_mse, rel=0.02)
    assert one.final_curve.fold is None
    assert one.final_curve.validation is None
    assert all(len(importance.values) == n_features for importance in one.importances)
    assert {attribution.which for attribution in one.attributions} == {"best", "worst"}
    assert (one.network is not None) == (family == "neural_net")
    assert {"overfit_ratio", "early_stop_ratio", "unused_feature_pct"} <= set(one.metrics)
    assert [part.part for part in one.residuals] == ["holdout", "out_of_fold"]
    assert [row.position for row in one.trials] == [0, 1, 2]
    assert {"search", "fit", "predict", "observe"} <= set(one.seconds)
    assert one.params == result["params"]
    assert one.checkpoint == result["checkpoint"]
    assert one.devices
    assert one.peak_rss_mib > 50


def test_the_part_of_each_family_lies_beside_its_checkpoint_and_the_copy_in_the_history(healthy):
    workspace, answer, found = healthy
    for family in ("", *FAMILIES):
        folder = workspace.root / "models" / "reinforcement" / family
        part = FamilyPart.model_validate_json((folder / "diagnostics.json").read_bytes())
        assert part.family == (family or found.winner)
        assert part.diagnostics == found.families[part.family]
        assert part.run_id == answer.document["run_id"]
        assert part.feature_names == found.table.feature_names
    assert document(workspace, f"history/{found.run_id}.json") == found


def test_the_table_and_the_run_are_told(healthy):
    workspace, answer, found = healthy
    assert found.headline == answer.result["headline"]
    table, run = found.table, found.run
    assert (table.path, table.rows, table.target_name) == ("houses.csv", 500, "price")
    assert (table.search_rows, table.holdout_rows, table.folds) == (400, 100, 3)
    assert sum(table.target.counts) == 500
    assert table.kinds == ("numeric", "numeric", "numeric", "categorical", "boolean")
    assert set(FAMILIES) < set(run.versions)
    assert run.params["epochs"] == 10
    assert run.params["patience"] == 10  # its own default
    assert {"reading the table", "searching", "judging"} <= set(run.seconds)
    file = workspace.root / "diagnostics_outputs" / "training_diagnostics.json"
    assert file.stat().st_size < 600_000


def test_a_residual_is_that_of_the_row_that_it_names(healthy):
    _, _, found = healthy
    prices = [float(price) for price in make_columns()["price"]]
    for part in found.families["catboost"].residuals:
        assert part.targets == pytest.approx([prices[row] for row in part.rows], abs=1e-3)


def test_models_and_scores_are_bit_equal_with_diagnostics_off(trained, step5):
    step5.policy(diagnostics=False)
    off = step5.run_here(**{**QUICK, "compare_models": False, "model_type": "neural_net"})
    with_ = trained[1].result["families"]["neural_net"]
    without = off.families["neural_net"].model_dump(mode="json")
    for key in ("params", "best_trial", "folds_fitted"):
        assert with_[key] == without[key]
    for part in ("cv", "holdout"):
        # The rank correlation of four families rounds differently from that of one.
        for metric in ("r2", "rmse", "mae"):
            assert with_[part][metric] == without[part][metric]
    first, second = trained[0].sidecar("neural_net"), step5.sidecar()
    assert first["checkpoint_sha256"] == second.checkpoint_sha256
    found = document(step5)
    assert not found.collected
    assert found.families["neural_net"].severity == "warning"
    assert found.families["neural_net"].curves == ()
    assert list((step5.root / "optuna_studies").rglob("*.curves.json")) == []


# --- planted faults, and what the watcher makes of them -----------------------------------------


def test_a_critical_winner_is_retried_with_the_change_that_its_finding_asks_for(workspace):
    workspace.write_csv("houses.csv", make_columns(120))
    allow(
        workspace,
        "lightgbm",
        metric_bounds={"overfit_ratio": {"warning": 0, "critical": 0}},
        health={"critical_needs_harm": False},
        retries={"backoff_s": 0, "budgets": {"health": 1}},
    )
    answer = workspace.step5("houses.csv", **{**SMALL, "compare_models": False})
    assert answer.code == 1
    assert [attempt["outcome"] for attempt in attempts(answer)] == ["unhealthy", "unhealthy"]
    for attempt in attempts(answer):
        assert attempt["findings"] == ["unhealthy", "overfit"]
        assert "times the training loss (critical from 0)" in attempt["message"]
    found = document(workspace)
    # The rule of the shipped policy halves it; the finding offers to halve it again.
    assert (found.run.attempt, found.run.params["early_stopping_rounds"]) == (2, 15)
    (finding,) = (f for f in found.families["lightgbm"].findings if f.code == "overfit")
    assert (finding.level, finding.change) == ("critical", {"early_stopping_rounds": 7})
    assert "given up" in answer.document["message"]


def test_a_network_that_alone_is_critical_counts_and_does_not_stop_a_healthy_winner(workspace):
    workspace.write_csv("houses.csv", make_columns(120))
    allow(
        workspace,
        "neural_net",
        "lightgbm",
        metric_bounds={"nn_gradient_growth": {"warning": 0, "critical": 0}},
    )
    answer = workspace.step5("houses.csv", **SMALL)
    assert answer.code == 0, answer.err
    assert len(attempts(answer)) == 1
    assert answer.result["winner"] == "lightgbm"
    assert answer.result["families"]["neural_net"]["severity"] == "critical"
    notes = answer.result["families"]["neural_net"]["notes"]
    assert ("critical", "exploding_gradients") in [(note["level"], note["code"]) for note in notes]
    path = workspace.root / "diagnostics_outputs" / "model_skip_registry.json"
    entries = json.loads(path.read_text())["families"]
    assert entries["neural_net"]["consecutive_critical"] == 1
    assert entries["lightgbm"]["consecutive_critical"] == 0
