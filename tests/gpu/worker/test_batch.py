"""A batch of networks is answered job by job, whatever becomes of one of them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from gpu.params import SHELL_DEFAULTS
from gpu.protocol import (
    FoldDone,
    PruneRule,
    ShellDone,
    ShellTrain,
    TrainBatch,
    TrainFailed,
    TrainTrial,
    TrialDone,
    encode,
)
from gpu.worker.serve import serve
from gpu.worker.trainers import load_trainer

N, FOLDS = 300, 3
BASE = SHELL_DEFAULTS["neural_net"] | {
    "hidden_layers": [16],
    "epochs": 6,
    "batch_size": 50,
    "patience": 3,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    y = X[:, 0] - X[:, 1] + 0.1 * rng.normal(size=N)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    fold = np.arange(N) % FOLDS
    for k in range(FOLDS):
        np.save(folder / f"train_{k}.npy", np.flatnonzero(fold != k).astype(np.int32))
        np.save(folder / f"val_{k}.npy", np.flatnonzero(fold == k).astype(np.int32))
    (folder / "columns.json").write_text(
        json.dumps({"kinds": ["numeric"] * 4, "levels": [0] * 4}), encoding="utf-8"
    )
    np.savez(folder / "s.npz", X_train=X[:200], y_train=y[:200], X_val=X[200:], y_val=y[200:])
    return folder


@pytest.fixture
def trainer():
    return load_trainer("neural_net", "cpu", 1)


def trial(table, number, *, prune=None, folds=range(FOLDS), **params):
    return TrainTrial(
        id=f"t{number}",
        family="neural_net",
        trial_number=number,
        params=BASE | params,
        table=str(table),
        folds=tuple(folds),
        seed=7,
        predictions_path=str(table / "out" / f"{number}.npy"),
        prune=prune,
    )


def shell(table, number, path="s.npz", **params):
    return ShellTrain(
        command="train",
        X_train_path=str(table / path),
        params=BASE | params,
        trial_number=number,
    )


def ask(trainer, *commands):
    replies = []
    lines = io.BytesIO(b"".join(encode(command) for command in commands))
    serve(lines, replies.append, "neural_net", trainer, 1, once=False)
    return replies


def scores(done):
    return [(s.fold, s.r2, s.val_mse, s.train_mse, s.best_round, s.rounds_run) for s in done.scores]


def test_trials_of_a_batch_score_as_they_do_one_by_one(trainer, table):
    jobs = [trial(table, i, learning_rate=rate) for i, rate in enumerate((1e-3, 1e-2, 3e-3))]
    jobs.append(trial(table, 3, hidden_layers=[8, 4]))
    together = {
        r.id: r for r in ask(trainer, TrainBatch(jobs=tuple(jobs))) if isinstance(r, TrialDone)
    }
    for job in jobs:
        *folds, own = ask(trainer, job)
        assert [fold.score for fold in folds] == list(own.scores)
        np.testing.assert_allclose(scores(own), scores(together[job.id]), rtol=1e-4, atol=1e-5)
    assert {r.networks for r in together.values()} == {1, 3}


def test_predictions_of_every_row_lie_where_they_were_asked_for(trainer, table):
    ask(trainer, TrainBatch(jobs=(trial(table, 10), trial(table, 11))))
    for number in (10, 11):
        assert np.isfinite(np.load(table / "out" / f"{number}.npy")).all()


def test_a_trial_is_answered_before_its_batch_has_ended(trainer, table):
    jobs = (trial(table, 0), trial(table, 1, hidden_layers=[8]))
    replies = ask(trainer, TrainBatch(jobs=jobs))
    kinds = [(type(r), r.id) for r in replies]
    assert kinds.count((FoldDone, "t0")) == kinds.count((FoldDone, "t1")) == FOLDS
    assert kinds.index((TrialDone, "t0")) > max(
        i for i, kind in enumerate(kinds) if kind == (FoldDone, "t0")
    )


def test_a_pruned_trial_has_the_scores_it_would_have_had_alone(trainer, table):
    rule = PruneRule(reference=(0.99, 0.99, 0.99), sigma=0.05, factor=1.0)
    jobs = (trial(table, 0, prune=rule, learning_rate=1e-5), trial(table, 1, prune=rule, epochs=60))
    done = {r.id: r for r in ask(trainer, TrainBatch(jobs=jobs)) if isinstance(r, TrialDone)}
    assert done["t0"].pruned
    assert len(done["t0"].scores) == 1
    assert not done["t1"].pruned
    assert len(done["t1"].scores) == FOLDS


def test_threads_and_stages_change_no_record(table):
    rule = PruneRule(reference=(0.99, 0.99, 0.99), sigma=0.05, factor=1.0)
    jobs = tuple(
        trial(table, i, prune=rule, learning_rate=rate, dropout=0.1)
        for i, rate in enumerate((1e-5, 1e-2))
    )
    records = []
    for threads in (1, 3):
        replies = ask(load_trainer("neural_net", "cpu", threads), TrainBatch(jobs=jobs))
        records.append({r.id: scores(r) for r in replies if isinstance(r, TrialDone)})
    assert records[0] == records[1]


def test_a_bad_job_is_answered_with_its_own_error(trainer, table):
    jobs = (
        trial(table, 0),
        trial(table, 1, no_such_parameter=1),
        trial(table / "missing", 2),
        trial(table, 3, folds=(0, 9)),
        trial(table, 4, learning_rate=1e30),
    )
    replies = ask(trainer, TrainBatch(jobs=jobs))
    failed = {r.id: r for r in replies if isinstance(r, TrainFailed)}
    assert [r.id for r in replies if isinstance(r, TrialDone)] == ["t0"]
    assert sorted(failed) == ["t1", "t2", "t3", "t4"]
    assert failed["t1"].kind == "bad_job"
    assert "missing" in failed["t2"].message
    assert "val_9" in failed["t3"].message or "train_9" in failed["t3"].message
    assert failed["t4"].kind == "diverged"


def test_shell_jobs_of_a_batch_are_answered_each(trainer, table):
    jobs = (
        shell(table, 0),
        shell(table, 1, "none.npz"),
        shell(table, 2, learning_rate=1e30),
        shell(table, 3, epocs=3),
        shell(table, 4, learning_rate=0.01),
    )
    replies = ask(trainer, TrainBatch(jobs=jobs, n_concurrent=2))
    done = {r.trial_number: r for r in replies if isinstance(r, ShellDone)}
    failed = {r.trial_number: r.kind for r in replies if isinstance(r, TrainFailed)}
    assert sorted(done) == [0, 4]
    assert failed == {1: "bad_job", 2: "diverged", 3: "bad_job"}
    (alone,) = ask(trainer, jobs[4])
    assert alone.r2 == pytest.approx(done[4].r2, abs=1e-4)


def test_n_concurrent_bounds_the_networks_of_one_computation(trainer, table):
    jobs = tuple(trial(table, i) for i in range(4))
    for most in (1, 2, 3):
        replies = ask(trainer, TrainBatch(jobs=jobs, n_concurrent=most))
        networks = {r.networks for r in replies if isinstance(r, TrialDone)}
        assert max(networks) <= most


def test_running_out_of_memory_halves_the_stack_and_is_remembered(table):
    """The limit on memory is the process's own, so that the failure is a real one."""
    code = textwrap.dedent(
        f"""
        import io, json, resource
        from gpu.params import SHELL_DEFAULTS
        from gpu.protocol import TrainBatch, TrainTrial, encode
        from gpu.worker.nn import plan
        from gpu.worker.serve import serve
        from gpu.worker.trainers import load_trainer

        plan.CPU_STACK_BYTES = 1 << 40  # as large a stack as is asked for
        trainer = load_trainer("neural_net", "cpu", 1)
        def job(number, units, folds=(0,)):
            params = SHELL_DEFAULTS["neural_net"] | {{
                "hidden_layers": [units], "epochs": 1, "batch_mode": "full"}}
            return TrainTrial(id=f"t{{number}}", family="neural_net", trial_number=number,
                params=params, table={str(table)!r}, folds=folds, seed=0,
                predictions_path={str(table)!r} + f"/out/m{{number}}.npy")
        def ask(*jobs):
            replies = []
            serve(io.BytesIO(encode(TrainBatch(jobs=jobs))), replies.append, "neural_net",
                trainer, 1, once=True)
            return [r for r in replies if r.status != "fold"]
        ask(job(0, 8))
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + (192 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        first = ask(*(job(i, 8192) for i in range(16)))
        learnt = trainer._pack.learnt_limit
        second = ask(*(job(i, 8192) for i in range(3)))
        third = ask(job(0, 1 << 20))
        fourth = ask(job(0, 8))
        print(json.dumps([learnt] + [[(r.status, getattr(r, "kind", None),
            getattr(r, "networks", None)) for r in rs] for rs in (first, second, third, fourth)]))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    learnt, first, second, third, fourth = json.loads(done.stdout.splitlines()[-1])
    assert 1 <= learnt < 16
    assert [status for status, _, _ in first] == ["trial_complete"] * 16
    assert max(networks for _, _, networks in first + second) <= learnt
    assert [(status, kind) for status, kind, _ in third] == [("error", "oom")]
    assert [status for status, _, _ in fourth] == ["trial_complete"]
