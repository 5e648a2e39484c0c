"""Marsaglia's xorshift generators of 32, 64 and 128 bits, and Vigna's xorshift64*.

Shifts from Marsaglia, "Xorshift RNGs" (2003), and Vigna, "An experimental exploration of
Marsaglia's xorshift generators, scrambled" (2016). A state of zeros stays zero for ever, as it does
in programs that seed with 0.
"""

from __future__ import annotations

import numpy as np

from steps.prng.base import MASK32, MASK64, Words
from steps.prng.generators.columns import Columns
from steps.prng.generators.linear import LinearGenerator, undo_shift_left, undo_shift_right
from steps.prng.generators.splitmix import splitmix64_outputs

_STAR = 0x2545F4914F6CDD1D
_MARSAGLIA_128 = (123456789, 362436069, 521288629, 88675123)


class Xorshift(LinearGenerator):
    """One word x, changed by x ^= x << s or x ^= x >> s three times; the output is the new x.

    shifts: positive to the left, negative to the right. seedings: "raw", the seed is the word;
    "splitmix64", the seed's first splitmix64 output is.
    """

    state_words = 1
    seedings = ("raw", "splitmix64")

    def __init__(self, name: str, word_bits: int, shifts: tuple[int, int, int]) -> None:
        self.name = name
        self.word_bits = self.state_bits = word_bits
        self.shifts = shifts
        self.jump_cost = 2 * word_bits
        self.mask = MASK64 >> (64 - word_bits)

    def _seed(self, seeds: Words, seeding: str) -> Columns:
        words = splitmix64_outputs(seeds, 1)[0] if seeding == "splitmix64" else seeds
        return (words & self.mask,)

    def _advance(self, columns: Columns) -> Columns:
        (word,) = columns
        for shift in self.shifts:
            word = word ^ (word << shift & self.mask if shift > 0 else word >> -shift)
        return (word,)

    def _retreat(self, columns: Columns) -> Columns:
        (word,) = columns
        for shift in reversed(self.shifts):
            if shift > 0:
                word = undo_shift_left(word, shift, self.word_bits)
            else:
                word = undo_shift_right(word, -shift, self.word_bits)
        return (word,)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        return after[0]


class XorshiftStar(Xorshift):
    """A Xorshift whose output is multiplied; the state is not."""

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        return after[0] * _STAR


class Xorshift128(LinearGenerator):
    """Four words of 32 bits (x, y, z, w); the output is the new w.

    seedings: "first_word" and "last_word", the seed takes the place of x or w among Marsaglia's
    numbers; "splitmix64", two splitmix64 outputs give the words, low halves first.
    """

    name = "xorshift128"
    word_bits = 32
    state_words = 4
    state_bits = 128
    jump_cost = 256
    seedings = ("first_word", "last_word", "splitmix64")

    def _seed(self, seeds: Words, seeding: str) -> Columns:
        if seeding == "splitmix64":
            first, second = splitmix64_outputs(seeds, 2)
            return (first & MASK32, first >> 32, second & MASK32, second >> 32)
        words = [np.full_like(seeds, word) for word in _MARSAGLIA_128]
        words[0 if seeding == "first_word" else 3] = seeds & MASK32
        return tuple(words)

    def _advance(self, columns: Columns) -> Columns:
        x, y, z, w = columns
        mixed = x ^ (x << 11 & MASK32)
        return (y, z, w, w ^ (w >> 19) ^ mixed ^ (mixed >> 8))

    def _retreat(self, columns: Columns) -> Columns:
        y, z, w, newest = columns
        mixed = undo_shift_right(newest ^ w ^ (w >> 19), 8, 32)
        return (undo_shift_left(mixed, 11, 32), y, z, w)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        return after[3]


GENERATORS = (
    Xorshift("xorshift32", 32, (13, -17, 5)),
    Xorshift("xorshift64", 64, (13, -7, 17)),
    Xorshift128(),
    XorshiftStar("xorshift64star", 64, (-12, 25, -27)),
)
