"""A full disk ends a run with the old models intact; a limit on the size of files stands for it."""

from __future__ import annotations

import resource
import shutil

import pytest
from tests_faults import TREES, check_same_end
from tests_integration import ROOT, Answer, Workspace


@pytest.fixture
def trained(undisturbed, tmp_path):
    """A workspace with a model of an earlier run in force, where no step is tried again."""
    copy = shutil.copytree(undisturbed.root, tmp_path / "copy", symlinks=True)
    policy = (ROOT / "watcher_policies.json").read_text()
    assert '"max_per_step": 3' in policy
    policy = policy.replace('"max_per_step": 3', '"max_per_step": 0')
    (copy / "watcher_policies.json").write_text(policy)
    return Workspace(copy)


def models(workspace):
    """The content of every file of a model, by its path."""
    files = (path for path in (workspace.root / "models").rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


def fails_for_want_of_room(workspace, limit, **params):
    """Run where no file can grow beyond `limit` bytes; returns the step's error."""
    with workspace.start(
        *workspace.step5_arguments("houses.csv", **params),
        # Python ignores the signal that comes with it: writing fails, as it does on a full disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    ) as process:
        out, err = process.communicate(timeout=180)
    answer = Answer(process.returncode, out, err)
    assert answer.code == 1, err
    assert answer.result["status"] == "failed"
    return answer.result["error"]["message"]


def test_where_the_studies_have_no_room_the_run_fails_and_is_resumed(trained, undisturbed):
    before, first = models(trained), trained.sidecar()
    # The ledger of such a run takes 200 kB, the log of its studies' database four times as much.
    assert "study_storage" in fails_for_want_of_room(trained, 400_000, **TREES)
    assert models(trained) == before
    resumed = trained.watcher("--run-pipeline", "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert trained.sidecar()["run_id"] == resumed.document["run_id"] != first["run_id"]
    check_same_end(trained, undisturbed)
    assert (trained.root / "models" / "reinforcement").is_symlink()


def test_a_worker_that_cannot_write_its_model_leaves_the_old_one_intact(trained):
    before = models(trained)
    large = {"model_type": "xgboost", "n_estimators": 600, "early_stopping_rounds": 600}
    few = {"trials": 1, "study_storage": "journal", "seed": 9}
    error = fails_for_want_of_room(trained, 300_000, **{**TREES, **large, **few})
    assert "the final fit failed" in error
    assert models(trained) == before
    half = [p for p in trained.root.rglob("*best_model*") if p.name.startswith(".")]
    assert half == []
