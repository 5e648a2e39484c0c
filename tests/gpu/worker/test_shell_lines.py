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


def worker(lines, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "gpu.worker", *arguments],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
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


# `python -m gpu.trial`, and the training libraries that it has loaded when it ends.
TRIAL = """
import os, runpy, sys
def leave(status):
    names = ("torch", "xgboost", "lightgbm", "catboost", "sklearn")
    print("loaded", [name for name in names if sys.modules.get(name)], file=sys.stderr, flush=True)
    end(status)
end, os._exit = os._exit, leave
runpy.run_module("gpu.trial", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trial_process_prints_one_object_saves_its_model_and_loads_its_own_library_only(
    family, split, tmp_path
):
    done = subprocess.run(
        [
            *(sys.executable, "-c", TRIAL, "--model-type", family),
            *("--data-path", str(split), "--params", "{}"),
            *("--save-model", "--model-output-dir", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    result = json.loads(done.stdout)
    assert result["status"] == "complete"
    assert result["r2"] > 0.5
    assert result["checkpoint_path"] == str(tmp_path / f"model.{CHECKPOINT_FORMATS[family]}")
    assert (tmp_path / f"model.{CHECKPOINT_FORMATS[family]}").stat().st_size > 0
    library = "torch" if family == "neural_net" else family
    assert done.stderr.splitlines()[-1] == f"loaded {[library]}"


def test_a_trial_process_says_what_is_wrong_and_fails(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gpu.trial", "--model-type", "xgboost"),
            *("--data-path", str(tmp_path / "none.npz")),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["kind"] == "bad_job"
