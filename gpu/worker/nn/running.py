"""Running statistics of BatchNorm for a stack of networks, folded in from its batches' own."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

BN_EPSILON = 1e-5
BN_MOMENTUM = 0.1
# Batch statistics are folded into the running ones after so many steps.
_STEPS_KEPT = 32


class RunningMoments:
    """Running mean and variance of each hidden layer of M networks, on one device.

    models: M. units: of each layer. rows: of every batch. values: (mean, variance) of each layer,
    (M, units) each, up to date after `fold`.
    """

    def __init__(self, models: int, units: Sequence[int], rows: int, device: torch.device) -> None:
        self.values = [
            (torch.zeros(models, n, device=device), torch.ones(models, n, device=device))
            for n in units
        ]
        self._rows = rows
        # Made once: a copy to a GPU in mid-epoch would have the host wait for the device.
        self._weights = _weights_by_age().to(device)
        self._noted = 0
        self._batches: list[tuple[torch.Tensor, torch.Tensor]] = []
        # The same, a row (1, M x units) a step.
        self._places: list[tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]] = []
        self._make_room()

    def note(self, layer: int, mean: torch.Tensor, inverse: torch.Tensor) -> None:
        """Mean and inverse standard deviation of this step's batch, (1, M x units) each."""
        means, inverses = self._places[layer]
        means[self._noted].copy_(mean)
        inverses[self._noted].copy_(inverse)

    def end_step(self) -> None:
        """All layers of the step are noted."""
        self._noted += 1
        if self._noted == _STEPS_KEPT:
            self.fold()

    def fold(self) -> None:
        """Bring the running statistics up to date with the batches since."""
        if self._noted == 0:
            return
        weights = self._weights[self._noted - 1, : self._noted]
        left = (1 - BN_MOMENTUM) ** self._noted
        unbiased = self._rows / (self._rows - 1)
        for (mean, var), (means, inverses) in zip(self.values, self._batches, strict=True):
            mean.mul_(left).view(-1).addmv_(means[: self._noted].T, weights)
            spreads = inverses[: self._noted].pow(-2).sub_(BN_EPSILON).clamp_(min=0)
            var.mul_(left).view(-1).addmv_(spreads.T, weights, alpha=unbiased)
        self._noted = 0

    def of(self, model: int) -> list[torch.Tensor]:
        """Running mean and variance of each layer of a network, copied."""
        self.fold()
        return [values[model].clone() for pair in self.values for values in pair]

    def keep(self, chosen: torch.Tensor) -> None:
        """Go on with these networks only."""
        self.fold()
        self.values = [(mean[chosen], var[chosen]) for mean, var in self.values]
        self._make_room()

    def _make_room(self) -> None:
        self._noted = 0
        self._batches = []
        self._places = []
        for mean, _ in self.values:
            room = torch.empty(2, _STEPS_KEPT, mean.numel(), device=mean.device)
            self._batches.append((room[0], room[1]))
            self._places.append((room[0].unsqueeze(1).unbind(0), room[1].unsqueeze(1).unbind(0)))


@functools.cache
def _weights_by_age() -> torch.Tensor:
    """float32 (_STEPS_KEPT, _STEPS_KEPT): row k - 1 has the weights of k batches, oldest first."""
    weights = torch.zeros(_STEPS_KEPT, _STEPS_KEPT)
    for kept in range(1, _STEPS_KEPT + 1):
        ages = torch.arange(kept - 1, -1, -1, dtype=torch.float64)
        weights[kept - 1, :kept] = BN_MOMENTUM * (1 - BN_MOMENTUM) ** ages
    return weights
