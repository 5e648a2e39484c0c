"""The main job through the real path: command, step, studies, workers, artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from tests_integration import QUICK, ROOT, Workspace, make_columns

from gpu.params import CHECKPOINT_FORMATS, FAMILIES, decode_params
from steps.contract import StepRequest


def test_four_families_are_compared_and_a_winner_published(trained):
    workspace, answer = trained
    assert answer.code == 0, answer.err
    result = answer.result
    assert result["status"] == "complete"
    assert set(result["families"]) == set(FAMILIES)
    for family in result["families"].values():
        assert family["status"] == "complete"
        low, high = family["cv"]["r2"]["ci95"]
        assert low < family["cv"]["r2"]["value"] < high
        assert family["trials_complete"] + family["trials_pruned"] == QUICK["trials"]
    scores = {name: f["cv"]["r2"]["value"] for name, f in result["families"].items()}
    assert result["winner"] == max(scores, key=scores.get)
    assert result["signal"]["verdict"] == "strong"
    assert workspace.leftovers() == []


@pytest.mark.parametrize("family", ["", *FAMILIES])
def test_every_model_lies_beside_a_sidecar_that_tells_all(trained, family):
    workspace, answer = trained
    sidecar = workspace.sidecar(family)
    checkpoint = workspace.root / sidecar["checkpoint_path"]
    assert hashlib.sha256(checkpoint.read_bytes()).hexdigest() == sidecar["checkpoint_sha256"]
    assert checkpoint.suffix == "." + CHECKPOINT_FORMATS[sidecar["model_type"]]
    assert sidecar["run_id"] == answer.document["run_id"]
    assert sidecar["target"] == "price"
    assert sidecar["feature_names"] == ["size", "rooms", "age", "town", "garden"]
    assert sidecar["metrics"]["cv"]["r2"]["value"] > 0.5
    assert sidecar["metrics"]["holdout"]["r2"]["value"] > 0.5
    assert sidecar["signal"]["verdict"] == "strong"


def test_what_was_tuned_is_what_was_refitted(trained):
    workspace, answer = trained
    storage = f"sqlite:///{workspace.root}/optuna_studies/step5.db"
    for name in optuna.get_all_study_names(storage):
        family = name.split("-")[1]
        study = optuna.load_study(study_name=name, storage=storage)
        sidecar = workspace.sidecar(family)
        assert sidecar["params"] == study.best_trial.user_attrs["record"]
        assert decode_params(family, sidecar["params"])
        assert answer.result["families"][family]["params"] == sidecar["params"]
        for key, value in study.best_trial.params.items():
            if key != "hidden_layers":
                assert sidecar["params"][key] == value


def test_the_diagnostics_are_of_this_run(trained):
    workspace, answer = trained
    folder = workspace.root / "diagnostics_outputs"
    diagnostics = json.loads((folder / "training_diagnostics.json").read_text())
    assert diagnostics["run_id"] == answer.document["run_id"]
    assert set(diagnostics["families"]) == set(FAMILIES)
    assert (folder / "history" / f"{diagnostics['run_id']}.json").is_file()


def same_outcome(first, second):
    """Parameters and scores of every family, which must not depend on how the work was done."""
    for family in FAMILIES:
        a, b = first.result["families"][family], second.result["families"][family]
        assert a["params"] == b["params"]
        assert a["best_trial"] == b["best_trial"]
        assert a["cv"] == b["cv"]
        assert a["holdout"] == b["holdout"]


def test_neither_the_number_of_slots_nor_a_process_a_trial_changes_anything(trained, workspace):
    workspace.write_csv("houses.csv", make_columns())
    options = {"target": "price", "slots": 1, "persistent_workers": False}
    same_outcome(trained[1], workspace.step5("houses.csv", **options))


def test_a_run_that_is_resumed_to_more_trials_equals_one_that_was_not_stopped(trained, workspace):
    workspace.write_csv("houses.csv", make_columns())
    first = workspace.step5("houses.csv", target="price", trials=2)
    assert first.code == 0
    resumed = workspace.step5("houses.csv", target="price", resume=True)
    done = [n["message"] for n in resumed.result["notes"] if n["code"] == "study"]
    assert len(done) == 4
    assert all("2 of 3 trials done" in message for message in done)
    same_outcome(trained[1], resumed)


def test_the_search_never_sees_the_holdout(trained, workspace):
    """Another target in the holdout rows changes the holdout's scores and nothing else."""
    from steps.step5_training.folds import draw_folds

    columns = make_columns()
    splits = draw_folds(500, split="random", n_folds=3, holdout_fraction=0.2, seed=QUICK["seed"])
    for row in splits.holdout_rows:
        columns["price"][row] = f"{float(columns['price'][row]) + 50 * (row % 2):.4f}"
    workspace.write_csv("houses.csv", columns)
    changed = workspace.step5("houses.csv", target="price")
    for family in FAMILIES:
        a, b = trained[1].result["families"][family], changed.result["families"][family]
        assert a["params"] == b["params"]
        assert a["cv"] == b["cv"]
        assert b["holdout"]["r2"]["value"] < 0.2 < a["holdout"]["r2"]["value"]


