"""Networks trained together are those that torch.nn, autograd and torch.optim train alone."""

from __future__ import annotations

import math

import pytest
import torch

from gpu.params import complete_params
from gpu.worker.metrics import r2_score
from gpu.worker.nn.fused import FoldRows, Member, train_stack
from gpu.worker.nn.network import build_network, predict_network
from gpu.worker.nn.plan import FoldShape, plan_stacks
from gpu.worker.nn.serial import train_network
from gpu.worker.nn.stack_layout import Layout
from gpu.worker.trainers.base import Diverged

RATES = (1e-3, 2e-3, 4e-3)
DECAYS = (0.0, 1e-4, 1e-2)

pytestmark = pytest.mark.usefixtures("one_thread")


def make_fold(seed, n=601, n_val=200, width=7, *, validated=True) -> FoldRows:
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n + n_val, width, generator=generator)
    y = X[:, 0] * X[:, 1] + torch.sin(2 * X[:, 2]) + X[:, 3]
    y = y + 0.3 * torch.randn(len(y), generator=generator)
    y = (y - y.mean()) / y.std()
    if not validated:
        return FoldRows(X[:n], y[:n], None, None, 100 + seed)
    return FoldRows(X[:n], y[:n], X[n:], y[n:], 100 + seed)


def members(n_folds, **options):
    common = {"hidden_layers": (32, 16), "batch_size": 64, "epochs": 12, "patience": 4, **options}
    return [
        Member(
            fold, complete_params("neural_net", {**common, "learning_rate": r, "weight_decay": d})
        )
        for fold in range(n_folds)
        for r, d in zip(RATES, DECAYS, strict=True)
    ]


def alone(fold, member, epochs=None):
    return train_network(
        fold.X, fold.y, fold.X_val, fold.y_val, member.params, seed=fold.seed, epochs=epochs
    )


