"""The watcher is killed at many points of a real search; --resume reaches the end all the same."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import time

import psutil
from tests_faults import TREES, check_same_end, check_trials, states

RESUME = ("--run-pipeline", "--resume", "--json")
PHASES = ("reading the table", "opening the studies", "searching", "judging", "publishing")


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
        return point in PHASES[: PHASES.index(progress["phase"]) + 1]
    found = progress["families"].values()
    return sum(f["complete"] + f["pruned"] + f["failed"] for f in found) >= point


def kill_at(workspace, point, *arguments):
    """Start, and kill the watcher as soon as it has come to a point."""
    before = len(attempts(workspace))
    with workspace.start(*arguments) as process:
        deadline = time.monotonic() + 120
        while not has_come_to(workspace, point, before):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def rows(workspace, query):
    with contextlib.closing(sqlite3.connect(workspace.root / ".watcher/ledger.sqlite")) as db:
        return db.execute(query).fetchall()


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(workspace, undisturbed):
    start = workspace.step5_arguments("houses.csv", **TREES)
    kill_at(workspace, "opening the studies", *start)
    for point in (3, "judging", "publishing"):
        kill_at(workspace, point, *RESUME)
    # The last kill may have come when all was written: then the run is done, which is what counts.
    if rows(workspace, "SELECT state FROM runs") != [("complete",)]:
        resumed = workspace.watcher(*RESUME)
        assert resumed.code == 0, resumed.err
    ((run_id, state),) = rows(workspace, "SELECT run_id, state FROM runs")
    assert state == "complete"
    assert workspace.sidecar()["run_id"] == run_id
    check_same_end(workspace, undisturbed)
    (found,) = states(workspace).values()
    check_trials(found, TREES["trials"])
    assert workspace.leftovers() == []
    # What is done is done: nothing is left to go on with, and the same line again is skipped.
    assert workspace.watcher(*RESUME).code == 2
    assert workspace.watcher(*start).document["steps"][0]["outcome"] == "skipped"
