"""The training loop that people write for a network: torch.optim, batches by index, best state."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from benchmarks.plain_models import PlainModel, Rows
from gpu.params import NeuralNetParams
from gpu.worker.nn.batches import batches_of
from gpu.worker.nn.inputs import fit_inputs
from gpu.worker.nn.network import build_network
from gpu.worker.trainers.base import Columns


def fit_network(
    params: NeuralNetParams, rows: Rows, columns: Columns, *, seed: int, epochs: int | None
) -> PlainModel:
    """Train with early stopping on the validation rows, or for exactly `epochs` without them.

    The inputs are the product's own encoding, so that both ways train on the same numbers. Batches
    are dealt by index from one tensor, which is faster than a DataLoader.
    """
    inputs = fit_inputs(
        rows.X_train, rows.y_train, columns, normalize=params.normalize_features, seed=seed
    )
    encoding = inputs.encoding
    X = torch.from_numpy(inputs.X)
    y = torch.from_numpy(encoding.scale_target(rows.y_train))
    X_val = y_val = None
    if rows.X_val is not None and rows.y_val is not None:
        X_val = torch.from_numpy(encoding.encode(rows.X_val))
        y_val = torch.from_numpy(encoding.scale_target(rows.y_val))

    torch.manual_seed(seed)
    # The product's own initial weights and batches, so that the fits are the same.
    network = build_network(
        X.shape[1],
        params.hidden_layers,
        params.dropout,
        use_leaky_relu=params.use_leaky_relu,
        generator=torch.Generator().manual_seed(seed),
    )
    kind = torch.optim.AdamW if params.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(
        network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay
    )
    loss_function = nn.MSELoss()
    order = torch.Generator().manual_seed(seed)
    batches = batches_of(len(X), params)
    best_loss, best_epoch, best_state = float("inf"), 0, None
    epoch = 0
    for epoch in range(1, (epochs or params.epochs) + 1):
        network.train()
        for batch in batches.deal(len(X), order):
            optimizer.zero_grad()
            loss = loss_function(network(X[batch]).squeeze(1), y[batch])
            loss.backward()
            optimizer.step()
        if X_val is None or y_val is None:
            continue
        network.eval()
        with torch.no_grad():
            val_loss = loss_function(network(X_val).squeeze(1), y_val).item()
        if val_loss < best_loss:
            best_loss, best_epoch = val_loss, epoch
            best_state = copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= params.patience:
            break
    if best_state is not None:
        network.load_state_dict(best_state)
    network.eval()

    def predict(X_new: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            standard = network(torch.from_numpy(encoding.encode(X_new))).squeeze(1)
        return encoding.unscale_target(standard.numpy())

    return PlainModel(predict, best_epoch if best_state is not None else epoch)
