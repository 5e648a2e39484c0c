"""The plain loop's fits are the product's fits, so that only their cost differs."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.plain_models import Rows
from benchmarks.plain_network import fit_network
from gpu.params import complete_params
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import Columns, Split


def test_plain_network_predicts_what_the_trainer_predicts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    y = X[:, 0] - X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=300)
    columns = Columns.all_numeric(4)
    split = Split(X[:200], y[:200], X[200:], y[200:], columns)
    params = complete_params(
        "neural_net", {"hidden_layers": (16,), "epochs": 4, "batch_size": 32, "dropout": 0.0}
    )
    ours = load_trainer("neural_net", "cpu", 1).fit(split, params, seed=3, rounds=None)
    rows = Rows(split.X_train, split.y_train, split.X_val, split.y_val)
    plain = fit_network(params, rows, columns, seed=3, epochs=None)
    assert plain.best_round == ours.best_round
    assert plain.predict(X[200:]) == pytest.approx(ours.predict(X[200:]), abs=1e-4)
