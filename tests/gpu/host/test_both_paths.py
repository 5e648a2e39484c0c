"""A worker that has served other trials answers as a process that serves this one alone."""

from __future__ import annotations

import json

import numpy as np
import psutil
import pytest

from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.pool import JobEnded, Pool
from gpu.params import complete_params
from gpu.protocol import TrainTrial, TrialDone

FOLDS = (0, 1)


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    rng = np.random.default_rng(7)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", X[:, 0] * X[:, 1] + 0.1 * rng.normal(size=300))
    rows = rng.permutation(300).astype(np.int32)
    for fold in FOLDS:
        np.save(folder / f"train_{fold}.npy", np.sort(np.roll(rows, 100 * fold)[:200]))
        np.save(folder / f"val_{fold}.npy", np.sort(np.roll(rows, 100 * fold)[200:]))
    columns = {"kinds": ["numeric"] * 4, "levels": [0] * 4}
    (folder / "columns.json").write_text(json.dumps(columns), encoding="utf-8")
    return folder


def run(table, leaves, *, persistent):
    """Results and predictions of one trial a number of leaves, one after the other."""
    results, answered_by = [], set()
    leases = LeaseQueue(cpu_slots(1), table.parent / "locks")
    with Pool(leases, threads=1, persistent=persistent) as pool:
        for number in leaves:
            params = {"num_leaves": number, "n_estimators": 20, "bagging_fraction": 0.7}
            path = table.parent / f"{persistent}-{number}.npy"
            job = TrainTrial(
                id=f"t{number}",
                family="lightgbm",
                trial_number=number,
                params=complete_params("lightgbm", params).model_dump(),
                table=str(table),
                folds=FOLDS,
                seed=3,
                predictions_path=str(path),
            )
            assert pool.try_start(job)
            answered_by |= {child.pid for child in psutil.Process().children()}
            outcome = None
            while outcome is None:
                ends = [event for event in pool.wait(30.0) if isinstance(event, JobEnded)]
                outcome = ends[0].outcome if ends else None
            assert isinstance(outcome, TrialDone), outcome
            scores = [score.model_copy(update={"duration_s": 0.0}) for score in outcome.scores]
            results.append((scores, path.read_bytes()))
    return results, len(answered_by)


def test_both_ways_of_running_a_trial_give_the_same_scores_and_predictions(table):
    one_worker, workers = run(table, [31, 4, 15], persistent=True)
    assert workers == 1
    alone, workers = run(table, [4, 15], persistent=False)
    assert workers == 2
    assert one_worker[1:] == alone
