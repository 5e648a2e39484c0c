"""sfc64, Doty-Humphrey's "small fast chaotic" generator of PractRand, which numpy carries too."""

from __future__ import annotations

import numpy as np

from steps.prng.base import Words
from steps.prng.generators.columns import ColumnGenerator, Columns
from steps.prng.generators.linear import rotate_left, undo_shift_right
from steps.prng.generators.seed_sequence import seed_sequence_words64

_WARM_UP_STEPS = 12
# Of 9, modulo 2^64: c + (c << 3) is 9 * c.
_NINTH = pow(9, -1, 1 << 64)


class Sfc64(ColumnGenerator):
    """Words (a, b, c, counter), in numpy's order. Not linear: a jump costs its steps.

    seedings: "seed_sequence", numpy.random.SFC64(seed); "practrand", the seed in a, b and c. Both
    begin with counter 1 and throw twelve outputs away.
    """

    name = "sfc64"
    word_bits = 64
    state_words = 4
    seedings = ("seed_sequence", "practrand")

    def _seed(self, seeds: Words, seeding: str) -> Columns:
        words = seed_sequence_words64(seeds, 3) if seeding == "seed_sequence" else [seeds] * 3
        columns: Columns = (*words, np.ones_like(seeds))
        for _ in range(_WARM_UP_STEPS):
            columns = self._advance(columns)
        return columns

    def _advance(self, columns: Columns) -> Columns:
        a, b, c, counter = columns
        return (b ^ (b >> 11), c * 9, rotate_left(c, 24) + a + b + counter, counter + 1)

    def _retreat(self, columns: Columns) -> Columns:
        mixed, ninefold, summed, counter = columns
        c = ninefold * _NINTH
        b = undo_shift_right(mixed, 11, 64)
        counter = counter - 1
        return (summed - rotate_left(c, 24) - b - counter, b, c, counter)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        a, b, _, counter = before
        return a + b + counter


GENERATORS = (Sfc64(),)
