"""Random bits for dropout that depend on the seed, the epoch and the layer, and on nothing else.

Drawing a fresh number for each unit and row would cost as much as the products of a small network.
An epoch draws a pool instead, and each layer of each step reads a window of it from a place of its
own. Networks that share their rows read the same window and compare it with their own rates, so a
network's masks do not depend on which others train beside it.

A CPU and a GPU draw different bits from one seed: a GPU draws on the device, since the pool of a
full batch would take longer to draw on one core and to copy than the epoch takes to train.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

# A pool holds this many windows of the widest layer.
_WINDOWS = 4
_LEVELS = 1 << 16
_ALIGN = 32


def threshold(rate: float) -> int:
    """Bits under this int16 are dropped: the rate, rounded to 1/65536."""
    return min(round(rate * _LEVELS), _LEVELS - 1) - _LEVELS // 2


def kept_share(rate: float) -> float:
    """Share of the bits that are not under threshold(rate)."""
    return (_LEVELS // 2 - threshold(rate)) / _LEVELS


class DropoutBits:
    """The bits of one fold. windows: int16 values that each layer reads in a step."""

    def __init__(self, seed: int, windows: Sequence[int], device: torch.device) -> None:
        self._random = np.random.Generator(np.random.SFC64([seed, 1]))
        self._windows = tuple(windows)
        self._size = _WINDOWS * max(windows)
        self._pool = torch.empty(0, dtype=torch.int16)
        self._source: _Source = (
            HostPools(self._random, self._size)
            if device.type == "cpu"
            else DevicePools(seed, self._size, device)
        )
        self._places: list[list[int]] = []

    def start_epoch(self, steps: int) -> None:
        """Draw the pool, and the place in it of each layer in each of the epoch's steps."""
        self._pool = self._source.draw()
        spans = [(self._size - window) // _ALIGN + 1 for window in self._windows]
        draws = self._random.integers(0, spans, size=(steps, len(spans)))
        self._places = (draws * _ALIGN).tolist()

    def window(self, step: int, layer: int) -> torch.Tensor:
        """int16 (windows[layer],), uniform over all 65536 values."""
        return self._pool.narrow(0, self._places[step][layer], self._windows[layer])


class _Source(Protocol):
    """Where pools come from: int16, uniform over all 65536 values, another one at each call."""

    def draw(self) -> torch.Tensor: ...


class HostPools:
    """Pools of at least `size` values in the CPU's memory, from a generator that others share."""

    def __init__(self, random: np.random.Generator, size: int) -> None:
        self._random = random
        self._words = -(-size // 4)

    def draw(self) -> torch.Tensor:
        """See _Source."""
        words = self._random.integers(0, 1 << 64, size=self._words, dtype=np.uint64)
        return torch.from_numpy(words.view(np.int16))


class DevicePools:
    """Pools of `size` values that the device draws itself, from a generator of its own.

    They lie in one place: a pool is overwritten by the next.
    """

    def __init__(self, seed: int, size: int, device: torch.device) -> None:
        self._generator = torch.Generator(device).manual_seed(seed)
        self._size = size
        self._pool: torch.Tensor | None = None

    def draw(self) -> torch.Tensor:
        """See _Source."""
        if self._pool is None:
            # Not before the first draw: networks without dropout never draw.
            device = self._generator.device
            self._pool = torch.empty(self._size, dtype=torch.int16, device=device)
        return self._pool.random_(-_LEVELS // 2, _LEVELS // 2, generator=self._generator)