def r2(fold, predictions):
    return r2_score(fold.y_val.double().numpy(), predictions.double().numpy())


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_layers": (16,)},
        {"hidden_layers": (64, 32, 16)},
        {"hidden_layers": (32, 16), "use_leaky_relu": False},
        {"optimizer": "adamw"},
        {"batch_mode": "full", "epochs": 40},
        {"batch_mode": "full", "hidden_layers": (8,), "optimizer": "adamw", "epochs": 40},
        {"batch_size": 1024},
    ],
    ids=["one", "three", "relu", "adamw", "full", "full-adamw", "one-batch"],
)
def test_every_network_scores_as_it_does_alone(options):
    folds = [make_fold(seed) for seed in range(3)]
    group = members(3, **options)
    results = train_stack(folds, group, epochs=None)
    together, serial = [], []
    for member, result in zip(group, results, strict=True):
        fold = folds[member.fold]
        reference = alone(fold, member)
        together.append(r2(fold, result.predictions))
        serial.append(r2(fold, predict_network(reference.network, fold.X_val)))
        assert (result.best_epoch, result.epochs_run) == (
            reference.best_epoch,
            reference.epochs_run,
        )
    assert max(abs(a - b) for a, b in zip(together, serial, strict=True)) <= 1e-3
    trials = len(RATES)
    means = [[sum(scores[t::trials]) for t in range(trials)] for scores in (together, serial)]
    assert means[0].index(max(means[0])) == means[1].index(max(means[1]))


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_it_agrees_with_torch_in_double_precision(kind):
    fold = make_fold(5)
    (member, *_) = members(1, optimizer=kind, epochs=4)
    params = member.params
    network = build_network(
        7,
        params.hidden_layers,
        0,
        use_leaky_relu=True,
        generator=torch.Generator().manual_seed(105),
    ).double()
    optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind](
        network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay
    )
    order = torch.Generator().manual_seed(105)
    X, y = fold.X.double(), fold.y.double()
    for _ in range(4):
        for rows in torch.randperm(601, generator=order)[: 9 * 66].view(9, 66):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(network(X[rows]).squeeze(1), y[rows]).backward()
            optimizer.step()
    (result,) = train_stack([fold], [member], epochs=4)
    expected = predict_network(network, fold.X_val.double())
    filled = build_network(7, params.hidden_layers, 0, use_leaky_relu=True)
    Layout(result.architecture).fill(filled, result.row, result.running)
    torch.testing.assert_close(
        predict_network(filled, fold.X_val).double(), expected, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_every_epoch_has_its_losses(dropout):
    folds = [make_fold(seed) for seed in range(2)]
    group = members(2, dropout=dropout)
    for member, result in zip(group, train_stack(folds, group, epochs=None), strict=True):
        assert len(result.train_losses) == len(result.val_losses) == result.epochs_run
        assert result.val_losses.index(min(result.val_losses)) + 1 == result.best_epoch
        fold = folds[member.fold]
        best = float(torch.mean((result.predictions - fold.y_val) ** 2))
        assert result.val_losses[result.best_epoch - 1] == pytest.approx(best, rel=1e-6)
        if dropout == 0:  # its random numbers are drawn in another way
            reference = alone(fold, member)
            assert result.train_losses == pytest.approx(reference.train_losses, rel=0.01)
            assert result.val_losses == pytest.approx(reference.val_losses, rel=0.01)


def test_without_validation_rows_there_are_training_losses_only():
    (member, *_) = members(1)
    fold = make_fold(2, validated=False)
    (result,) = train_stack([fold], [member], epochs=5)
    assert (len(result.train_losses), result.val_losses) == (5, ())
    assert alone(fold, member, epochs=5).val_losses == ()


def test_who_watches_sees_the_network_before_and_after_every_epoch():
    fold = make_fold(1)
    first, second, _ = members(1, epochs=3)
    seen = []
    watching = Member(0, second.params, lambda epoch, row: seen.append((epoch, row.clone())))
    _, result = train_stack([fold], [first, watching], epochs=3)
    assert [epoch for epoch, _ in seen] == [0, 1, 2, 3]
    assert torch.equal(seen[-1][1], result.row)
    made = build_network(
        7, (32, 16), 0, use_leaky_relu=True, generator=torch.Generator().manual_seed(fold.seed)
    )
    assert torch.equal(seen[0][1], Layout(result.architecture).row(made))


def test_networks_stop_at_different_epochs_and_leave_the_others_as_they_were():
    fold = make_fold(1)
    group = [
        Member(0, m.params.model_copy(update={"patience": patience, "epochs": 30}))
        for m, patience in zip(members(1), (1, 3, 30), strict=True)
    ]
    results = train_stack([fold], group, epochs=None)
    assert len({result.epochs_run for result in results}) > 1
    for member, result in zip(group, results, strict=True):
        (own,) = train_stack([fold], [member], epochs=None)
        assert (own.best_epoch, own.epochs_run) == (result.best_epoch, result.epochs_run)
        torch.testing.assert_close(own.predictions, result.predictions, rtol=0, atol=1e-4)


def test_folds_with_other_numbers_of_rows_share_a_stack_if_their_batches_are_equal():
    folds = [make_fold(0, n=601, n_val=200), make_fold(1, n=600, n_val=201)]
    group = members(2)
    for member, result in zip(group, train_stack(folds, group, epochs=None), strict=True):
        reference = predict_network(
            alone(folds[member.fold], member).network, folds[member.fold].X_val
        )
        fold = folds[member.fold]
        assert abs(r2(fold, result.predictions) - r2(fold, reference)) <= 1e-3


@pytest.mark.parametrize("one_fold", [True, False], ids=["as on a CPU", "as on a GPU"])
def test_folds_that_grow_with_time_score_as_each_does_alone(one_fold):
    """Split "time" trains its first fold on a fraction of the rows of its last."""
    folds = [make_fold(seed, n=n, n_val=120) for seed, n in enumerate((60, 240, 601, 1203))]
    group = members(len(folds))
    shapes = [FoldShape(m.fold, len(folds[m.fold].X), 7, True) for m in group]
    stacks = plan_stacks(
        [(shape, m.params) for shape, m in zip(shapes, group, strict=True)],
        one_fold=one_fold,
        limit=0,
    )
    assert sorted(i for stack in stacks for i in stack) == list(range(len(group)))
    for stack in stacks:
        own = [group[i] for i in stack]
        for member, result in zip(own, train_stack(folds, own, epochs=None), strict=True):
            fold = folds[member.fold]
            reference = alone(fold, member)
            assert result.best_epoch == reference.best_epoch
            scored = r2(fold, predict_network(reference.network, fold.X_val))
            assert abs(r2(fold, result.predictions) - scored) <= 1e-3


def test_a_fixed_number_of_epochs_keeps_the_last():
    fold = make_fold(2, validated=False)
    group = members(1)
    for member, result in zip(group, train_stack([fold], group, epochs=5), strict=True):
        filled = build_network(7, (32, 16), 0, use_leaky_relu=True)
        Layout(result.architecture).fill(filled, result.row, result.running)
        rows = make_fold(2).X_val
        expected = predict_network(alone(fold, member, epochs=5).network, rows)
        torch.testing.assert_close(predict_network(filled, rows), expected, rtol=0, atol=2e-3)
        assert (result.best_epoch, result.epochs_run) == (5, 5)


def test_equal_calls_give_equal_bits_with_dropout_too():
    folds = [make_fold(0), make_fold(1)]
    group = members(2, dropout=0.2, epochs=4)
    first, second = (train_stack(folds, group, epochs=None) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.row, b.row)
        assert torch.equal(a.predictions, b.predictions)


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_a_network_is_the_same_to_the_last_bit_in_any_company(dropout):
    fold = make_fold(3)
    group = members(1, dropout=dropout, epochs=5, patience=9)
    together = train_stack([fold], group, epochs=None)
    for member, result in zip(group, together, strict=True):
        (own,) = train_stack([fold], [member], epochs=None)
        assert torch.equal(own.row, result.row)
        assert torch.equal(own.predictions, result.predictions)


def test_dropout_of_each_network_is_its_own():
    fold = make_fold(4)
    (first, *_) = members(1, epochs=30, patience=99, learning_rate=4e-3)
    rates = (0.0, 0.3, 0.8)
    group = [Member(0, first.params.model_copy(update={"dropout": rate})) for rate in rates]
    losses = []
    for result in train_stack([fold], group, epochs=30):
        filled = build_network(7, (32, 16), 0, use_leaky_relu=True)
        Layout(result.architecture).fill(filled, result.row, result.running)
        losses.append(float(torch.mean((predict_network(filled, fold.X) - fold.y) ** 2)))
    assert losses == sorted(losses)
    assert losses[2] > losses[0] + 0.05


def test_a_network_that_diverges_leaves_and_harms_no_other():
    fold = make_fold(0)
    good, *_ = members(1, epochs=4)
    bad = Member(0, good.params.model_copy(update={"learning_rate": 1e30}))
    first, second, third = train_stack([fold], [good, bad, good], epochs=None)
    assert isinstance(second, Diverged)
    assert "loss is" in str(second)
    assert first.best_epoch == third.best_epoch
    assert math.isfinite(float(first.predictions.sum()))
    (own,) = train_stack([fold], [good], epochs=None)
    torch.testing.assert_close(own.predictions, first.predictions, rtol=0, atol=1e-4)
