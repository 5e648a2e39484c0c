"""Step 5 obeys the policy while it runs, with real processes; what was done is kept and counts."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import time
from collections import Counter

import psutil
import pytest
from tests_step5 import Step5, finished, running, wait_until

from gpu.host.devices import Detection, Device, cpu_slots
from steps.artifacts import SIDECAR, publish_version, read_sidecar
from steps.step5_training import placement

# Some seconds of search on two slots; results do not depend on how many there are.
SEARCH = {
    "trials": 10,
    "n_estimators": 1000,
    "early_stopping_rounds": 1000,
    "pruning": False,
    "slots": 2,
}
QUICK = {"trials": 2, "n_estimators": 20}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What SEARCH comes to when nobody interferes."""
    return Step5(tmp_path_factory.mktemp("undisturbed")).run_here(**SEARCH)


def same_outcome(result, undisturbed):
    one, other = result.families["lightgbm"], undisturbed.families["lightgbm"]
    assert result.status == "complete", result
    assert (one.params, one.best_trial, one.cv) == (other.params, other.best_trial, other.cv)
    assert one.holdout == other.holdout
    assert one.trials_complete + one.trials_pruned == SEARCH["trials"]


def counted(trials):
    """How often each position has come to an end that counts."""
    ended = [t for t in trials if "position" in t.user_attrs and t.state.name != "FAIL"]
    return Counter(trial.user_attrs["position"] for trial in ended)


def placement_notes(result):
    return [note.message for note in result.notes if note.code == "placement"]


def test_after_the_current_trial_the_run_halts_and_resumes_to_the_same_end(step5, undisturbed):
    with step5.start(**SEARCH) as process:
        # The whole search is before it: however late this process gets to flip the switch, once
        # two trials are told as finished, all ten may be.
        wait_until(lambda: running(step5.progress()) >= 1, process)
        step5.policy(stop_after_trial=True)
        halted = step5.end(process)
    assert halted.status == "halted"
    assert "stop_after_trial" in halted.headline
    assert "finished trials are kept" in halted.headline
    assert "stop_after_trial" in halted.what_next[0]
    assert "--resume" in halted.what_next[1]
    done = halted.families["lightgbm"].trials_complete
    assert 1 <= done < SEARCH["trials"]
    # What ran was finished; what had not begun is due again.
    assert not any("started" in t.user_attrs for t in step5.trials() if t.state.name == "FAIL")
    step5.policy()
    same_outcome(step5.run_here(attempt=2, **SEARCH), undisturbed)
    assert counted(step5.trials()) == dict.fromkeys(range(SEARCH["trials"]), 1)


def test_a_step_killed_while_it_finishes_its_last_trials_is_resumed_to_the_same_end(
    step5, undisturbed
):
    with step5.start(**SEARCH) as process:
        step5.wait_for_trials(process, 2)
        children = psutil.Process(process.pid).children(recursive=True)
        step5.policy(stop_after_trial=True)
        process.kill()
        process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    step5.policy()
    same_outcome(step5.run_here(attempt=2, **SEARCH), undisturbed)
    assert counted(step5.trials()) == dict.fromkeys(range(SEARCH["trials"]), 1)
    assert "RUNNING" not in {trial.state.name for trial in step5.trials()}


def test_a_policy_that_is_torn_and_flipped_again_and_again_changes_no_trial(step5, undisturbed):
    """An editor that saves in place, and a person who cannot decide."""
    texts = [
        json.dumps({"training": {"use_persistent_workers": on, "tree_parallel_workers": most}})
        for on in (True, False)
        for most in (1, 2, None)
    ]
    with step5.start(**SEARCH) as process:
        step5.wait_for_trials(process, 1)
        step5.policy(use_persistent_workers=False)
        wait_until(lambda: one_shot_workers(process), process)
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
    same_outcome(result, undisturbed)
    assert counted(step5.trials()) == dict.fromkeys(range(SEARCH["trials"]), 1)


