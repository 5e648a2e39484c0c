"""Lay the parameters of a network out in a row of floats, so that M networks are a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

# Every block of a row starts on a cache line.
_ALIGN = 16


@dataclass(frozen=True, slots=True)
class Architecture:
    """What networks must share to be stacked. slope: of the activation below zero; 0 is ReLU."""

    width: int
    hidden_layers: tuple[int, ...]
    slope: float

    @property
    def units(self) -> int:
        """Hidden units of all layers: floats of one row's activations."""
        return sum(self.hidden_layers)


@dataclass(frozen=True, slots=True)
class HiddenViews:
    """One hidden layer of M networks: weight (M, out, in), the others (M, out)."""

    weight: torch.Tensor
    gamma: torch.Tensor
    beta: torch.Tensor


@dataclass(frozen=True, slots=True)
class Views:
    """All layers of M networks, as views of their rows. The end: weight (M, 1, in), bias (M, 1)."""

    hidden: tuple[HiddenViews, ...]
    end_weight: torch.Tensor
    end_bias: torch.Tensor


class Layout:
    """Positions of the parameters in a row of `size` floats; gaps between blocks stay zero."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._blocks: list[tuple[int, tuple[int, ...]]] = []
        self.size = 0
        width = architecture.width
        for units in architecture.hidden_layers:
            for shape in ((units, width), (units,), (units,)):
                self._place(shape)
            width = units
        self._place((1, width))
        self._place((1,))

    def views(self, rows: torch.Tensor) -> Views:
        """rows: float32 (M, size), contiguous."""
        blocks = [
            rows[:, at : at + _count(shape)].unflatten(1, shape) for at, shape in self._blocks
        ]
        hidden = tuple(HiddenViews(*blocks[i : i + 3]) for i in range(0, len(blocks) - 2, 3))
        return Views(hidden, blocks[-2], blocks[-1])

    def row(self, network: nn.Sequential) -> torch.Tensor:
        """The parameters of a network as one row, float32 (size,), on the CPU."""
        row = torch.zeros(self.size)
        for (at, shape), parameter in zip(self._blocks, network.parameters(), strict=True):
            row[at : at + _count(shape)] = parameter.detach().reshape(-1)
        return row

    def fill(
        self, network: nn.Sequential, row: torch.Tensor, running: Sequence[torch.Tensor]
    ) -> None:
        """Write a row, and each layer's running (mean, variance) one after the other, back."""
        with torch.no_grad():
            for (at, shape), parameter in zip(self._blocks, network.parameters(), strict=True):
                parameter.copy_(row[at : at + _count(shape)].view(shape))
            buffers = (b for name, b in network.named_buffers() if "running" in name)
            for buffer, value in zip(buffers, running, strict=True):
                buffer.copy_(value)

    def _place(self, shape: tuple[int, ...]) -> None:
        self._blocks.append((self.size, shape))
        self.size += -(-_count(shape) // _ALIGN) * _ALIGN


def _count(shape: tuple[int, ...]) -> int:
    return shape[0] * (shape[1] if len(shape) == 2 else 1)