def test_survivors_in_the_workspace_are_found_without_being_named(workspace):
    rng = np.random.default_rng(0)
    survivors = []
    for i in range(300):
        features = {f"f{k}": float(v) for k, v in enumerate(rng.normal(size=4))}
        hits = int(rng.poisson(np.exp(0.7 * features["f0"] + 1)))
        survivors.append({"seed": 10_000 + 17 * i, "features": features, "holdout_hits": hits})
    (workspace.root / "survivors_with_scores.json").write_text(json.dumps(survivors))
    answer = workspace.step5(None, compare_models=False)
    assert answer.code == 0, answer.err
    assert workspace.sidecar()["target"] == "holdout_hits"
    assert workspace.sidecar()["feature_names"] == ["f0", "f1", "f2", "f3"]


@pytest.mark.parametrize("storage", ["journal", "sqlite:///own.db"])
def test_other_study_storages_carry_a_run(workspace, storage):
    workspace.write_csv("houses.csv", make_columns())
    options = {"compare_models": False, "model_type": "lightgbm", "study_storage": storage}
    answer = workspace.step5("houses.csv", target="price", **options)
    assert answer.code == 0, answer.err
    arguments = workspace.step5_arguments("houses.csv", target="price", resume=True, **options)
    again = workspace.watcher(*arguments, "--force")
    assert "3 of 3 trials done" in again.result["notes"][0]["message"]


@pytest.mark.parametrize("split", ["time", "group"])
def test_other_splits_carry_a_run(workspace, split):
    columns = make_columns()
    columns["day"] = [f"2024-{1 + i // 50:02}-{1 + i % 28:02}" for i in range(500)]
    columns["owner"] = [f"owner {i % 40}" for i in range(500)]
    workspace.write_csv("houses.csv", columns)
    column = {"time": {"time_column": "day"}, "group": {"group_column": "owner"}}[split]
    answer = workspace.step5(
        "houses.csv", target="price", split=split, compare_models=False, **column
    )
    assert answer.code == 0, answer.err
    assert answer.result["families"]["lightgbm"]["holdout"]["r2"]["value"] > 0.4


def test_noise_is_called_no_signal_and_prediction_is_refused(workspace):
    columns = make_columns()
    columns["price"] = np.random.default_rng(0).permutation(columns["price"])
    workspace.write_csv("houses.csv", columns)
    answer = workspace.step5("houses.csv", target="price", compare_models=False)
    assert answer.code == 0
    assert answer.result["status"] == "no_signal"
    assert answer.result["headline"].startswith("No signal: ")
    assert answer.result["winner"] is None
    assert workspace.sidecar()["signal"]["verdict"] == "none"
    refused = workspace.watcher("--predict", "houses.csv", "--output", "p.csv")
    assert refused.code == 12
    assert "found no signal in price" in refused.out + refused.err
    assert not (workspace.root / "p.csv").exists()


