"""What a run of one family can be asked for, and what it publishes."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from tests_integration import Workspace, make_columns
from tests_step5 import Step5

from gpu.params import CHECKPOINT_FORMATS

QUICK = {"trials": 2, "n_estimators": 40}


def test_survivors_in_the_workspace_are_found_without_being_named(workspace):
    rng = np.random.default_rng(0)
    survivors = []
    for i in range(300):
        features = {f"f{k}": float(v) for k, v in enumerate(rng.normal(size=4))}
        hits = int(rng.poisson(np.exp(0.7 * features["f0"] + 1)))
        survivors.append({"seed": 10_000 + 17 * i, "features": features, "holdout_hits": hits})
    (workspace.root / "survivors_with_scores.json").write_text(json.dumps(survivors))
    answer = workspace.step5(None, compare_models=False, trials=1)
    assert answer.code == 0, answer.err
    assert workspace.sidecar()["target"] == "holdout_hits"
    assert workspace.sidecar()["feature_names"] == ["f0", "f1", "f2", "f3"]


@pytest.mark.parametrize("storage", ["journal", "sqlite:///own.db"])
def test_other_study_storages_carry_a_run(step5, storage):
    options = {**QUICK, "study_storage": storage}
    assert step5.run_here("first", **options).status == "complete"
    again = step5.run_here("again", resume=True, **options)
    assert again.status == "complete"
    assert "2 of 2 trials done" in again.notes[0].message
    file = {"journal": "optuna_studies/step5.journal", "sqlite:///own.db": "own.db"}[storage]
    assert (step5.root / file).is_file()


@pytest.mark.parametrize("split", ["time", "group"])
def test_other_splits_carry_a_run(tmp_path, split):
    columns = make_columns()
    columns["day"] = [f"2024-{1 + i // 50:02}-{1 + i % 28:02}" for i in range(500)]
    columns["owner"] = [f"owner {i % 40}" for i in range(500)]
    column = {"time": {"time_column": "day"}, "group": {"group_column": "owner"}}[split]
    result = Step5(tmp_path, columns).run_here(split=split, **column, **QUICK)
    assert result.status == "complete"
    assert result.families["lightgbm"].holdout.r2.value > 0.4


def test_noise_is_called_no_signal_and_prediction_is_refused(step5):
    workspace = Workspace(step5.root)
    columns = make_columns()
    columns["price"] = np.random.default_rng(0).permutation(columns["price"])
    workspace.write_csv("houses.csv", columns)
    found = step5.run_here(trials=3, n_estimators=40)
    assert found.status == "no_signal"
    assert found.headline.startswith("No signal: ")
    assert found.winner is None
    assert workspace.sidecar()["signal"]["verdict"] == "none"
    refused = workspace.watcher("--predict", "houses.csv", "--output", "p.csv")
    assert refused.code == 12
    assert "found no signal in price" in refused.out + refused.err
    assert not (workspace.root / "p.csv").exists()


def test_a_leaked_target_is_named_and_its_winner_not_published_without_consent(tmp_path):
    columns = make_columns()
    columns["tax"] = [f"{0.1 * float(v) + 7:.6f}" for v in columns["price"]]
    step5 = Step5(tmp_path, columns)
    options = {"model_type": "xgboost", "trials": 1, "n_estimators": 40}
    leaked = step5.run_here("leaked", **options)
    assert leaked.status == "complete"
    assert leaked.signal.verdict == "leaked"
    assert leaked.signal.leaked_features == ("tax",)
    assert '"exclude_features": ["tax"]' in " ".join(leaked.what_next)
    assert not (step5.root / "models" / "reinforcement").exists()
    step5.policy(publish={"leaked": True})
    step5.run_here("allowed", **options)
    assert step5.sidecar().signal.verdict == "leaked"
    honest = step5.run_here("honest", exclude_features=["tax"], **options)
    assert honest.signal.verdict == "strong"


def test_a_model_is_replaced_whole_and_earlier_versions_are_kept(step5):
    options = {"trials": 1, "n_estimators": 40}
    assert step5.run_here("first", model_type="xgboost", **options).status == "complete"
    first = step5.sidecar()
    assert step5.run_here("second", model_type="lightgbm", **options).status == "complete"
    assert step5.sidecar().model_type == "lightgbm"
    file = f"best_model.{CHECKPOINT_FORMATS['xgboost']}"
    assert not (step5.root / "models" / "reinforcement" / file).exists()
    old = step5.root / "models" / ".versions" / "first" / file
    assert hashlib.sha256(old.read_bytes()).hexdigest() == first.checkpoint_sha256


def test_a_copied_workspace_whose_link_became_a_folder_still_works(trained, tmp_path):
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(trained[0].root, copy.root, symlinks=False)
    assert not (copy.root / "models" / "reinforcement").is_symlink()
    assert copy.watcher("--predict", "houses.csv", "--output", "p.csv").code == 0
    result = Step5(copy.root).run_here("again", trials=1, n_estimators=40)
    assert result.status == "complete"
    assert copy.sidecar()["run_id"] == result.run_id == "again"
    assert (copy.root / "models" / "reinforcement").is_symlink()
