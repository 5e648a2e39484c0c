"""Each fault that is planted in a network is seen by the probe, and a healthy one has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpu.params import complete_params
from gpu.worker.nn.fused import FoldRows, Member, architecture_of, train_stack
from gpu.worker.nn.health import FEWEST_EPOCHS, MOST_EPOCHS, PROBE_ROWS, HealthProbe
from gpu.worker.nn.network import build_network
from gpu.worker.nn.stack_layout import Architecture, Layout

WIDTH = 5

pytestmark = pytest.mark.usefixtures("one_thread")


def make_rows(n=300, *, scales=(1.0,) * WIDTH) -> FoldRows:
    generator = torch.Generator().manual_seed(2)
    X = torch.randn(n, WIDTH, generator=generator)
    y = X[:, 0] - X[:, 1] * X[:, 2] + 0.2 * torch.randn(n, generator=generator)
    return FoldRows(X * torch.tensor(scales), (y - y.mean()) / y.std(), None, None, 9)


def make_params(**more):
    return complete_params("neural_net", {"hidden_layers": (24, 12), "batch_size": 50, **more})


def watched(rows, params, epochs, features=range(WIDTH)):
    """Train with a probe; returns what train_stack gave, what was seen, what is absent."""
    absent = []
    probe = HealthProbe(rows, architecture_of(params, WIDTH), tuple(features), epochs, absent)
    (trained,) = train_stack([rows], [Member(0, params, probe.after_epoch)], epochs=epochs)
    return trained, probe.report(), absent


def seen_of(row, architecture, rows=None, features=range(WIDTH)):
    """What the probe says of one row of weights."""
    absent = []
    probe = HealthProbe(rows or make_rows(), architecture, tuple(features), 1, absent)
    probe.after_epoch(1, row)
    return probe.report(), absent


def weights_of(hidden, *, leaky=False):
    network = build_network(
        WIDTH, hidden, 0.0, use_leaky_relu=leaky, generator=torch.Generator().manual_seed(1)
    )
    return network, Architecture(WIDTH, hidden, 0.01 if leaky else 0.0)


@pytest.mark.parametrize("leaky", [True, False])
def test_numbers_are_those_of_autograd_over_the_network_in_training_mode(leaky):
    rows = make_rows()
    network, architecture = weights_of((24, 12), leaky=leaky)
    health, absent = seen_of(Layout(architecture).row(network), architecture, rows)
    network.train()
    outputs, inputs = [], rows.X
    for module in network:
        inputs = module(inputs)
        if isinstance(module, torch.nn.LeakyReLU | torch.nn.ReLU):
            outputs.append(inputs)
    outputs.append(inputs)
    torch.nn.functional.mse_loss(inputs.squeeze(1), rows.y).backward()
    linear = [module for module in network if isinstance(module, torch.nn.Linear)]
    assert not absent
    assert [layer.name for layer in health.layers] == ["hidden 1", "hidden 2", "output"]
    assert [layer.units for layer in health.layers] == [24, 12, 1]
    for layer, module, output in zip(health.layers, linear, outputs, strict=True):
        assert layer.gradient_norm[0] == pytest.approx(float(module.weight.grad.norm()), rel=1e-4)
        assert layer.weight_norm[0] == pytest.approx(float(module.weight.detach().norm()), rel=1e-6)
        assert layer.activation_mean[0] == pytest.approx(float(output.detach().mean()), abs=1e-5)
        assert layer.activation_std[0] == pytest.approx(
            float(output.detach().std(correction=0)), rel=1e-4
        )
        assert sum(layer.weight_counts) == module.weight.numel()
        assert len(layer.weight_edges) == len(layer.weight_counts) + 1
    expected = linear[0].weight.grad.norm(dim=0)
    np.testing.assert_allclose(health.feature_gradients, expected.numpy(), rtol=1e-4)


def test_gradients_of_a_features_columns_are_taken_together():
    network, architecture = weights_of((24,))
    row = Layout(architecture).row(network)
    single, _ = seen_of(row, architecture)
    paired, _ = seen_of(row, architecture, features=(0, 1, 1, 2, 2))
    first, *others = np.square(single.feature_gradients)
    np.testing.assert_allclose(
        np.square(paired.feature_gradients),
        [first, others[0] + others[1], others[2] + others[3]],
        rtol=1e-6,
    )


def test_watching_changes_no_bit_of_the_network():
    rows, params = make_rows(), make_params(dropout=0.3)
    torch.manual_seed(77)
    before = torch.get_rng_state()
    trained, health, absent = watched(rows, params, 40)
    assert torch.equal(torch.get_rng_state(), before)
    (alone,) = train_stack([rows], [Member(0, params)], epochs=40)
    assert torch.equal(trained.row, alone.row)
    assert all(torch.equal(a, b) for a, b in zip(trained.running, alone.running, strict=True))
    assert trained.train_losses == alone.train_losses
    assert len(trained.train_losses) == 40
    assert len(health.epochs) == FEWEST_EPOCHS + 1
    assert not absent


@pytest.mark.parametrize(
    ("n_rows", "epochs", "watched_epochs"),
    [(60, 7, 7), (60, 90, FEWEST_EPOCHS), (4 * PROBE_ROWS, 160, 40), (60, 1500, MOST_EPOCHS)],
)
def test_epochs_are_watched_from_the_first_to_the_last_in_proportion_to_the_work(
    n_rows, epochs, watched_epochs
):
    absent, network = [], weights_of((4,))
    probe = HealthProbe(make_rows(n_rows), network[1], tuple(range(WIDTH)), epochs, absent)
    for epoch in range(epochs + 1):
        probe.after_epoch(epoch, Layout(network[1]).row(network[0]))
    health = probe.report()
    assert not absent
    assert len(health.epochs) == watched_epochs + 1
    assert health.epochs[:2] == (0, 1)
    assert health.epochs[-1] == epochs
    assert all(len(layer.gradient_norm) == watched_epochs + 1 for layer in health.layers)


def test_the_probe_has_a_bounded_number_of_rows():
    assert watched(make_rows(2 * PROBE_ROWS), make_params(), 1)[1].probe_rows == PROBE_ROWS
    assert watched(make_rows(2), make_params(batch_mode="full"), 1)[1].probe_rows == 2


def test_a_healthy_network_has_no_fault():
    _, health, absent = watched(make_rows(), make_params(use_leaky_relu=False), 20)
    assert not absent
    assert max(health.layers[0].dead_pct + health.layers[1].dead_pct) < 25
    gradients = np.array(health.feature_gradients)
    assert gradients.max() / np.median(gradients) < 20
    total = np.sqrt(sum(np.square(layer.gradient_norm) for layer in health.layers))
    assert total.max() / total[0] < 20
    assert health.layers[-1].dead_pct is None


def test_dead_units_are_counted():
    network, architecture = weights_of((24, 12))
    with torch.no_grad():
        network[1].bias[:18] = -50.0  # no normalised value is ever that large
    health, _ = seen_of(Layout(architecture).row(network), architecture)
    assert health.layers[0].dead_pct == (75.0,)
    assert health.layers[1].dead_pct == (0.0,)


def test_of_rows_that_are_all_alike_no_unit_is_called_dead():
    rows = make_rows()
    rows.X[:] = rows.X[0].clone()
    network, architecture = weights_of((24, 12))
    health, absent = seen_of(Layout(architecture).row(network), architecture, rows)
    assert [layer.dead_pct for layer in health.layers] == [None] * 3
    assert absent == ["the dead units: all 300 probe rows are alike"]


def test_a_leaky_unit_that_always_leaks_is_not_dead():
    network, architecture = weights_of((24, 12), leaky=True)
    with torch.no_grad():
        network[1].bias[:18] = -50.0
    health, _ = seen_of(Layout(architecture).row(network), architecture)
    assert health.layers[0].dead_pct == (0.0,)


def test_a_rate_that_is_far_too_high_kills_relu_units():
    params = make_params(use_leaky_relu=False, learning_rate=3.0, hidden_layers=(24, 12))
    _, health, _ = watched(make_rows(), params, 30)
    assert max(layer.dead_pct[-1] for layer in health.layers[:-1]) > 50


def test_a_rate_that_explodes_shows_gradients_that_grow():
    params = make_params(learning_rate=300.0, hidden_layers=(24, 12))
    _, health, _ = watched(make_rows(), params, 15)
    total = np.sqrt(sum(np.square(layer.gradient_norm) for layer in health.layers))
    assert total.max() / total[0] > 1000
    assert health.layers[0].weight_norm[-1] > 100 * health.layers[0].weight_norm[0]


def test_inputs_of_very_different_size_show_a_gradient_spread():
    rows = make_rows(scales=(1.0, 1.0, 1.0, 1.0, 1e4))
    gradients = np.array(watched(rows, make_params(), 5)[1].feature_gradients)
    assert gradients.argmax() == 4
    assert gradients.max() / np.median(gradients) > 1000


def test_gradients_that_vanish_on_their_way_to_the_first_layer_show():
    network, architecture = weights_of((24, 12, 8))
    with torch.no_grad():
        # The last hidden layer says nearly the same of all rows, whatever those below say.
        network[7].weight *= 1e-6
        network[7].bias[:] = 1.0
    first, *_, end = seen_of(Layout(architecture).row(network), architecture)[0].layers
    decay = (end.gradient_norm[0] / 8**0.5) / (first.gradient_norm[0] / (24 * WIDTH) ** 0.5)
    assert decay > 1000


def test_a_network_that_says_the_same_of_every_row_is_told_as_such():
    network, architecture = weights_of((24,))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    health, absent = seen_of(Layout(architecture).row(network), architecture)
    assert not absent
    assert health.layers[0].dead_pct == (100.0,)
    assert health.layers[0].gradient_norm == (0.0,)


def test_what_was_seen_before_a_number_that_is_not_finite_is_kept():
    network, architecture = weights_of((24,))
    row = Layout(architecture).row(network)
    absent = []
    probe = HealthProbe(make_rows(), architecture, tuple(range(WIDTH)), 3, absent)
    probe.after_epoch(1, row)
    probe.after_epoch(2, row * 1e30)
    probe.after_epoch(3, row)
    assert probe.report().epochs == (1,)
    assert absent == [
        "the network's health from epoch 2 on: gradients, weights or activations are not finite "
        "numbers"
    ]


def test_a_probe_that_fails_stops_watching_and_says_so():
    rows, params, absent = make_rows(), make_params(), []
    probe = HealthProbe(rows, architecture_of(params, WIDTH), tuple(range(WIDTH)), 4, absent)

    def fail(_values):
        raise MemoryError

    probe._measure = fail
    (trained,) = train_stack([rows], [Member(0, params, probe.after_epoch)], epochs=4)
    assert trained.epochs_run == 4
    assert probe.report() is None
    assert absent == ["the network's health from epoch 0 on: MemoryError"]
