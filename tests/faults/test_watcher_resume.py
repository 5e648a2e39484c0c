"""The watcher is killed at many points of a real search; --resume reaches the end all the same."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import time
from pathlib import Path

import optuna
import psutil
import pytest
from tests_integration import Workspace, make_columns

SEARCH = {
    "compare_models": False,
    "model_type": "lightgbm",
    "trials": 12,
    "n_estimators": 60,
    "target": "price",
}
RESUME = ("--run-pipeline", "--resume", "--json")


def made(folder):
    workspace = Workspace(folder)
    workspace.watcher("--init", ".")
    workspace.write_csv("houses.csv", make_columns())
    return workspace


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """What the same run comes to that nobody disturbs."""
    answer = made(tmp_path_factory.mktemp("unkilled")).step5("houses.csv", **SEARCH)
    return answer.result["families"]["lightgbm"]


def attempts(workspace):
    return sorted((workspace.root / ".watcher" / "runs").glob("*/step5-attempt*"))


def latest_progress(workspace):
    for folder in reversed(attempts(workspace)):
        with contextlib.suppress(FileNotFoundError):
            return json.loads((folder / "progress.json").read_text())
    return {"phase": "", "families": {}}


def has_come_to(workspace, point, before):
    """point: a phase, or how many trials must be finished; before: attempts made earlier."""
    if len(attempts(workspace)) <= before:
        return False
    progress = latest_progress(workspace)
    if progress.get("attempt", 0) <= before:
        return False
    if isinstance(point, str):
        return progress["phase"] == point
    found = progress["families"].values()
    return sum(f["complete"] + f["pruned"] + f["failed"] for f in found) >= point


def kill_at(workspace, point, *arguments):
    """Start, and kill the watcher once it has come to a point; False if it was done before."""
    before = len(attempts(workspace))
    with workspace.start(*arguments) as process:
        deadline = time.monotonic() + 120
        while not has_come_to(workspace, point, before):
            if process.poll() is not None:
                return False
            assert time.monotonic() < deadline
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    return True


def rows(workspace, query):
    with contextlib.closing(sqlite3.connect(workspace.root / ".watcher/ledger.sqlite")) as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize(
    "points",
    [
        ("reading the table",),
        ("opening the studies",),
        (1, 5, 11),
        ("judging",),
        ("publishing",),
    ],
    ids=str,
)
def test_a_killed_run_that_is_resumed_ends_as_one_that_was_not(tmp_path, unkilled, points):
    workspace = made(tmp_path)
    start = workspace.step5_arguments("houses.csv", **SEARCH)
    for number, point in enumerate(points):
        arguments = RESUME if number else start
        if not kill_at(workspace, point, *arguments):
            # The phase was over between two looks: then the run is done, which is what counts.
            assert rows(workspace, "SELECT state FROM runs") == [("complete",)]
            break
    else:
        resumed = workspace.watcher(*RESUME)
        assert resumed.code == 0, resumed.err
    ((run_id, state),) = rows(workspace, "SELECT run_id, state FROM runs")
    assert state == "complete"
    sidecar = workspace.sidecar()
    assert sidecar["run_id"] == run_id
    assert sidecar["params"] == unkilled["params"]
    assert sidecar["metrics"]["cv"] == unkilled["cv"]
    assert sidecar["metrics"]["holdout"] == unkilled["holdout"]
    check_trials(workspace)
    assert workspace.leftovers() == []
    # What is done is done: nothing is left to go on with, and the same line again is skipped.
    assert workspace.watcher(*RESUME).code == 2
    assert workspace.watcher(*start).document["steps"][0]["outcome"] == "skipped"


def check_trials(workspace):
    """Every trial once, in a final state; one more confirms the best at full resolution."""
    storage = f"sqlite:///{workspace.root}/optuna_studies/step5.db"
    (name,) = optuna.get_all_study_names(storage)
    states = [t.state.name for t in optuna.load_study(study_name=name, storage=storage).trials]
    assert not {"RUNNING", "WAITING"} & set(states)
    assert states.count("COMPLETE") + states.count("PRUNED") == SEARCH["trials"] + 1


def test_a_run_on_a_full_disk_leaves_the_old_models_intact_and_is_resumed(tmp_path, unkilled):
    """Disk full is made by a limit on the size of files: the study's database outgrows it."""
    import resource

    workspace = made(tmp_path)
    small = {**SEARCH, "trials": 3}
    assert workspace.step5("houses.csv", **small).code == 0
    before = {p: p.read_bytes() for p in (tmp_path / "models").rglob("*") if p.is_file()}
    database = tmp_path / "optuna_studies" / "step5.db"
    limit = database.stat().st_size + (64 << 10)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    start = workspace.step5_arguments("houses.csv", **SEARCH)
    with workspace.start(*start, preexec_fn=limited) as process:
        _out, err = process.communicate(timeout=180)
    assert process.returncode == 1, err
    assert {p: p.read_bytes() for p in before} == before
    resumed = workspace.watcher(*RESUME)
    assert resumed.code == 0, resumed.err
    assert workspace.sidecar()["metrics"]["cv"] == unkilled["cv"]
    assert Path(tmp_path / "models" / "reinforcement").is_symlink()
