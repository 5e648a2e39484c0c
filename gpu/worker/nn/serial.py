"""Train one network at a time, with early stopping on the validation loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from gpu.params import NeuralNetParams
from gpu.worker.nn.adam import Adam
from gpu.worker.nn.network import build_network
from gpu.worker.trainers.base import Diverged, FloatMatrix

EVAL_ROWS = 65536


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network at its best epoch. best_epoch is 1-based."""

    network: nn.Sequential
    best_epoch: int
    epochs_run: int


def train_network(
    X: torch.Tensor,
    y: torch.Tensor,
    X_val: torch.Tensor | None,
    y_val: torch.Tensor | None,
    params: NeuralNetParams,
    *,
    seed: int,
    epochs: int | None,
) -> TrainedNetwork:
    """X: float32 (n, width); y: float32 (n,) in standard units, on the same device.

    With `epochs` given, trains for exactly that many and keeps the last; otherwise keeps the epoch
    with the lowest validation loss and stops after params.patience epochs without a better one.
    Raises Diverged when a loss is not finite.
    """
    torch.manual_seed(seed)
    network = build_network(
        X.shape[1], params.hidden_layers, params.dropout, use_leaky_relu=params.use_leaky_relu
    ).to(X.device)
    # The order of rows comes from a generator of its own: dropout must not change it.
    order = torch.Generator().manual_seed(seed)
    optimizer = Adam(
        network.parameters(),
        kind=params.optimizer,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
    )
    batches = _batch_count(len(X), params)
    best_loss, best_epoch, best_state = math.inf, 0, None
    epoch = 0
    for epoch in range(1, (epochs or params.epochs) + 1):
        loss = _train_epoch(network, optimizer, X, y, order, batches)
        if not math.isfinite(loss):
            raise Diverged(f"training loss is {loss} in epoch {epoch}")
        if epochs is not None or X_val is None or y_val is None:
            continue
        val_loss = float(torch.mean((predict_network(network, X_val) - y_val) ** 2))
        if not math.isfinite(val_loss):
            raise Diverged(f"validation loss is {val_loss} in epoch {epoch}")
        if val_loss < best_loss:
            best_loss, best_epoch = val_loss, epoch
            best_state = {name: value.clone() for name, value in network.state_dict().items()}
        elif epoch - best_epoch >= params.patience:
            break
    if best_state is None:
        return TrainedNetwork(network.eval(), best_epoch=epoch, epochs_run=epoch)
    network.load_state_dict(best_state)
    return TrainedNetwork(network.eval(), best_epoch=best_epoch, epochs_run=epoch)


def predict_network(network: nn.Module, X: torch.Tensor) -> torch.Tensor:
    """float32 (n,) in standard units; leaves the network in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part).squeeze(1) for part in X.split(EVAL_ROWS)])


def to_tensor(X: FloatMatrix | np.ndarray, device: str) -> torch.Tensor:
    """A float32 tensor on the device."""
    return torch.from_numpy(np.ascontiguousarray(X, dtype=np.float32)).to(device)


def _batch_count(n_rows: int, params: NeuralNetParams) -> int:
    """Batches an epoch. Rows are dealt evenly, so no batch is a left-over of one row."""
    if params.batch_mode == "full":
        return 1
    return max(1, round(n_rows / params.batch_size))


def _train_epoch(
    network: nn.Module,
    optimizer: Adam,
    X: torch.Tensor,
    y: torch.Tensor,
    order: torch.Generator,
    batches: int,
) -> float:
    network.train()
    total = torch.zeros((), device=X.device)
    rows = torch.randperm(len(X), generator=order).to(X.device) if batches > 1 else None
    parts = [None] if rows is None else torch.tensor_split(rows, batches)
    for part in parts:
        inputs, target = (X, y) if part is None else (X[part], y[part])
        loss = nn.functional.mse_loss(network(inputs).squeeze(1), target)
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(inputs)
    return float(total) / len(X)
