"""One Adam or AdamW for a stack of networks that each have their own learning rate and decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from gpu.worker.nn.adam import BETA1, BETA2, EPSILON


@dataclass(frozen=True, slots=True)
class PerModel:
    """What the networks of a stack do not share: one value a network. kind: shared."""

    kind: Literal["adam", "adamw"]
    learning_rate: tuple[float, ...]
    weight_decay: tuple[float, ...]
    dropout: tuple[float, ...]


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
        self._values = values
        self._scaled = values / self._rates
        self.gradients = torch.zeros_like(values)
        self._means = torch.zeros_like(values)
        self._squares = torch.zeros_like(values)
        self._sum = torch.empty_like(values)
        self._steps = torch.zeros((), device=values.device)

    def step(self) -> None:
        """Apply the gradients to the values, in place."""
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
        self._scaled = self._scaled[chosen]
        self._means = self._means[chosen]
        self._squares = self._squares[chosen]
        self._sum = torch.empty_like(values)
        self.gradients = torch.zeros_like(values)


def _column(numbers: Sequence[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64, device=device).unsqueeze(1)
