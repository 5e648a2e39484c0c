"""Decide which networks train as one stack."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from gpu.params import NeuralNetParams
from gpu.worker.nn.batches import Batches, batches_of

# A larger stack makes fewer calls, but its activations leave the cache; about so many bytes of one
# batch's hidden activations measured best.
CPU_STACK_BYTES = 4 << 20
# torch's GroupNorm backward on CUDA has a block for each group in the second dimension of its grid,
# which holds this many (aten/src/ATen/native/cuda/group_norm_kernel.cu). A group is a unit of a
# network.
GPU_STACK_UNITS = 65535


@dataclass(frozen=True, slots=True)
class FoldShape:
    """What of a fold decides who can share a stack with it. width: columns after encoding."""

    fold: Hashable
    n_rows: int
    width: int
    validated: bool


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Networks of equal buckets have equal shapes and may train together."""

    hidden_layers: tuple[int, ...]
    use_leaky_relu: bool
    optimizer: str
    precision: str
    width: int
    validated: bool
    batches: Batches
    fold: Hashable


def plan_stacks(
    networks: Sequence[tuple[FoldShape, NeuralNetParams]], *, one_fold: bool, limit: int
) -> list[list[int]]:
    """Positions of the networks of each stack, in order of first position.

    one_fold: networks of different folds do not share a stack, and stacks stay near the size of a
    cache: right on a CPU. Otherwise stacks stay within the grid of a GPU. limit: most networks in a
    stack; 0 for no limit of this kind.
    """
    buckets: dict[_Bucket, list[int]] = {}
    for i, (shape, params) in enumerate(networks):
        bucket = _Bucket(
            params.hidden_layers,
            params.use_leaky_relu,
            params.optimizer,
            params.precision,
            shape.width,
            shape.validated,
            batches_of(shape.n_rows, params),
            shape.fold if one_fold else None,
        )
        buckets.setdefault(bucket, []).append(i)
    stacks: list[list[int]] = []
    for bucket, members in buckets.items():
        most = limit or len(members)
        if one_fold:
            activations = sum(bucket.hidden_layers) * bucket.batches.rows * 4
            most = min(most, max(1, CPU_STACK_BYTES // activations))
        else:
            most = min(most, max(1, GPU_STACK_UNITS // max(bucket.hidden_layers)))
        parts = -(-len(members) // most)
        bounds = [i * len(members) // parts for i in range(parts + 1)]
        stacks += [members[a:b] for a, b in itertools.pairwise(bounds)]
    return sorted(stacks, key=lambda stack: stack[0])
