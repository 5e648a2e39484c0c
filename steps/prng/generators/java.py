"""java.util.Random: 48 bits of linear congruence, of which an output shows the upper 32."""

from __future__ import annotations

import numpy as np

from steps.prng.base import Floats, Words
from steps.prng.generators.columns import Columns
from steps.prng.generators.lcg import TruncatedLcg

SCRAMBLE = 0x5DEECE66D


class JavaRandom(TruncatedLcg):
    """The algorithm that Java's documentation of java.util.Random prescribes.

    A raw output is next(32), the nextInt() of Java read without its sign. seedings: "scramble",
    new Random(seed), the seed XOR 0x5DEECE66D cut to 48 bits; "raw", the state itself.
    """

    name = "java"
    word_bits = 32
    state_bits = 48
    seedings = ("scramble", "raw")
    multiplier = 0x5DEECE66D
    increment = 0xB
    unit_outputs = 2

    def unit(self, outputs: Words) -> Floats:
        """nextDouble(): next(26) and next(27) make 53 bits."""
        high, low = outputs[..., 0] >> 6, outputs[..., 1] >> 5
        return np.asarray(((high << 27) + low) * 2.0**-53, np.float64)

    def _seed(self, seeds: Words, seeding: str) -> Columns:
        scramble = SCRAMBLE if seeding == "scramble" else 0
        return ((seeds ^ scramble) & ((1 << self.state_bits) - 1),)


GENERATORS = (JavaRandom(),)
