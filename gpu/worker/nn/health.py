"""Watch a network learn: gradients, weights and activations of every layer, epoch by epoch.

A copy of the network is looked at on fixed probe rows, in training mode (BatchNorm by the probe's
own moments) and without dropout. Nothing of the training is touched: neither its weights, nor its
running statistics, nor random numbers, and no number is waited for before the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from gpu.protocol.observations import LayerHealth, NetworkHealth
from gpu.worker.absence import noted
from gpu.worker.nn.fused import FoldRows
from gpu.worker.nn.running import BN_EPSILON
from gpu.worker.nn.stack_layout import Architecture, Layout

PROBE_ROWS = 512
# So many epochs are watched at most, and so many at least of a training that has them. In between,
# the probe has this share of the rows that the training itself goes through: looking costs time.
MOST_EPOCHS, FEWEST_EPOCHS = 60, 20
PROBE_SHARE = 1 / 16
WEIGHT_BINS = 30
# A unit whose outputs span less than this, in units of its own size or 1, says the same of all.
DEAD_SPAN = 1e-6
# Of each layer: gradient norm, weight norm, activation mean and standard deviation, dead percent.
_NUMBERS = 5


class HealthProbe:
    """Collects what a network looks like after its epochs.

    features: the table's feature of each input column. epochs: how many there may be; those that
    are watched are evenly spaced, the first and the last among them, and before them epoch 0, the
    network as it was made: a rate that explodes does so in its first epoch. absent: where a fault
    is noted; the training goes on without being watched.
    """

    def __init__(
        self,
        rows: FoldRows,
        architecture: Architecture,
        features: Sequence[int],
        epochs: int,
        absent: list[str],
    ) -> None:
        self._layout = Layout(architecture)
        self._architecture = architecture
        self._absent = absent
        picked = torch.from_numpy(_spaced(0, len(rows.X) - 1, PROBE_ROWS)).to(rows.X.device)
        self._X, self._y = rows.X[picked], rows.y[picked]
        self._features = torch.tensor(features, device=rows.X.device)
        self._n_features = max(features) + 1
        share = round(PROBE_SHARE * epochs * len(rows.X) / len(self._X))
        watched = min(MOST_EPOCHS, max(FEWEST_EPOCHS, share))
        self._epochs = frozenset([0, *_spaced(1, epochs, watched).tolist()])
        self._seen: list[tuple[int, torch.Tensor]] = []
        self._weights = torch.empty(0)
        self._watching = True

    def after_epoch(self, epoch: int, row: torch.Tensor) -> None:
        """epoch: 0 or 1-based; row: the network's parameters in a Layout, float32 (size,)."""
        if not self._watching or epoch not in self._epochs:
            return
        if self._seen and epoch <= self._seen[-1][0]:
            self._seen.clear()  # the training has begun anew
        self._watching = False
        with noted(self._absent, f"the network's health from epoch {epoch} on"):
            # The training runs in inference mode, whose tensors know no gradients.
            with torch.inference_mode(False), torch.enable_grad():
                self._weights = row.clone().unsqueeze(0)
                self._seen.append((epoch, self._measure(self._weights.clone().requires_grad_())))
            self._watching = True

    def report(self) -> NetworkHealth | None:
        """What was seen, up to the first number that is not finite; None if that is nothing."""
        if not self._seen:
            return None
        numbers = torch.stack([measured for _, measured in self._seen]).cpu().numpy()
        epochs = [epoch for epoch, _ in self._seen]
        bad = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
        if len(bad):
            self._absent.append(
                f"the network's health from epoch {epochs[bad[0]]} on: gradients, weights or "
                "activations are not finite numbers"
            )
            numbers, epochs = numbers[: bad[0]], epochs[: bad[0]]
        if not epochs:
            return None
        units = (*self._architecture.hidden_layers, 1)
        of_layers = numbers[:, : len(units) * _NUMBERS].reshape(len(epochs), len(units), _NUMBERS)
        views = self._layout.views(self._weights.cpu())
        weights = [*(layer.weight for layer in views.hidden), views.end_weight]
        # Of rows that are all alike every unit says the same, and may be as alive as can be.
        alike = bool((self._X[:1] == self._X).all())
        if alike:
            self._absent.append(f"the dead units: all {len(self._X)} probe rows are alike")
        layers = [
            _layer(i, len(units), n, of_layers[:, i], weights[i].double().numpy(), alike)
            for i, n in enumerate(units)
        ]
        of_features = numbers[:, len(units) * _NUMBERS :].mean(axis=0)
        return NetworkHealth(
            probe_rows=len(self._X),
            epochs=tuple(epochs),
            layers=tuple(layers),
            feature_gradients=tuple(of_features.tolist()),
        )

    def _measure(self, values: torch.Tensor) -> torch.Tensor:
        """values: (1, size), a leaf. Returns all numbers of this epoch, float64, on the device."""
        views = self._layout.views(values)
        outputs = []
        inputs = self._X
        for layer in views.hidden:
            z = functional.linear(inputs, layer.weight[0])
            z = functional.batch_norm(
                z, None, None, layer.gamma[0], layer.beta[0], training=True, eps=BN_EPSILON
            )
            inputs = functional.leaky_relu(z, self._architecture.slope)
            outputs.append(inputs)
        outputs.append(functional.linear(inputs, views.end_weight[0], views.end_bias[0]))
        loss = functional.mse_loss(outputs[-1].squeeze(1), self._y)
        (gradients,) = torch.autograd.grad(loss, values)
        with torch.no_grad():
            slopes = self._layout.views(gradients)
            pairs = [
                *zip(
                    (layer.weight for layer in slopes.hidden),
                    (layer.weight for layer in views.hidden),
                    strict=True,
                ),
                (slopes.end_weight, views.end_weight),
            ]
            numbers = []
            for (slope, weight), output in zip(pairs, outputs, strict=True):
                sd, mean = torch.std_mean(output, correction=0)
                numbers += [_norm(slope), _norm(weight), mean.double(), sd.double(), _dead(output)]
            columns = slopes.hidden[0].weight[0].double().square().sum(0)
            squares = columns.new_zeros(self._n_features).index_add_(0, self._features, columns)
            return torch.cat([torch.stack(numbers), squares.sqrt()])


