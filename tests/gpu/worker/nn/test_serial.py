from __future__ import annotations

import pytest
import torch

from gpu.params import complete_params
from gpu.worker.nn.batches import Batches
from gpu.worker.nn.network import predict_network
from gpu.worker.nn.serial import train_network
from gpu.worker.trainers.base import Diverged

SMALL = {"hidden_layers": (16,), "epochs": 30, "batch_size": 32, "patience": 3}


def make(n=200):
    torch.manual_seed(0)
    X = torch.randn(n, 3)
    return X, X[:, 0] - X[:, 1]


def test_the_kept_network_is_that_of_the_best_epoch():
    X, y = make()
    X_val, y_val = torch.randn(100, 3), torch.randn(100)
    params = complete_params("neural_net", SMALL)
    trained = train_network(X, y, X_val, y_val, params, seed=1, epochs=None)
    fixed = train_network(X, y, None, None, params, seed=1, epochs=trained.best_epoch)
    torch.testing.assert_close(
        predict_network(trained.network, X_val), predict_network(fixed.network, X_val)
    )


def test_training_stops_after_its_patience():
    X, y = make()
    params = complete_params("neural_net", {**SMALL, "epochs": 500})
    trained = train_network(
        X, y, torch.randn(100, 3), torch.randn(100), params, seed=1, epochs=None
    )
    assert trained.epochs_run == trained.best_epoch + 3


def test_no_batch_is_a_single_row():
    X, y = make(n=65)
    params = complete_params("neural_net", {**SMALL, "batch_size": 64, "epochs": 2})
    assert train_network(X, y, None, None, params, seed=1, epochs=2).epochs_run == 2


def test_dropout_does_not_change_the_order_of_rows():
    orders = []
    for dropout in (0.0, 0.5):
        params = complete_params("neural_net", {**SMALL, "dropout": dropout})
        seen = []
        X, y = make()
        original = Batches.deal

        def record(*arguments, seen=seen, original=original):
            seen.append(original(*arguments))
            return seen[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Batches, "deal", record)
            train_network(X, y, None, None, params, seed=1, epochs=2)
        orders.append(torch.stack(seen))
    assert torch.equal(orders[0], orders[1])


def test_a_loss_that_is_not_finite_is_an_error():
    X, y = make()
    params = complete_params("neural_net", {**SMALL, "learning_rate": 1e30})
    with pytest.raises(Diverged, match="loss is"):
        train_network(X, y, X, y, params, seed=1, epochs=None)
