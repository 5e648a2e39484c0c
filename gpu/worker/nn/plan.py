"""Decide which networks train as one stack."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from gpu.params import NeuralNetParams
from gpu.worker.nn.batches import Batches, batches_of

# A larger stack makes fewer calls, but its activations leave the cache; about so many bytes of one
# batch's hidden activations measured best.
CPU_STACK_BYTES = 4 << 20


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
    width: int
    validated: bool
    batches: Batches
    fold: Hashable


def plan_stacks(
    networks: Sequence[tuple[FoldShape, NeuralNetParams]], *, one_fold: bool, limit: int
) -> list[list[int]]:
    """Positions of the networks of each stack, in order of first position.

    one_fold: networks of different folds do not share a stack, and stacks stay near the size of a
    cache: right on a CPU. limit: most networks in a stack; 0 for no limit of this kind.
    """
    buckets: dict[_Bucket, list[int]] = {}
    for i, (shape, params) in enumerate(networks):
        bucket = _Bucket(
            params.hidden_layers,
            params.use_leaky_relu,
            params.optimizer,
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
        parts = -(-len(members) // most)
        size = -(-len(members) // parts)
        stacks += [members[at : at + size] for at in range(0, len(members), size)]
    return sorted(stacks, key=lambda stack: stack[0])
