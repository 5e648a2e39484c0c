"""Linear congruential generators: minstd_rand, minstd_rand0, and the C library's TYPE_0."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from steps.prng.base import MASK32, Floats, Words
from steps.prng.generators.columns import ColumnGenerator, Columns

_MINSTD_MODULUS = (1 << 31) - 1


@lru_cache(maxsize=1024)
def affine_power(multiplier: int, steps: int, bits: int) -> tuple[int, int]:
    """(A, G) so that `steps` times s -> multiplier * s + c, mod 2^bits, is s -> A * s + G * c.

    By doubling (Brown, "Random Number Generation with Arbitrary Stride", 1994). steps may be
    negative where the map has its full period 2^bits: c odd, multiplier = 1 mod 4.
    """
    mask = (1 << bits) - 1
    power, total = 1, 0
    square, sum_of_square = multiplier, 1
    left = steps & mask
    while left:
        if left & 1:
            power, total = power * square & mask, (total * square + sum_of_square) & mask
        square, sum_of_square = square * square & mask, sum_of_square * (square + 1) & mask
        left >>= 1
    return power, total


class Minstd(ColumnGenerator):
    """s -> multiplier * s mod (2^31 - 1); the state 1..2^31 - 2 is the output (Park and Miller).

    seedings: "std" as std::minstd_rand of C++ takes it, seed mod 2^31 - 1 with 1 for 0.
    """

    word_bits = 31
    state_words = 1
    seedings = ("std",)
    jump_cost = 4

    def __init__(self, name: str, multiplier: int) -> None:
        self.name = name
        self.multiplier = multiplier

    def unit(self, outputs: Words) -> Floats:
        """The output over 2^31 - 1, as Park and Miller have it."""
        return outputs[..., 0] / float(_MINSTD_MODULUS)

    def _seed(self, seeds: Words, seeding: str) -> Columns:  # noqa: ARG002
        remainder = seeds % _MINSTD_MODULUS
        return (np.where(remainder == 0, np.uint64(1), remainder),)

    def _advance(self, columns: Columns) -> Columns:
        return (columns[0] * self.multiplier % _MINSTD_MODULUS,)

    def _retreat(self, columns: Columns) -> Columns:
        return self._leap(columns, -1)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        return after[0]

    def _leap(self, columns: Columns, steps: int) -> Columns:
        # Fermat: the multiplier's powers repeat after 2^31 - 2 steps.
        power = pow(self.multiplier, steps % (_MINSTD_MODULUS - 1), _MINSTD_MODULUS)
        return (columns[0] * power % _MINSTD_MODULUS,)


class TruncatedLcg(ColumnGenerator):
    """s -> multiplier * s + increment mod 2^state_bits; the output is the state's upper word_bits.

    Needs an odd increment and multiplier = 1 mod 4 (full period).
    """

    state_words = 1
    jump_cost = 4

    multiplier: int
    increment: int
    state_bits: int

    def _advance(self, columns: Columns) -> Columns:
        return (self._affine(columns[0], self.multiplier, self.increment),)

    def _retreat(self, columns: Columns) -> Columns:
        return self._leap(columns, -1)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        return after[0] >> (self.state_bits - self.word_bits)

    def _leap(self, columns: Columns, steps: int) -> Columns:
        power, total = affine_power(self.multiplier, steps, self.state_bits)
        return (self._affine(columns[0], power, total * self.increment),)

    def _affine(self, words: Words, multiplier: int, addend: int) -> Words:
        mask = (1 << self.state_bits) - 1
        return (words * multiplier + (addend & mask)) & mask


class Lcg32(TruncatedLcg):
    """The C library's random() with eight bytes of state (glibc's TYPE_0), the old rand().

    seedings: "srandom", a seed of 32 bits with 1 for 0; "raw", the state itself.
    """

    name = "lcg32"
    word_bits = 31
    state_bits = 31
    seedings = ("srandom", "raw")
    multiplier = 1103515245
    increment = 12345

    def _seed(self, seeds: Words, seeding: str) -> Columns:
        low = seeds & MASK32
        if seeding == "srandom":
            low = np.where(low == 0, np.uint64(1), low)
        # The uppermost of the 32 bits never reaches an output.
        return (low & ((1 << self.state_bits) - 1),)


GENERATORS = (Minstd("minstd_rand", 48271), Minstd("minstd_rand0", 16807), Lcg32())
