"""A run is killed, stopped and switched while it searches; nothing is lost or left behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import time
from pathlib import Path

import optuna
import psutil
import pytest
from tests_integration import Workspace, make_columns
from tests_step5 import Step5

from gpu.host.devices import cpu_slots, usable_cores
from gpu.host.leases import LeaseQueue

SEARCH = {"trials": 6, "epochs": 25, "n_estimators": 100, "target": "price"}
TREES = {**SEARCH, "compare_models": False, "model_type": "lightgbm", "trials": 12}


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.watcher("--init", ".")
    workspace.write_csv("houses.csv", make_columns())
    return workspace


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """What an undisturbed run of TREES comes to."""
    workspace = Workspace(tmp_path_factory.mktemp("unkilled"))
    workspace.write_csv("houses.csv", make_columns())
    return workspace.step5("houses.csv", **TREES).result["families"]["lightgbm"]


def start(workspace, **params):
    return workspace.start(*workspace.step5_arguments("houses.csv", **params))


def progress(workspace):
    for path in (workspace.root / ".watcher" / "runs").glob("*/step5-attempt1/progress.json"):
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
    """No process, no lease, no temporary file, no trial without a final state."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
    locks = [p for p in (workspace.root / ".tmp").glob("watcher-leases-*") if p.is_dir()]
    for folder in locks:
        assert LeaseQueue(cpu_slots(usable_cores()), folder).taken_elsewhere() == ()


def states(workspace):
    """Optuna's state of every trial of the last study of each family."""
    storage = f"sqlite:///{workspace.root}/optuna_studies/step5.db"
    return {
        name: [t.state.name for t in optuna.load_study(study_name=name, storage=storage).trials]
        for name in optuna.get_all_study_names(storage)
    }


@pytest.mark.parametrize("victim", ["watcher", "step"])
def test_a_kill_leaves_no_process_and_resume_reaches_the_same_end(workspace, unkilled, victim):
    with start(workspace, **TREES) as process:
        wait_until(lambda: finished_trials(workspace) >= 5, process)
        children = tree(process)
        step = next(p for p in children if "steps.step5_training" in p.cmdline())
        if victim == "watcher":
            process.kill()
            process.communicate()
            check_nothing_is_left(workspace, children)
        else:
            # The watcher retries the step, which goes on with the trials that were finished.
            step.kill()
            process.communicate(timeout=180)
            assert process.returncode == 0
    if victim == "watcher":
        resumed = workspace.step5("houses.csv", **TREES, resume=True)
        assert resumed.code == 0
    family = workspace.sidecar()
    assert family["params"] == unkilled["params"]
    assert family["metrics"]["cv"] == unkilled["cv"]
    ((name, found),) = states(workspace).items()
    assert "RUNNING" not in found
    # One more: the best one was confirmed at full resolution.
    assert found.count("COMPLETE") + found.count("PRUNED") == TREES["trials"] + 1, name


@pytest.mark.parametrize("how", ["halt file", "policy", "ctrl-c"])
def test_a_stop_keeps_what_is_done_and_leaves_no_trial_open(workspace, how):
    with start(workspace, **SEARCH) as process:
        wait_until(lambda: finished_trials(workspace) >= 2, process)
        children = tree(process)
        if how == "halt file":
            (workspace.root / "watcher_halt.flag").write_text("night is over")
        elif how == "policy":
            policy = workspace.root / "watcher_policies.json"
            text = policy.read_text().replace('"halt": false', '"halt": true')
            replacement = policy.with_suffix(".new")
            replacement.write_text(text)
            replacement.replace(policy)
        else:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == (130 if how == "ctrl-c" else 10), err
    check_nothing_is_left(workspace, children)
    for found in states(workspace).values():
        assert not {"RUNNING", "WAITING"} & set(found)
    assert sum(found.count("COMPLETE") for found in states(workspace).values()) >= 2
    document = json.loads(out)
    assert "finished trials are kept" in document["steps"][-1]["result"]["headline"]
    assert not (workspace.root / "models").exists()


def test_a_family_switched_off_mid_run_stops_and_the_others_finish(workspace):
    with start(workspace, **SEARCH) as process:
        wait_until(lambda: finished_trials(workspace) >= 2, process)
        policy = workspace.root / "watcher_policies.json"
        policy.write_text(policy.read_text().replace('"neural_net": true', '"neural_net": false'))
        out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    families = json.loads(out)["steps"][-1]["result"]["families"]
    assert families["neural_net"]["status"] == "skipped"
    assert families["neural_net"]["error"] == "switched off by policy"
    assert [families[f]["status"] for f in ("xgboost", "lightgbm", "catboost")] == ["complete"] * 3


def test_persistent_workers_switched_off_mid_run_lose_nothing(workspace):
    policy = workspace.root / "watcher_policies.json"
    # Long enough for the switch to find it at work; that results are equal is shown elsewhere.
    with start(workspace, **{**TREES, "trials": 40}, pruning=False) as process:
        wait_until(lambda: finished_trials(workspace) >= 1, process)
        text = policy.read_text()
        on = '"use_persistent_workers": true'
        assert on in text
        policy.write_text(text.replace(on, on.replace("true", "false")))
        wait_until(lambda: one_shot_workers(process), process)
        out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    family = json.loads(out)["steps"][-1]["result"]["families"]["lightgbm"]
    assert family["trials_complete"] == 40
    check_nothing_is_left(workspace, [])


