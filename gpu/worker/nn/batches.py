"""How many rows each batch of an epoch has, and which."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gpu.params import NeuralNetParams


@dataclass(frozen=True, slots=True)
class Batches:
    """`count` batches an epoch, of `rows` rows each."""

    count: int
    rows: int

    def deal(self, n_rows: int, order: torch.Generator) -> torch.Tensor:
        """Row numbers of the epoch's batches, int64 (count, rows).

        The count * rows first of a fresh permutation: those left over, fewer than `count`, come up
        in other epochs.
        """
        dealt = torch.randperm(n_rows, generator=order)[: self.count * self.rows]
        return dealt.view(self.count, self.rows)


def batches_of(n_rows: int, params: NeuralNetParams) -> Batches:
    """Batches of equal size, close to params.batch_size; one of all rows in mode "full"."""
    count = 1
    if params.batch_mode != "full":
        # BatchNorm needs two rows at least.
        count = max(1, min(round(n_rows / params.batch_size), n_rows // 2))
    return Batches(count, n_rows // count)
