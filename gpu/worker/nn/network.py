"""The only network: Linear, BatchNorm1d, (Leaky)ReLU, Dropout a hidden layer, and a linear end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

SLOPE = 0.01
EVAL_ROWS = 65536


def build_network(
    n_inputs: int,
    hidden_layers: Sequence[int],
    dropout: float,
    *,
    use_leaky_relu: bool,
    generator: torch.Generator | None = None,
) -> nn.Sequential:
    """A network from (n, n_inputs) to (n, 1), with torch's default initialisation.

    The hidden layers have no bias: BatchNorm would take it out again, its gradient is zero, and
    Adam would blow the rounding errors of that zero up to steps of the learning rate's size.
    generator: draws the initial weights; None leaves them undefined, for a network that is filled
    from a checkpoint.
    """
    layers: list[nn.Module] = []
    width = n_inputs
    for units in hidden_layers:
        layers += [
            _linear(width, units, generator, bias=False),
            nn.BatchNorm1d(units),
            nn.LeakyReLU(SLOPE) if use_leaky_relu else nn.ReLU(),
        ]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        width = units
    layers.append(_linear(width, 1, generator, bias=True))
    return nn.Sequential(*layers)


def predict_network(network: nn.Module, X: torch.Tensor) -> torch.Tensor:
    """float32 (n,) in standard units; leaves the network in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part).squeeze(1) for part in X.split(EVAL_ROWS)])


def _linear(width: int, units: int, generator: torch.Generator | None, *, bias: bool) -> nn.Linear:
    """A linear layer as nn.Linear draws it, but from a generator of its own.

    The global generator is shared by all threads of a process, so nothing here draws from it.
    """
    layer = nn.utils.skip_init(nn.Linear, width, units, bias=bias)
    if generator is not None:
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        if bias:
            bound = 1 / math.sqrt(width)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer
