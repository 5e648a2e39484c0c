"""Adam and AdamW by torch's own fused kernels, without the optimizer classes around them.

torch.optim imports the whole compiler (torch._dynamo) at the first step, which takes longer than
a small trial trains, and wraps each step in hooks that nothing here uses. The arithmetic is the
same kernel; a test holds it equal to torch.optim.Adam and AdamW.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Kingma and Ba 2015; with "adamw", decoupled weight decay of Loshchilov and Hutter 2019."""

    def __init__(
        self,
        parameters: Iterable[torch.Tensor],
        *,
        kind: Literal["adam", "adamw"],
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        self._parameters = list(parameters)
        self._update = torch._fused_adam_ if kind == "adam" else torch._fused_adamw_
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]

    def step(self) -> None:
        """Apply the gradients of the last backward pass and drop them."""
        with torch.no_grad():
            self._step()

    def _step(self) -> None:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        torch._foreach_add_(self._steps, 1)
        self._update(
            self._parameters,
            gradients,
            self._means,
            self._squares,
            [],
            self._steps,
            amsgrad=False,
            lr=self._learning_rate,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=self._weight_decay,
            eps=EPSILON,
            maximize=False,
            grad_scale=None,
            found_inf=None,
        )
        for parameter in self._parameters:
            parameter.grad = None
