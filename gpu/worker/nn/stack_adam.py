"""One Adam or AdamW for a stack of networks that each have their own learning rate and decay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from gpu.worker.nn.adam import BETA1, BETA2, EPSILON

# What torch.nn.utils.clip_grad_norm_ adds to a norm before it divides by it.
_CLIP_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class PerModel:
    """What the networks of a stack do not share: one value a network. kind: shared.

    clip_norm: largest norm of a network's gradient; 0: any.
    """

    kind: Literal["adam", "adamw"]
    learning_rate: tuple[float, ...]
    weight_decay: tuple[float, ...]
    dropout: tuple[float, ...]
    clip_norm: tuple[float, ...]


class StackAdam:
    """Updates values (M, size) by gradients (M, size).

    Adam moves a value by its learning rate times a direction. With the values kept in units of
    their own learning rate, all networks are one call of torch's fused kernel at rate one; a test
    holds the result equal to torch.optim.
    """

    def __init__(self, values: torch.Tensor, per_model: PerModel) -> None:
        rates = _column(per_model.learning_rate, values.device)
        decays = _column(per_model.weight_decay, values.device)
        self._rates = rates.float()
        self._coupled = decays.float() if per_model.kind == "adam" else None
        self._kept = (1 - rates * decays).float() if per_model.kind == "adamw" else None
        self._decaying = any(decay > 0 for decay in per_model.weight_decay)
        self._clipping = any(limit > 0 for limit in per_model.clip_norm)
        limits = [limit or math.inf for limit in per_model.clip_norm]
        self._limits = _column(limits, values.device).float()
        self._one = torch.ones((), device=values.device)
        self._values = values
        self._scaled = values / self._rates
        self.gradients = torch.zeros_like(values)
        self._means = torch.zeros_like(values)
        self._squares = torch.zeros_like(values)
        self._sum = torch.empty_like(values)
        self._steps = torch.zeros((), device=values.device)

    def step(self) -> None:
        """Apply the gradients to the values, in place."""
        if self._clipping:
            self._clip()
        gradients = self.gradients
        if self._decaying and self._coupled is not None:
            # Into a buffer of its own: nobody clears the gradients of the biases, which stay zero.
            gradients = torch.addcmul(gradients, self._values, self._coupled, out=self._sum)
        if self._decaying and self._kept is not None:
            self._scaled.mul_(self._kept)
        self._steps += 1
        torch._fused_adam_(
            [self._scaled],
            [gradients],
            [self._means],
            [self._squares],
            [],
            [self._steps],
            amsgrad=False,
            lr=1.0,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
            grad_scale=None,
            found_inf=None,
        )
        torch.mul(self._scaled, self._rates, out=self._values)

    def keep(self, values: torch.Tensor, chosen: torch.Tensor) -> None:
        """Go on with these networks only; values: theirs, (len(chosen), size)."""
        self._values = values
        self._rates = self._rates[chosen]
        self._coupled = None if self._coupled is None else self._coupled[chosen]
        self._kept = None if self._kept is None else self._kept[chosen]
        self._limits = self._limits[chosen]
        self._scaled = self._scaled[chosen]
        self._means = self._means[chosen]
        self._squares = self._squares[chosen]
        self._sum = torch.empty_like(values)
        self.gradients = torch.zeros_like(values)

    def _clip(self) -> None:
        """Scale each network's gradient by min(1, limit / (norm + 1e-6)), as torch.nn.utils does.

        The norm is of all parameters (Pascanu, Mikolov and Bengio 2013). fmin passes over what is
        not a number: without a limit the factor is one, whatever the gradient.
        """
        norms = torch.linalg.vector_norm(self.gradients, dim=1, keepdim=True)
        self.gradients.mul_(torch.fmin(self._limits / (norms + _CLIP_EPSILON), self._one))


def _column(numbers: Sequence[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64, device=device).unsqueeze(1)
