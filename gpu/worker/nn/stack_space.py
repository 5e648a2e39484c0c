"""What a step of a stack works on: groups of networks, and each layer's views and workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gpu.worker.nn.stack_layout import HiddenViews


@dataclass(frozen=True, slots=True)
class Group:
    """Networks start..stop-1 of a stack train on the same rows."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class LayerSpace:
    """A hidden layer's views of weights, gradients and workspaces; *_parts: one a group.

    views, slopes: parameters and their gradients. z, dh, mask: (M, units, rows). gamma, beta:
    with dropout's factor.
    """

    views: HiddenViews
    slopes: HiddenViews
    z: torch.Tensor
    dh: torch.Tensor
    gamma: torch.Tensor
    beta: torch.Tensor
    flat_gamma: torch.Tensor
    flat_beta: torch.Tensor
    channels: int
    size: tuple[int, ...]
    weight_parts: Sequence[torch.Tensor]
    slope_parts: Sequence[torch.Tensor]
    z_parts: Sequence[torch.Tensor]
    mask: torch.Tensor | None
    mask_parts: Sequence[torch.Tensor]
    limits: Sequence[torch.Tensor]
    window: tuple[int, int, int]
    turned_weight: torch.Tensor
    parts: Sequence[slice]
