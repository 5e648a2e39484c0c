"""The only network: Linear, BatchNorm1d, (Leaky)ReLU, Dropout a hidden layer, and a linear end."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def build_network(
    n_inputs: int, hidden_layers: Sequence[int], dropout: float, *, use_leaky_relu: bool
) -> nn.Sequential:
    """A network from (n, n_inputs) to (n, 1), with torch's default initialisation."""
    layers: list[nn.Module] = []
    width = n_inputs
    for units in hidden_layers:
        layers += [
            nn.Linear(width, units),
            nn.BatchNorm1d(units),
            nn.LeakyReLU(0.01) if use_leaky_relu else nn.ReLU(),
        ]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        width = units
    layers.append(nn.Linear(width, 1))
    return nn.Sequential(*layers)
