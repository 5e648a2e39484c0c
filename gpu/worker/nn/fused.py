"""Train a stack of networks; each stops by its own validation loss and leaves the stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from gpu.params import NeuralNetParams
from gpu.worker.nn.batches import Batches, batches_of
from gpu.worker.nn.dropout_bits import DropoutBits
from gpu.worker.nn.network import SLOPE, build_network
from gpu.worker.nn.stack import Stack
from gpu.worker.nn.stack_adam import PerModel
from gpu.worker.nn.stack_layout import Architecture, Layout
from gpu.worker.nn.stack_space import Group
from gpu.worker.trainers.base import Diverged

# Called before the training (epoch 0) and at the end of every epoch (from 1) with the network's row
# (see Layout), float32 (size,), which goes on changing afterwards.
AfterEpoch = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True, slots=True)
class FoldRows:
    """The encoded rows of one fold, on the device. seed: of its networks.

    X: float32 (n, width); y: float32 (n,) in standard units; X_val, y_val: the same, or None.
    """

    X: torch.Tensor
    y: torch.Tensor
    X_val: torch.Tensor | None
    y_val: torch.Tensor | None
    seed: int


@dataclass(frozen=True, slots=True)
class Member:
    """A network to train: its parameters, which of the folds it trains on, and who watches."""

    fold: int
    params: NeuralNetParams
    after_epoch: AfterEpoch | None = None


@dataclass(frozen=True, slots=True)
class TrainedRow:
    """A network at its best epoch (1-based). row, running: see Layout.fill.

    predictions: of the validation rows at that epoch, float32 (n_val,) in standard units, or None.
    train_losses, val_losses: mean squared error of each epoch in standard units; the second is
    empty without validation rows.
    """

    architecture: Architecture
    row: torch.Tensor
    running: list[torch.Tensor]
    predictions: torch.Tensor | None
    best_epoch: int
    epochs_run: int
    train_losses: tuple[float, ...]
    val_losses: tuple[float, ...]


@dataclass(slots=True)
class _Model:
    """What is known of a network while it trains. at: its position in `members`."""

    at: int
    member: Member
    best_loss: float = math.inf
    best_epoch: int = 0
    row: torch.Tensor | None = None
    running: list[torch.Tensor] = field(default_factory=list)
    predictions: torch.Tensor | None = None
    train_losses: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)


def architecture_of(params: NeuralNetParams, width: int) -> Architecture:
    """What networks of these parameters must share to be stacked."""
    return Architecture(width, params.hidden_layers, SLOPE if params.use_leaky_relu else 0.0)


def train_stack(
    folds: Sequence[FoldRows], members: Sequence[Member], *, epochs: int | None
) -> list[TrainedRow | Diverged]:
    """Train all members together; the results are in their order.

    Members share architecture, optimizer, precision and the number and rows of batches. With
    `epochs` given, each trains for exactly that many and keeps the last; otherwise each keeps its
    epoch with the lowest validation loss, and leaves after its own patience. A network whose loss
    is not finite leaves with Diverged and does not disturb the others.
    """
    # Nothing here asks for gradients of its operations, so torch need not keep the books for any.
    with torch.inference_mode():
        return _train(folds, members, epochs)


def _train(
    folds: Sequence[FoldRows], members: Sequence[Member], epochs: int | None
) -> list[TrainedRow | Diverged]:
    models = sorted((_Model(i, member) for i, member in enumerate(members)), key=_by_fold)
    present = sorted({model.member.fold for model in models})
    first = folds[present[0]]
    batches = batches_of(len(first.X), models[0].member.params)
    stack = _build(folds, models, batches)
    orders = {k: torch.Generator().manual_seed(folds[k].seed) for k in present}
    windows = [units * batches.rows for units in stack.architecture.hidden_layers]
    bits = {k: DropoutBits(folds[k].seed, windows, first.X.device) for k in present}
    results: dict[int, TrainedRow | Diverged] = {}
    for i, model in enumerate(models):
        if model.member.after_epoch is not None:
            model.member.after_epoch(0, stack.values[i])
    epoch = 0
    while models:
        epoch += 1
        _train_epoch(stack, folds, present, batches, orders, bits)
        squared = stack.squared_error / (batches.count * batches.rows)
        stack.squared_error.zero_()
        early = epochs is None and first.X_val is not None
        if early:
            validated, predictions = _validate(stack, folds, present)
        # All of the epoch is under way: here alone the host waits for the device.
        losses = squared.tolist()
        val_losses = validated.tolist() if early else []
        staying = []
        for i, model in enumerate(models):
            if not math.isfinite(losses[i]):
                results[model.at] = Diverged(f"training loss is {losses[i]} in epoch {epoch}")
                continue
            model.train_losses.append(losses[i])
            if early:
                loss = val_losses[i]
                if not math.isfinite(loss):
                    results[model.at] = Diverged(f"validation loss is {loss} in epoch {epoch}")
                    continue
                model.val_losses.append(loss)
                if loss < model.best_loss:
                    model.best_loss, model.best_epoch = loss, epoch
                    model.row = stack.values[i].clone()
                    model.running = stack.running(i)
                    model.predictions = predictions[i].clone()
                done = epoch - model.best_epoch >= model.member.params.patience
            else:
                done = False
            if model.member.after_epoch is not None:
                model.member.after_epoch(epoch, stack.values[i])
            if done or epoch >= (epochs or model.member.params.epochs):
                results[model.at] = _result(stack, i, model, epoch)
                continue
            staying.append(i)
        if len(staying) < len(models):
            models = [models[i] for i in staying]
            present = sorted({model.member.fold for model in models})
            if models:
                stack.keep(staying, _groups(models))
    return [results[i] for i in range(len(members))]


def _build(folds: Sequence[FoldRows], models: Sequence[_Model], batches: Batches) -> Stack:
    first = models[0].member.params
    architecture = architecture_of(first, folds[models[0].member.fold].X.shape[1])
    layout = Layout(architecture)
    rows: dict[int, torch.Tensor] = {}
    for fold in {model.member.fold for model in models}:
        generator = torch.Generator().manual_seed(folds[fold].seed)
        network = build_network(
            architecture.width,
            architecture.hidden_layers,
            0.0,
            use_leaky_relu=first.use_leaky_relu,
            generator=generator,
        )
        rows[fold] = layout.row(network)
    initial = torch.stack([rows[model.member.fold] for model in models])
    every = [model.member.params for model in models]
    per_model = PerModel(
        first.optimizer,
        tuple(p.learning_rate for p in every),
        tuple(p.weight_decay for p in every),
        tuple(p.dropout for p in every),
        tuple(p.clip_norm for p in every),
    )
    device = folds[models[0].member.fold].X.device
    return Stack(
        architecture,
        per_model,
        _groups(models),
        initial.to(device),
        batches.rows,
        precision=first.precision,
    )


def _train_epoch(
    stack: Stack,
    folds: Sequence[FoldRows],
    present: Sequence[int],
    batches: Batches,
    orders: dict[int, torch.Generator],
    bits: dict[int, DropoutBits],
) -> None:
    chosen = [folds[k] for k in present]
    sources = [bits[k] for k in present]
    if stack.drops:
        for source in sources:
            source.start_epoch(batches.count)
    if batches.count == 1:
        stack.step([f.X for f in chosen], [f.y for f in chosen], sources, 0)
        return
    orders_now = [batches.deal(len(folds[k].X), orders[k]).to(folds[k].X.device) for k in present]
    for at in range(batches.count):
        rows = [order[at] for order in orders_now]
        inputs = [fold.X.index_select(0, part) for fold, part in zip(chosen, rows, strict=True)]
        targets = [fold.y.index_select(0, part) for fold, part in zip(chosen, rows, strict=True)]
        stack.step(inputs, targets, sources, at)


def _validate(
    stack: Stack, folds: Sequence[FoldRows], present: Sequence[int]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Validation loss, float32 (M,), and predictions of each network of the stack."""
    losses: list[torch.Tensor] = []
    predictions: list[torch.Tensor] = []
    for group, k in zip(stack.groups, present, strict=True):
        X_val, y_val = folds[k].X_val, folds[k].y_val
        assert X_val is not None  # noqa: S101  # all folds of a search have validation rows
        assert y_val is not None  # noqa: S101
        found = X_val.new_empty(group.stop - group.start, len(X_val))
        stack.predict(group, X_val, found)
        losses.append(torch.mean((found - y_val) ** 2, dim=1))
        predictions += found.unbind(0)
    return torch.cat(losses), predictions


def _result(stack: Stack, i: int, model: _Model, epoch: int) -> TrainedRow:
    if model.row is None:
        # No validation rows: the last epoch is the one to keep.
        model.row, model.running = stack.values[i].clone(), stack.running(i)
        model.best_epoch = epoch
    return TrainedRow(
        stack.architecture,
        model.row,
        model.running,
        model.predictions,
        model.best_epoch,
        epoch,
        tuple(model.train_losses),
        tuple(model.val_losses),
    )


def _groups(models: Sequence[_Model]) -> list[Group]:
    """Runs of networks of one fold; `models` are sorted by fold."""
    starts = [
        i for i, m in enumerate(models) if i == 0 or m.member.fold != models[i - 1].member.fold
    ]
    stops = [*starts[1:], len(models)]
    return [Group(start, stop) for start, stop in zip(starts, stops, strict=True)]


def _by_fold(model: _Model) -> int:
    return model.member.fold
