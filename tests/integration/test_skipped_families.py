"""The skip registry in real runs: who trains, what is said, what is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests_integration import make_columns

from steps.contract import FamilyResult
from steps.policies import SkipPolicy
from steps.step5_training.skip_registry import count_run, look, registry_file

FAILED = FamilyResult(status="failed", severity="critical", error="every trial failed; diverged")
SMALL = {"target": "price", "trials": 1, "k_folds": 2, "n_estimators": 10}
TWO_TREES = {"families": {"neural_net": False, "catboost": False}}


@pytest.fixture
def houses(workspace):
    workspace.write_csv("houses.csv", make_columns(120))
    return workspace


def critical(workspace, *families, runs=3, ago=timedelta(0)):
    path = registry_file(workspace.root)
    for number in range(runs):
        results = dict.fromkeys(families, FAILED)
        count_run(path, f"r{number}", results, SkipPolicy(), datetime.now(UTC) - ago)
    return path


def test_a_family_is_left_out_with_the_reason_until_its_hours_are_over_or_it_is_cleared(houses):
    houses.policy(TWO_TREES)
    critical(houses, "lightgbm", ago=timedelta(hours=25))
    file = critical(houses, "xgboost")
    answer = houses.step5("houses.csv", **SMALL)
    assert answer.code == 0, answer.err
    families = answer.result["families"]
    assert families["xgboost"]["status"] == "skipped"
    assert "3 critical results in a row" in families["xgboost"]["error"]
    assert "watcher --skip-clear xgboost" in families["xgboost"]["error"]
    assert families["neural_net"]["error"] == "switched off by policy"
    # Its hours are over; that it trains is counted.
    assert families["lightgbm"]["status"] == "complete"
    entries = look(file, SkipPolicy(), datetime.now(UTC)).entries
    assert entries["lightgbm"].consecutive_critical == 0
    assert entries["lightgbm"].last_run_id == answer.document["run_id"]
    assert entries["xgboost"].consecutive_critical == 3
    assert "neural_net" not in entries
    # Once it is cleared, the same command trains it: what came before was not the whole.
    assert houses.watcher("--skip-clear", "xgboost").code == 0
    again = houses.step5("houses.csv", **SMALL)
    assert again.result["families"]["xgboost"]["status"] == "complete"


def test_where_every_family_is_left_out_the_step_says_so_and_is_not_tried_again(houses):
    critical(houses, "lightgbm")
    answer = houses.step5("houses.csv", **SMALL, compare_models=False, model_type="lightgbm")
    assert answer.code == 10, answer.err
    error = answer.result["error"]
    assert error["kind"] == "blocked"
    assert "lightgbm is left out after 3 critical results in a row" in error["message"]
    assert "watcher --skip-clear lightgbm" in error["message"]
    assert len(answer.document["steps"][-1]["attempts"]) == 1
    assert not (houses.root / "models").exists()