def _spaced(first: int, last: int, most: int) -> NDArray[np.int64]:
    """At most `most` whole numbers from first to last, both included, evenly spaced."""
    count = min(last - first + 1, most)
    return np.linspace(first, last, count).round().astype(np.int64)


def _norm(values: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(values, dtype=torch.float64)


def _dead(output: torch.Tensor) -> torch.Tensor:
    """Percent of the units, columns of (rows, units), whose output is the same on every row."""
    low, high = torch.aminmax(output, dim=0)
    size = torch.maximum(low.abs(), high.abs()).clamp_(min=1)
    return (high - low <= DEAD_SPAN * size).double().mean() * 100


def _layer(
    i: int,
    layers: int,
    units: int,
    numbers: NDArray[np.float64],
    weights: NDArray[np.float64],
    alike: bool,
) -> LayerHealth:
    """numbers: (epochs, _NUMBERS). weights: of the last epoch that was watched.

    alike: the probe rows are; which units are dead cannot be told then.
    """
    gradient, weight, mean, sd, dead = (tuple(values) for values in numbers.T.tolist())
    counts, edges = np.histogram(weights, bins=WEIGHT_BINS)
    end = i == layers - 1
    return LayerHealth(
        name="output" if end else f"hidden {i + 1}",
        units=units,
        gradient_norm=gradient,
        weight_norm=weight,
        activation_mean=mean,
        activation_std=sd,
        dead_pct=None if end or alike else dead,
        weight_edges=tuple(edges.tolist()),
        weight_counts=tuple(counts.tolist()),
    )
