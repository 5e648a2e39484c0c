"""Faults planted into real trainings: the metric that is meant for each finds it, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from gpu.params import SHELL_DEFAULTS
from gpu.protocol import FinalFit, TrainTrial
from gpu.protocol.observations import FitObservations
from gpu.worker.jobs import run_final_fit, run_trial
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import Diverged
from steps.policies.health import MetricBounds
from steps.step5_training.diagnosis.metrics import (
    fold_metrics,
    importance_metrics,
    network_metrics,
)
from steps.step5_training.diagnosis.rules import Standing, judge_metrics
from steps.step5_training.folds import Fold, Splits
from steps.step5_training.layout import lay_out

N = 300
BLUNT = Standing(own="strong", best="strong", needs_harm=False)
NETWORK = {"hidden_layers": [16, 8], "batch_size": 64, "epochs": 20}


class Columns:
    """As much of a table as a layout asks for."""

    def __init__(self, X, y):
        self.X, self.y = X.astype(np.float32), y
        self.kinds, self.levels = ("numeric",) * X.shape[1], (0,) * X.shape[1]


@pytest.fixture
def planted(tmp_path):
    """Train on (X, y) and judge what was observed: findings by code, with their levels."""
    rows = np.arange(N)
    search, holdout = rows[: N * 4 // 5], rows[N * 4 // 5 :]
    folds = tuple(Fold(k, search[search % 3 != k], search[search % 3 == k]) for k in range(3))

    def trial(X, y, **params):
        lay_out(Columns(X, y), Splits(search, holdout, folds, ""), tmp_path)
        record = {**SHELL_DEFAULTS["lightgbm"], **params}
        job = TrainTrial(
            id="t",
            family="lightgbm",
            trial_number=0,
            params=record,
            table=str(tmp_path),
            folds=(0, 1, 2),
            seed=0,
            predictions_path=str(tmp_path / "p.npy"),
        )
        done = run_trial(job, load_trainer("lightgbm", "cpu", 1), lambda _: None)
        return judged(fold_metrics(done.scores, record["n_estimators"]))

    def fit(X, y, family="neural_net", rounds=20, **params):
        lay_out(Columns(X, y), Splits(search, holdout, folds, ""), tmp_path)
        own = NETWORK if family == "neural_net" else {}
        job = FinalFit(
            id="f",
            family=family,
            trial_number=0,
            params={**SHELL_DEFAULTS[family], **own, **params},
            rounds=rounds,
            table=str(tmp_path),
            seed=0,
            checkpoint_path=str(tmp_path / ("c.pth" if family == "neural_net" else "c.txt")),
            preprocessing_path=str(tmp_path / "c.json"),
            predictions_path=str(tmp_path / "p.npy"),
            observations_path=str(tmp_path / "o.json"),
        )
        run_final_fit(job, load_trainer(family, "cpu", 1))
        seen = FitObservations.model_validate_json((tmp_path / "o.json").read_bytes())
        assert seen.absent == ()
        return judged({**importance_metrics(seen.importances), **network_metrics(seen.network)})

    def judged(metrics):
        return {f.code: f.level for f in judge_metrics(metrics, MetricBounds(), BLUNT)}

    trial.fit = fit
    return trial


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(N, 6))


def noise(scale=1.0):
    return scale * np.random.default_rng(1).normal(size=N)


def test_a_healthy_tree_model_overfits_a_little_and_a_healthy_network_has_no_finding(planted, X):
    y = 2 * X[:, 0] + X[:, 1] + noise()
    # Without asking for harm, that is: most healthy trees do.
    assert set(planted(X, y, num_leaves=4, learning_rate=0.05)) <= {"overfit"}
    assert planted.fit(X, y) == {}


def test_noise_peaks_early(planted, X):
    assert planted(X, noise(), learning_rate=0.3)["early_peak"] == "critical"


def test_rows_learnt_by_heart_are_overfitting(planted, X):
    own = {"n_estimators": 80, "early_stopping_rounds": 80, "min_data_in_leaf": 2}
    found = planted(X, 0.5 * X[:, 0] + noise(), learning_rate=0.3, **own)
    assert found["overfit"] == "critical"
    assert "early_peak" not in found


def test_a_relation_that_turns_round_in_one_fold_makes_folds_unstable(planted, X):
    y = X[:, 0].copy()
    y[np.arange(N) % 3 == 0] *= -1
    assert planted(X, y)["fold_instability"] == "critical"


def test_a_column_that_leaks_leaves_the_others_unused(planted, X):
    y = noise()
    X[:, 2] = y
    assert planted.fit(X, y, "lightgbm", rounds=10) == {"unused_features": "critical"}


def test_a_rate_that_explodes_is_seen_in_the_gradients(planted, X):
    found = planted.fit(X, 2 * X[:, 0] + noise(0.3), learning_rate=100.0)
    assert found == {"exploding_gradients": "critical"}


def test_a_network_of_relus_that_a_large_rate_has_killed_is_dead(planted, X):
    own = {"learning_rate": 1.0, "use_leaky_relu": False}
    found = planted.fit(X, 2 * X[:, 0] + noise(0.3), **own)
    assert found["dead_units"] == "critical"


def test_a_feature_on_a_scale_of_its_own_leaves_the_others_unused(planted, X):
    y = 2 * X[:, 0] + noise(0.3)
    X[:, 1] *= 1e6
    found = planted.fit(X, y, normalize_features=False)
    assert found == {"unused_features": "critical", "vanishing_gradients": "warning"}


def test_a_loss_that_is_no_number_is_a_failure_and_no_metric(planted, X):
    with pytest.raises(Diverged):
        planted.fit(X, 2 * X[:, 0], learning_rate=1e8)
