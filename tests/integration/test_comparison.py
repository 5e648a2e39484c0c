"""The main job through the real path: command, step, studies, workers, artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from tests_integration import QUICK, ROOT, make_columns
from tests_step5 import Step5

from gpu.params import CHECKPOINT_FORMATS, FAMILIES, decode_params
from steps.step5_training.folds import draw_folds


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


def test_neither_slots_nor_a_process_a_trial_nor_a_stop_changes_anything(trained, step5):
    """Two trials as usual; the third and all models with one slot, in processes of their own."""
    assert step5.run_here("first", **{**QUICK, "trials": 2}).status == "complete"
    options = {"slots": 1, "persistent_workers": False, "resume": True}
    resumed = step5.run_here("again", **QUICK, **options).model_dump(mode="json")
    done = [note["message"] for note in resumed["notes"] if note["code"] == "study"]
    assert len(done) == 4
    assert all("2 of 3 trials done" in message for message in done)
    for family in FAMILIES:
        a, b = trained[1].result["families"][family], resumed["families"][family]
        assert a["params"] == b["params"]
        assert a["best_trial"] == b["best_trial"]
        assert a["cv"] == b["cv"]
        assert a["holdout"] == b["holdout"]


# --- the step alone, on a table with another target in its holdout rows -------------------------

LIBRARIES = ("torch", "xgboost", "lightgbm", "catboost")


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """The step's result, and which training libraries its process had loaded at the end."""
    columns = make_columns()
    splits = draw_folds(500, split="random", n_folds=3, holdout_fraction=0.2, seed=QUICK["seed"])
    for row in splits.holdout_rows:
        columns["price"][row] = f"{float(columns['price'][row]) + 50 * (row % 2):.4f}"
    step5 = Step5(tmp_path_factory.mktemp("changed"), columns)
    request = step5.request(**QUICK)
    path = Path(request.out_dir) / "request.json"
    path.write_text(request.model_dump_json(), encoding="utf-8")
    code = (
        "import sys\n"
        "from steps.entry import run_step\n"
        "from steps.step5_training.run import run\n"
        f"status = run_step(run, ['--request', {str(path)!r}])\n"
        f"print(status, [name for name in {LIBRARIES} if name in sys.modules])\n"
    )
    locks = step5.root / ".tmp"
    locks.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=step5.root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(locks)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert Path(request.result_path).exists(), done.stderr
    return json.loads(Path(request.result_path).read_text()), done


def test_the_search_never_sees_the_holdout(trained, changed):
    for family in FAMILIES:
        a, b = trained[1].result["families"][family], changed[0]["families"][family]
        assert a["params"] == b["params"]
        assert a["cv"] == b["cv"]
        assert b["holdout"]["r2"]["value"] < 0.2 < a["holdout"]["r2"]["value"]


def test_the_parent_of_step_5_never_loads_a_training_library(changed):
    assert changed[1].stdout.splitlines()[-1] == "0 []", changed[1].stderr
