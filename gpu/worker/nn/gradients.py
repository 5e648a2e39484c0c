"""How a network's output moves with its inputs."""

from __future__ import annotations

import torch
from torch import nn


def input_gradients(network: nn.Module, X: torch.Tensor) -> torch.Tensor:
    """X: float32 (n, width) -> the output's gradient with respect to each input, (n, width).

    Leaves the network in evaluation mode, in which a row's output depends on that row only.
    """
    network.eval()
    with torch.enable_grad():
        inputs = X.detach().clone().requires_grad_()
        (gradients,) = torch.autograd.grad(network(inputs).sum(), inputs)
    return gradients