def test_a_leaked_target_is_named_and_its_winner_not_published_without_consent(workspace):
    columns = make_columns()
    columns["tax"] = [f"{0.1 * float(v) + 7:.6f}" for v in columns["price"]]
    workspace.write_csv("houses.csv", columns)
    options = {"compare_models": False, "model_type": "xgboost", "trials": 1}
    answer = workspace.step5("houses.csv", target="price", **options)
    assert answer.code == 0
    assert answer.result["signal"]["verdict"] == "leaked"
    assert answer.result["signal"]["leaked_features"] == ["tax"]
    assert '"exclude_features": ["tax"]' in " ".join(answer.result["what_next"])
    assert not (workspace.root / "models" / "reinforcement").exists()
    workspace.watcher("--init", ".")
    policy = workspace.root / "watcher_policies.json"
    policy.write_text(policy.read_text().replace('"leaked": false', '"leaked": true'))
    workspace.step5("houses.csv", target="price", **options)
    assert workspace.sidecar()["signal"]["verdict"] == "leaked"
    honest = workspace.step5("houses.csv", target="price", exclude_features=["tax"], **options)
    assert honest.result["signal"]["verdict"] == "strong"


def test_the_parent_of_step_5_never_loads_a_training_library(workspace):
    workspace.watcher("--init", ".")
    table = workspace.write_csv("houses.csv", make_columns())
    attempt = workspace.root / ".watcher" / "runs" / "r" / "step5-attempt1"
    attempt.mkdir(parents=True)
    request = StepRequest(
        run_id="r",
        step=5,
        attempt=1,
        params={**QUICK, "trials": 1, "target": "price"},
        inputs={"survivors": str(table)},
        workspace=str(workspace.root),
        policy_path=str(workspace.root / "watcher_policies.json"),
        out_dir=str(attempt),
    )
    (attempt / "request.json").write_text(request.model_dump_json())
    code = (
        "import sys\n"
        "from steps.entry import run_step\n"
        "from steps.step5_training.run import run\n"
        f"status = run_step(run, ['--request', {str(attempt / 'request.json')!r}])\n"
        "heavy = [m for m in ('torch', 'xgboost', 'lightgbm', 'catboost') if m in sys.modules]\n"
        "print(status, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workspace.root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(workspace.root / ".tmp")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


def test_a_model_is_replaced_whole_and_earlier_versions_are_kept(workspace):
    workspace.write_csv("houses.csv", make_columns())
    options = {"compare_models": False, "trials": 1}
    workspace.step5("houses.csv", target="price", model_type="xgboost", **options)
    first = workspace.sidecar()
    workspace.step5("houses.csv", target="price", model_type="lightgbm", **options)
    assert workspace.sidecar()["model_type"] == "lightgbm"
    assert not (workspace.root / "models" / "reinforcement" / "best_model.json").exists()
    old = workspace.root / "models" / ".versions" / first["run_id"] / "best_model.json"
    assert hashlib.sha256(old.read_bytes()).hexdigest() == first["checkpoint_sha256"]


def test_a_copied_workspace_whose_link_became_a_folder_still_works(workspace, trained, tmp_path):
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(trained[0].root, copy.root, symlinks=False)
    assert not (copy.root / "models" / "reinforcement").is_symlink()
    assert copy.watcher("--predict", "houses.csv", "--output", "p.csv").code == 0
    answer = copy.step5("houses.csv", target="price", compare_models=False, trials=1)
    assert answer.code == 0, answer.err
    assert copy.sidecar()["run_id"] == answer.document["run_id"]
    assert Path(copy.root / "models" / "reinforcement").is_symlink()
