"""A run is killed, stopped and switched while it searches; nothing is lost or left behind."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter

import psutil
import pytest
from tests_faults import TREES, check_same_end, check_trials, states

from gpu.host.devices import cpu_slots, usable_cores
from gpu.host.leases import LeaseQueue
from gpu.params import FAMILIES

# More than is done by the time that somebody interferes.
LONG = {"trials": 12, "epochs": 25, "n_estimators": 200, "target": "price"}


def start(workspace, **params):
    return workspace.start(*workspace.step5_arguments("houses.csv", **params))


def change_policy(workspace, *changes):
    """Replace parts of the policy's text, and the file by rename, as an editor does."""
    policy = workspace.root / "watcher_policies.json"
    text = policy.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    replacement = policy.with_suffix(".new")
    replacement.write_text(text)
    replacement.replace(policy)


def train_only(workspace, *families):
    others = [family for family in FAMILIES if family not in families]
    change_policy(workspace, *((f'"{name}": true', f'"{name}": false') for name in others))


def progress(workspace):
    """Of the first attempt of the latest run."""
    runs = (workspace.root / ".watcher" / "runs").glob("*/step5-attempt1/progress.json")
    for path in sorted(runs, reverse=True):
        return json.loads(path.read_text())
    return {"families": {}}


def wait_until(condition, process, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def finished_trials(workspace):
    return sum(
        f["complete"] + f["pruned"] + f["failed"] for f in progress(workspace)["families"].values()
    )


def tree(process):
    return psutil.Process(process.pid).children(recursive=True)


def check_nothing_is_left(workspace, processes):
    """No process, no lease."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
    locks = [p for p in (workspace.root / ".tmp").glob("watcher-leases-*") if p.is_dir()]
    for folder in locks:
        assert LeaseQueue(cpu_slots(usable_cores()), folder).taken_elsewhere() == ()


def test_a_kill_of_the_watcher_and_of_its_step_loses_no_trial(workspace, undisturbed):
    with start(workspace, **TREES) as process:
        wait_until(lambda: finished_trials(workspace) >= 2, process)
        children = tree(process)
        process.kill()
        process.communicate()
    check_nothing_is_left(workspace, children)
    (killed,) = states(workspace)
    first = progress(workspace)["run_id"]
    # Another run goes on with that study; its step is killed in turn, and the watcher retries it.
    change_policy(workspace, ('"backoff_s": 5', '"backoff_s": 0'))
    with start(workspace, **TREES, resume=True) as process:
        wait_until(lambda: progress(workspace)["run_id"] != first, process)
        wait_until(lambda: finished_trials(workspace) >= 4, process)
        next(p for p in tree(process) if "steps.step5_training" in p.cmdline()).kill()
        out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert len(json.loads(out)["steps"][-1]["attempts"]) == 2
    check_same_end(workspace, undisturbed)
    ((name, found),) = states(workspace).items()
    assert name == killed
    check_trials(found, TREES["trials"])


@pytest.mark.parametrize(
    ("how", "families"),
    [
        ("halt file", ("xgboost", "lightgbm")),
        ("policy", ("catboost", "lightgbm")),
        ("ctrl-c", ("neural_net", "lightgbm")),
    ],
)
def test_a_stop_keeps_what_is_done_and_leaves_no_trial_open(workspace, how, families):
    train_only(workspace, *families)
    with start(workspace, **LONG) as process:
        wait_until(lambda: finished_trials(workspace) >= 2, process)
        children = tree(process)
        if how == "halt file":
            (workspace.root / "watcher_halt.flag").write_text("night is over")
        elif how == "policy":
            change_policy(workspace, ('"halt": false', '"halt": true'))
        else:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == (130 if how == "ctrl-c" else 10), err
    check_nothing_is_left(workspace, children)
    assert len(states(workspace)) == 2
    for found in states(workspace).values():
        assert not {"RUNNING", "WAITING"} & set(found)
    kept = Counter(state for found in states(workspace).values() for state in found)
    assert kept["COMPLETE"] + kept["PRUNED"] >= 2
    document = json.loads(out)
    assert "finished trials are kept" in document["steps"][-1]["result"]["headline"]
    assert not (workspace.root / "models").exists()


def test_a_family_switched_off_mid_run_stops_and_the_others_finish(workspace):
    train_only(workspace, "neural_net", "lightgbm")
    with start(workspace, **{**LONG, "trials": 6}) as process:
        wait_until(lambda: finished_trials(workspace) >= 2, process)
        change_policy(workspace, ('"neural_net": true', '"neural_net": false'))
        out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    families = json.loads(out)["steps"][-1]["result"]["families"]
    assert families["neural_net"]["status"] == "skipped"
    assert families["neural_net"]["error"] == "switched off by policy"
    assert families["neural_net"]["trials_complete"] < 6
    assert families["lightgbm"]["status"] == "complete"


def test_workers_killed_again_and_again_and_a_policy_saved_half_cost_no_trial(workspace):
    with start(workspace, **TREES) as process:
        wait_until(lambda: progress(workspace).get("phase") == "searching", process)
        policy = workspace.root / "watcher_policies.json"
        policy.write_text(policy.read_text()[:100])
        killed = 0
        while process.poll() is None and killed < 4:
            for child in tree(process) if process.poll() is None else []:
                try:
                    if "gpu.worker" in child.cmdline():
                        child.send_signal(signal.SIGKILL)
                        killed += 1
                        break
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.4)
        out, err = process.communicate(timeout=180)
    assert killed >= 3
    assert process.returncode == 0, err
    assert "not valid JSON" in err
    family = json.loads(out)["steps"][-1]["result"]["families"]["lightgbm"]
    counted = family["trials_complete"] + family["trials_pruned"] + family["trials_failed"]
    assert counted == TREES["trials"]
    (found,) = states(workspace).values()
    check_trials(found, TREES["trials"])
    assert "FAIL" not in found
