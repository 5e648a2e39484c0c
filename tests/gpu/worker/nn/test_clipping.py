"""Each network's gradient is clipped to its own limit, as torch.nn.utils.clip_grad_norm_ does."""

from __future__ import annotations

import pytest
import torch

from gpu.params import complete_params
from gpu.worker.nn.fused import FoldRows, Member, train_stack
from gpu.worker.nn.network import build_network, predict_network
from gpu.worker.nn.serial import train_network
from gpu.worker.nn.stack_adam import PerModel, StackAdam

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
WIDTH, EPOCHS = 6, 12
LIMITS = (0.0, 0.02, 2.0)

pytestmark = pytest.mark.usefixtures("one_thread")


def make_fold() -> FoldRows:
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(600, WIDTH, generator=generator)
    y = X[:, 0] * X[:, 1] + X[:, 2] + 0.3 * torch.randn(600, generator=generator)
    y = (y - y.mean()) / y.std()
    y[:400:97] += 20  # a few wrong rows, whose gradients are long
    return FoldRows(X[:400], y[:400], X[400:], y[400:], 101)


def make_params(clip_norm, **options):
    base = {"hidden_layers": (32, 16), "batch_size": 50, "epochs": EPOCHS, "patience": EPOCHS}
    rates = {"learning_rate": 5e-3, "weight_decay": 1e-3}
    return complete_params("neural_net", {**base, **rates, "clip_norm": clip_norm, **options})


def plain_r2(fold, params):
    """R2 of the loop that everybody writes; the best epoch's, as early stopping keeps it."""
    generator = torch.Generator().manual_seed(fold.seed)
    network = build_network(
        WIDTH, params.hidden_layers, 0.0, use_leaky_relu=True, generator=generator
    )
    optimizer = OPTIMIZERS[params.optimizer](
        network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay
    )
    order = torch.Generator().manual_seed(fold.seed)
    found = []
    for _ in range(EPOCHS):
        network.train()
        for rows in torch.randperm(400, generator=order).view(8, 50):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(network(fold.X[rows]).squeeze(1), fold.y[rows])
            loss.backward()
            if params.clip_norm > 0:
                torch.nn.utils.clip_grad_norm_(network.parameters(), params.clip_norm)
            optimizer.step()
        found.append(r2(fold, predict_network(network, fold.X_val)))
    return max(found)


def r2(fold, predictions):
    return 1 - float(torch.mean((predictions - fold.y_val) ** 2) / fold.y_val.var(correction=0))


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_networks_with_limits_of_their_own_score_as_each_does_in_a_plain_loop(kind):
    fold = make_fold()
    group = [Member(0, make_params(limit, optimizer=kind)) for limit in LIMITS]
    scores = []
    for member, result in zip(group, train_stack([fold], group, epochs=None), strict=True):
        scores.append(r2(fold, result.predictions))
        assert scores[-1] == pytest.approx(plain_r2(fold, member.params), abs=1e-3)
    # Clipped, the wrong rows do less harm.
    assert min(scores[1:]) > scores[0] + 0.1


def test_one_network_at_a_time_is_clipped_in_the_same_way():
    fold, params = make_fold(), make_params(0.02)
    own = train_network(fold.X, fold.y, fold.X_val, fold.y_val, params, seed=fold.seed, epochs=None)
    scored = r2(fold, predict_network(own.network, fold.X_val))
    assert scored == pytest.approx(plain_r2(fold, params), abs=1e-3)


def test_a_limit_changes_no_bit_of_the_networks_beside_it():
    fold = make_fold()
    group = [Member(0, make_params(limit, dropout=0.2)) for limit in LIMITS]
    for member, result in zip(group, train_stack([fold], group, epochs=None), strict=True):
        (own,) = train_stack([fold], [member], epochs=None)
        assert torch.equal(own.row, result.row)
        assert torch.equal(own.predictions, result.predictions)


def adam(rows, limits, kind="adam"):
    n = len(rows)
    per_model = PerModel(kind, (0.01,) * n, (0.1,) * n, (0.0,) * n, tuple(limits))
    return StackAdam(rows, per_model)


def make_gradients(n, size, scale=1.0):
    return scale * torch.randn(n, size, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_twenty_steps_equal_those_of_torch(kind):
    rows = make_gradients(3, 48).clone()
    limits = (0.0, 0.3, 6.0)
    theirs = [torch.nn.Parameter(row.clone()) for row in rows]
    optimizers = [OPTIMIZERS[kind]([p], lr=0.01, weight_decay=0.1) for p in theirs]
    ours = adam(rows, limits, kind)
    for step in range(20):
        # Some of them under the third limit, and some over it.
        gradients = make_gradients(3, 48, scale=0.1 * (step + 1))
        ours.gradients.copy_(gradients)
        ours.step()
        for row, parameter, limit in zip(gradients, theirs, limits, strict=True):
            parameter.grad = row.clone()
            if limit > 0:
                torch.nn.utils.clip_grad_norm_([parameter], limit)
        for optimizer in optimizers:
            optimizer.step()
    expected = torch.stack([parameter.detach() for parameter in theirs])
    torch.testing.assert_close(rows, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_norm_of_a_large_network_does_not_depend_on_the_company(threads):
    torch.set_num_threads(threads)
    gradients = make_gradients(3, 80_000)
    together = torch.zeros(3, 80_000)
    ours = adam(together, (2.0, 3.0, 4.0))
    ours.gradients.copy_(gradients)
    ours.step()
    for i, limit in enumerate((2.0, 3.0, 4.0)):
        alone = torch.zeros(1, 80_000)
        own = adam(alone, (limit,))
        own.gradients.copy_(gradients[i : i + 1])
        own.step()
        assert torch.equal(ours.gradients[i], own.gradients[0])
        assert torch.equal(together[i], alone[0])


def test_a_gradient_beyond_all_numbers_stays_as_it_is_without_a_limit():
    gradients = make_gradients(2, 32)
    gradients[0] *= 1e25  # finite, its norm is not
    rows, alone = torch.zeros(2, 32), torch.zeros(1, 32)
    ours, own = adam(rows, (0.0, 1.0)), adam(alone, (0.0,))
    ours.gradients.copy_(gradients)
    own.gradients.copy_(gradients[:1])
    ours.step()
    own.step()
    assert torch.equal(ours.gradients[0], own.gradients[0])
    assert torch.equal(rows[0], alone[0])


def test_those_that_stay_keep_their_own_limits():
    rows = torch.zeros(3, 32)
    ours = adam(rows, (0.0, 5.0, 0.5))
    ours.step()
    ours.keep(rows[[2, 0]].clone(), torch.tensor([2, 0]))
    ours.gradients.copy_(make_gradients(2, 32))
    norms = ours.gradients.norm(dim=1).tolist()
    ours.step()
    assert ours.gradients.norm(dim=1).tolist() == pytest.approx([0.5, norms[1]], rel=1e-5)