def one_shot_workers(process):
    """Workers that were started for one unit of work, and end after it."""
    found = []
    for child in tree(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = child.cmdline()
            found += [child] if "gpu.worker" in line and "--once" in line else []
    return found


def test_a_policy_saved_half_changes_nothing_and_is_said(workspace):
    with start(workspace, **TREES) as process:
        wait_until(lambda: finished_trials(workspace) >= 1, process)
        policy = workspace.root / "watcher_policies.json"
        policy.write_text(policy.read_text()[:100])
        _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert "not valid JSON" in err


def test_a_policy_that_is_torn_and_flipped_again_and_again_changes_no_trial(tmp_path):
    """An editor that saves in place, and a person who cannot decide."""
    search = {"trials": 12, "n_estimators": 600, "early_stopping_rounds": 600, "slots": 2}
    (tmp_path / "calm").mkdir()
    (tmp_path / "torn").mkdir()
    calm = Step5(tmp_path / "calm").run(**search)
    step5 = Step5(tmp_path / "torn")
    texts = [
        json.dumps({"training": {"use_persistent_workers": on, "tree_parallel_workers": most}})
        for on in (True, False)
        for most in (1, 2, None)
    ]
    with step5.start(**search) as process:
        step5.wait_for_trials(process, 1)
        for number in itertools.count():
            if process.poll() is not None:
                break
            text = texts[number % len(texts)]
            with step5.policy_path.open("w") as file:
                for part in (text[:20], text[20:]):
                    file.write(part)
                    file.flush()
                    time.sleep(0.2)
        result = step5.end(process)
    assert number >= 3
    assert result.status == "complete"
    one, other = result.families["lightgbm"], calm.families["lightgbm"]
    assert (one.params, one.cv, one.holdout) == (other.params, other.cv, other.holdout)
    states = [trial.state.name for trial in step5.trials()]
    assert states.count("COMPLETE") + states.count("PRUNED") == search["trials"] + 1


def test_a_step_killed_while_it_finishes_its_last_trials_is_resumed_to_the_same_end(tmp_path):
    search = {"trials": 8, "n_estimators": 1000, "early_stopping_rounds": 1000, "slots": 2}
    (tmp_path / "calm").mkdir()
    (tmp_path / "killed").mkdir()
    calm = Step5(tmp_path / "calm").run(**search)
    step5 = Step5(tmp_path / "killed")
    with step5.start(**search) as process:
        step5.wait_for_trials(process, 2)
        children = tree(process)
        step5.policy(stop_after_trial=True)
        process.kill()
        process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    step5.policy()
    result = step5.run(attempt=2, **search)
    one, other = result.families["lightgbm"], calm.families["lightgbm"]
    assert (one.params, one.cv, one.holdout) == (other.params, other.cv, other.holdout)
    states = [trial.state.name for trial in step5.trials()]
    assert "RUNNING" not in states
    assert states.count("COMPLETE") + states.count("PRUNED") == search["trials"] + 1


def test_workers_killed_again_and_again_cost_no_trial(workspace):
    with start(workspace, **TREES) as process:
        wait_until(lambda: progress(workspace).get("phase") == "searching", process)
        killed = 0
        while process.poll() is None and killed < 6:
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
    family = json.loads(out)["steps"][-1]["result"]["families"]["lightgbm"]
    counted = family["trials_complete"] + family["trials_pruned"] + family["trials_failed"]
    assert counted == TREES["trials"]
    (found,) = states(workspace).values()
    assert len(found) == TREES["trials"] + 1
    assert not {"RUNNING", "WAITING"} & set(found)


def test_a_worker_that_cannot_write_its_model_leaves_the_old_one_intact(workspace):
    """A limit on file size stands for a full disk: writing past it fails in the same place."""
    first = workspace.step5("houses.csv", **{**TREES, "trials": 1})
    assert first.code == 0
    before = workspace.sidecar()

    def limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    policy = workspace.root / "watcher_policies.json"
    policy.write_text(policy.read_text().replace('"max_per_step": 3', '"max_per_step": 0'))
    arguments = workspace.step5_arguments(
        "houses.csv", **{**TREES, "trials": 1, "model_type": "xgboost", "n_estimators": 600},
        study_storage="journal", early_stopping_rounds=600, seed=9,
    )  # fmt: skip
    with workspace.start(*arguments, preexec_fn=limit) as process:
        out, _ = process.communicate(timeout=180)
    assert process.returncode == 1, out
    assert workspace.sidecar() == before
    checkpoint = workspace.root / before["checkpoint_path"]
    assert checkpoint.is_file()
    half = [p for p in Path(workspace.root).rglob("*best_model*") if p.name.startswith(".")]
    assert half == []
