"""Train one network at a time with torch.nn and autograd: the reference that stacks are held to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from gpu.params import NeuralNetParams
from gpu.worker.nn.adam import Adam
from gpu.worker.nn.batches import Batches, batches_of
from gpu.worker.nn.network import build_network, predict_network
from gpu.worker.trainers.base import Diverged


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A network at its best epoch (1-based); losses: see TrainedRow."""

    network: nn.Sequential
    best_epoch: int
    epochs_run: int
    train_losses: tuple[float, ...]
    val_losses: tuple[float, ...]


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
    Products are of float32, whatever params.precision. Raises Diverged when a loss is not finite.
    """
    torch.manual_seed(seed)
    network = build_network(
        X.shape[1],
        params.hidden_layers,
        params.dropout,
        use_leaky_relu=params.use_leaky_relu,
        generator=torch.Generator().manual_seed(seed),
    ).to(X.device)
    # The order of rows comes from a generator of its own: dropout must not change it.
    order = torch.Generator().manual_seed(seed)
    optimizer = Adam(
        network.parameters(),
        kind=params.optimizer,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
    )
    batches = batches_of(len(X), params)
    best_loss, best_epoch, best_state = math.inf, 0, None
    losses: list[float] = []
    val_losses: list[float] = []
    epoch = 0
    for epoch in range(1, (epochs or params.epochs) + 1):
        loss = _train_epoch(network, optimizer, X, y, order, batches, params.clip_norm)
        if not math.isfinite(loss):
            raise Diverged(f"training loss is {loss} in epoch {epoch}")
        losses.append(loss)
        if epochs is not None or X_val is None or y_val is None:
            continue
        val_loss = float(torch.mean((predict_network(network, X_val) - y_val) ** 2))
        if not math.isfinite(val_loss):
            raise Diverged(f"validation loss is {val_loss} in epoch {epoch}")
        val_losses.append(val_loss)
        if val_loss < best_loss:
            best_loss, best_epoch = val_loss, epoch
            best_state = {name: value.clone() for name, value in network.state_dict().items()}
        elif epoch - best_epoch >= params.patience:
            break
    if best_state is None:
        best_epoch = epoch
    else:
        network.load_state_dict(best_state)
    return TrainedNetwork(network.eval(), best_epoch, epoch, tuple(losses), tuple(val_losses))


def _train_epoch(
    network: nn.Module,
    optimizer: Adam,
    X: torch.Tensor,
    y: torch.Tensor,
    order: torch.Generator,
    batches: Batches,
    clip_norm: float,
) -> float:
    network.train()
    total = torch.zeros((), device=X.device)
    parts = [None] if batches.count == 1 else batches.deal(len(X), order).to(X.device)
    for part in parts:
        inputs, target = (X, y) if part is None else (X[part], y[part])
        loss = nn.functional.mse_loss(network(inputs).squeeze(1), target)
        loss.backward()
        if clip_norm > 0:
            nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
        optimizer.step()
        total += loss.detach()
    return float(total) / batches.count