def one_shot_workers(process):
    """Workers that were started for one unit of work, and end after it."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            line = child.cmdline()
            found += [child] if "gpu.worker" in line and "--once" in line else []
    return found


def test_tree_workers_are_fewer_and_more_while_it_runs(step5, undisturbed):
    step5.policy(tree_parallel_workers=1)
    with step5.start(**SEARCH) as process:
        seen = 0
        while finished(step5.progress()) < 3:
            seen = max(seen, running(step5.progress()))
            assert process.poll() is None
            time.sleep(0.01)
        assert seen == 1
        step5.policy(tree_parallel_workers=2)
        wait_until(lambda: running(step5.progress()) == 2, process)
        result = step5.end(process)
    same_outcome(result, undisturbed)


def test_diagnostics_switched_off_are_said_to_be_absent_and_not_healthy(step5):
    step5.policy(diagnostics=False)
    result = step5.run_here(**QUICK)
    assert result.status == "complete"
    assert result.families["lightgbm"].severity == "warning"
    assert [n.level for n in result.notes if n.code == "diagnostics_off"] == ["warning"]
    path = step5.root / "diagnostics_outputs" / "training_diagnostics.json"
    diagnostics = json.loads(path.read_text())
    assert diagnostics["families"]["lightgbm"]["severity"] == "warning"
    assert diagnostics["families"]["lightgbm"]["findings"] == []
    assert diagnostics["families"]["lightgbm"]["folds"] == []
    assert "diagnostics_off" in [note["code"] for note in diagnostics["notes"]]


def test_a_worse_model_waits_for_a_person_who_may_put_it_in_force(step5):
    step5.policy(approvals={"before_replacing_better": True})
    good = step5.run_here("good", **{**QUICK, "n_estimators": 100})
    assert good.awaiting is None
    worse = step5.run_here("worse", **{**QUICK, "n_estimators": 2})
    assert worse.status == "complete"
    awaiting = worse.awaiting
    assert (awaiting.what, awaiting.agent) == ("publish", "reinforcement")
    assert "watcher --approve worse" in worse.what_next[0]
    for result in (good, worse):
        assert f"{result.families['lightgbm'].holdout.r2.value:.3f}" in awaiting.reason
    assert awaiting.reason in worse.headline
    in_force = step5.root / "models" / "reinforcement" / SIDECAR
    assert read_sidecar(in_force).run_id == "good"
    # The files that the result names are there, with the hashes that it names.
    assert all((step5.root / output.path).is_file() for output in worse.outputs)
    publish_version(step5.root, awaiting.agent, awaiting.version)
    assert read_sidecar(in_force).run_id == "worse"
    # Now the better one replaces it without a question.
    better = step5.run_here("better", **{**QUICK, "n_estimators": 100})
    assert better.awaiting is None
    assert read_sidecar(in_force).run_id == "better"


def test_gpus_switched_off_and_on_while_it_runs_lose_nothing(step5, undisturbed, monkeypatch):
    """LightGBM trains on the CPU wherever its lease is, so made-up GPUs that it leases will do."""
    monkeypatch.setattr(Device, "trains", lambda device, family: True)
    gpus = tuple(Device("cuda", f"GPU-{i}", i, f"GPU {i}", 80_000, 70_000) for i in range(2))

    def detect(environ, use_gpus=True):
        return Detection(gpus if use_gpus else tuple(cpu_slots(2)), ())

    monkeypatch.setattr(placement, "detect", detect)
    monkeypatch.setattr(placement, "crowded", lambda device, need_mib: None)

    def devices():
        progress = step5.progress()
        families = progress.families.values() if progress else ()
        return {trial.device[:3] for family in families for trial in family.running}

    seen = []
    stopped = threading.Event()

    def switch():
        """Off after the first trials, on again once the work has moved."""
        for policy, condition in (
            ({"use_gpus": False}, lambda: finished(step5.progress()) >= 2),
            ({}, lambda: devices() == {"CPU"}),
            ({"gpus_off": ["0"]}, lambda: devices() == {"GPU"}),
        ):
            while not condition():
                if stopped.wait(0.01):
                    return
            seen.append(time.monotonic())
            step5.policy(**policy)

    thread = threading.Thread(target=switch)
    thread.start()
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    result = step5.run_here(**SEARCH)
    stopped.set()
    thread.join()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
    assert len(seen) == 3
    assert seen[2] - seen[0] < 10
    same_outcome(result, undisturbed)
    assert counted(step5.trials()) == dict.fromkeys(range(SEARCH["trials"]), 1)
    told = placement_notes(result)
    assert told[0].startswith("lightgbm on 2 GPUs, one trial a GPU")
    assert any("while the search was on: 2 CPU slots" in message for message in told)
    assert any("begun again because their GPU was switched off" in message for message in told)
