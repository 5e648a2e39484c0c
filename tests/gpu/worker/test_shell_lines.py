"""The lines that people type into a shell, as docs/protocol.md prints them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from gpu.params import CHECKPOINT_FORMATS, FAMILIES

TRAIN = (
    '{"command":"train","X_train_path":"%s","params":{"hidden_layers":[64,32],'
    '"learning_rate":0.001,"epochs":5},"trial_number":0,"fold_idx":0,'
    '"normalize_features":true,"use_leaky_relu":true,"batch_mode":"full"}'
)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5)).astype(np.float32)
    y = X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=400)
    path = tmp_path_factory.mktemp("split") / "t.npz"
    np.savez(path, X_train=X[:300], y_train=y[:300], X_val=X[300:], y_val=y[300:])
    return path


def python(*arguments, said=None, check=True):
    """A Python process that has ended; said: its standard input."""
    return subprocess.run(
        [sys.executable, *arguments],
        input=said,
        capture_output=True,
        text=True,
        timeout=120,
        check=check,
    )


def worker(lines, *arguments):
    said = "".join(f"{line}\n" for line in lines)
    done = python("-m", "gpu.worker", *arguments, said=said, check=False)
    return done, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def session(split):
    """What one worker answers to good and bad lines, until its input ends."""
    jobs = [json.loads(TRAIN % split) | {"trial_number": i} for i in range(3)]
    lines = [
        *[TRAIN % split] * 3,
        "{",
        '{"command":"ping"}',
        TRAIN % "/no/such.npz",
        (TRAIN % split).replace('"epochs"', '"epocs"'),
        (TRAIN % split).replace("0.001", "1e30"),
        TRAIN % split,
        json.dumps({"command": "train_batch", "jobs": jobs, "n_concurrent": 2}),
    ]
    return worker(lines)


def test_a_train_line_gives_one_result_after_ready_and_the_end_of_lines_a_clean_exit(session):
    done, replies = session
    assert done.returncode == 0
    assert [reply["status"] for reply in replies[:2]] == ["ready", "complete"]
    assert replies[0]["device"] == "cpu"
    assert replies[1]["epochs_run"] == 5
    assert {"model_type", "trial_number", "fold_idx", "r2", "val_mse", "train_mse", "duration"} <= (
        replies[1].keys()
    )


def test_many_trains_share_one_start_and_equal_lines_have_equal_answers(session):
    _, replies = session
    trains = [*replies[1:4], replies[9]]
    assert [reply["status"] for reply in trains] == ["complete"] * 4
    assert len({reply["r2"] for reply in trains}) == 1


def test_a_worker_outlives_bad_lines_and_bad_jobs(session):
    _, replies = session
    assert [reply["status"] for reply in replies[4:10]] == [
        "error",
        "pong",
        "error",
        "error",
        "error",
        "complete",
    ]
    assert "no such file" in replies[6]["message"]
    assert "did you mean 'epochs'" in replies[7]["message"]
    assert replies[6]["trial_number"] == 0


def test_a_learning_rate_that_explodes_is_reported_as_diverged(session):
    _, replies = session
    assert replies[8]["kind"] == "diverged"


def test_a_batch_is_answered_by_a_line_a_job(session):
    _, replies = session
    assert sorted(reply["trial_number"] for reply in replies[10:]) == [0, 1, 2]


def test_nothing_is_answered_after_a_shutdown(split):
    done, replies = worker([TRAIN % split, '{"command":"shutdown"}', TRAIN % split])
    assert done.returncode == 0
    assert [reply["status"] for reply in replies] == ["ready", "complete"]


def test_once_answers_one_job(split):
    done, replies = worker([TRAIN % split, TRAIN % split], "--once")
    assert (done.returncode, len(replies)) == (0, 2)


# The library of a family, where it is not named like it.
LIBRARIES = {"neural_net": "torch"}
# Runs the module that is named first; tells the libraries that it has loaded when it ends.
LOADED = """
import os, runpy, sys
def leave(status):
    names = ("torch", "xgboost", "lightgbm", "catboost", "sklearn", "pandas", "matplotlib")
    print("loaded", [name for name in names if sys.modules.get(name)], file=sys.stderr, flush=True)
    end(status)
end, os._exit = os._exit, leave
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
# `python -m gpu.trial` once for each way in which a library may fail.
FAILING = """
import os, sys
from types import SimpleNamespace
import numpy as np
from gpu import trial
from gpu.worker import trainers
from gpu.worker.trainers.base import Diverged

class LibraryError(Exception):
    pass

def raising(error):
    def act(*_, **__):
        raise error
    return act

def fits(fit):
    return lambda *_: SimpleNamespace(family="lightgbm", device_name="cpu", fit=fit)

for load in (
    fits(lambda *_, **__: np.empty(1 << 50)),
    fits(raising(RuntimeError("CUDA out of memory"))),
    fits(raising(RuntimeError("a bug"))),
    fits(raising(LibraryError("what it says"))),
    fits(raising(ValueError("bad rows"))),
    fits(raising(Diverged("nan"))),
    raising(ModuleNotFoundError("no library")),
):
    trainers.load_trainer = load
    child = os.fork()
    if child == 0:
        os._exit(trial.main())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trial_process_prints_one_object_saves_its_model_and_loads_its_own_library_only(
    family, split, tmp_path
):
    done = python(
        *("-c", LOADED, "gpu.trial", "--model-type", family),
        *("--data-path", str(split), "--params", "{}"),
        *("--save-model", "--model-output-dir", str(tmp_path)),
    )
    result = json.loads(done.stdout)
    assert result["status"] == "complete"
    assert result["r2"] > 0.5
    assert result["checkpoint_path"] == str(tmp_path / f"model.{CHECKPOINT_FORMATS[family]}")
    assert (tmp_path / f"model.{CHECKPOINT_FORMATS[family]}").stat().st_size > 0
    assert done.stderr.splitlines()[-1] == f"loaded {[LIBRARIES.get(family, family)]}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_worker_loads_the_library_of_its_family_and_no_other(family):
    shutdown = '{"command":"shutdown"}\n'
    done = python("-c", LOADED, "gpu.worker", "--family", family, said=shutdown)
    assert json.loads(done.stdout)["family"] == family
    assert done.stderr.splitlines()[-1] == f"loaded {[LIBRARIES.get(family, family)]}"


def test_a_trial_process_prints_one_object_whatever_its_library_raises(split):
    done = python("-c", FAILING, "--model-type", "lightgbm", "--data-path", str(split))
    failures = [json.loads(line) for line in done.stdout.splitlines()]
    assert [failure["status"] for failure in failures] == ["error"] * 7
    assert [failure["kind"] for failure in failures] == [
        *("oom", "oom", "internal", "internal", "bad_job", "diverged", "internal")
    ]
    assert failures[3]["message"].startswith("LibraryError: what it says\n")


def test_a_trial_process_says_what_is_wrong_and_fails(tmp_path):
    missing = str(tmp_path / "none.npz")
    arguments = ("-m", "gpu.trial", "--model-type", "xgboost", "--data-path", missing)
    done = python(*arguments, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["kind"] == "bad_job"
