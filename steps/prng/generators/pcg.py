"""pcg32 (XSH-RR): 64 bits of linear congruence, rotated by their own upper bits.

O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random
Number Generation" (2014), and pcg_basic.c. numpy's PCG64 is another generator.
"""

from __future__ import annotations

import numpy as np

from steps.prng.base import MASK32, Words
from steps.prng.generators.columns import ColumnGenerator, Columns
from steps.prng.generators.lcg import affine_power

MULTIPLIER = 6364136223846793005
# Stream numbers by seeding: what C++'s pcg32(seed) has, the demonstration's, and the usual guesses.
_STREAMS = {
    "default_stream": 1442695040888963407 >> 1,
    "stream_54": 54,
    "stream_0": 0,
    "stream_1": 1,
}


class Pcg32(ColumnGenerator):
    """The state is the congruence's word and its odd increment.

    seedings: "default_stream" as pcg32(seed) in C++, "stream_N" as pcg32_srandom(seed, N).
    """

    name = "pcg32"
    word_bits = 32
    state_words = 2
    seedings = tuple(_STREAMS)
    jump_cost = 4

    def srandom(self, seeds: Words, streams: Words) -> Words:
        """States (n, 2) as pcg32_srandom(seed, stream) makes them, of seeds and streams (n,)."""
        increments = (streams << 1) | 1
        return np.stack([(increments + seeds) * MULTIPLIER + increments, increments], axis=1)

    def _seed(self, seeds: Words, seeding: str) -> Columns:
        words, increments = self.srandom(seeds, np.full_like(seeds, _STREAMS[seeding])).T
        return (words, increments)

    def _advance(self, columns: Columns) -> Columns:
        word, increment = columns
        return (word * MULTIPLIER + increment, increment)

    def _retreat(self, columns: Columns) -> Columns:
        return self._leap(columns, -1)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        word = before[0]
        shown = (((word >> 18) ^ word) >> 27) & MASK32
        turn = word >> 59
        # The second mask keeps a turn by 0 from shifting by 32.
        return ((shown >> turn) | (shown << ((32 - turn) & 31))) & MASK32

    def _leap(self, columns: Columns, steps: int) -> Columns:
        power, total = affine_power(MULTIPLIER, steps, 64)
        word, increment = columns
        return (word * power + increment * total, increment)


GENERATORS = (Pcg32(),)
