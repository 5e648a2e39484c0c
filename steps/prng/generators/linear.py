"""Generators that are linear over GF(2): jumps by polynomial, and how to undo a shift."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from steps.prng.base import MASK64, Words
from steps.prng.generators.columns import ColumnGenerator, Columns
from steps.prng.generators.polynomials import minimal_polynomial, power_of_x


class LinearGenerator(ColumnGenerator):
    """A ColumnGenerator whose step is linear over GF(2), of full period on its state_bits bits."""

    state_bits: int

    @cached_property
    def polynomial(self) -> int:
        """The minimal polynomial of a step, of degree state_bits."""
        columns: Columns = tuple(np.ones(1, np.uint64) for _ in range(self.state_words))
        bits = []
        for _ in range(2 * self.state_bits):
            bits.append(int(columns[0][0]) & 1)
            columns = self._advance(columns)
        return minimal_polynomial(bits)

    def _leap(self, columns: Columns, steps: int) -> Columns:
        power = power_of_x(steps, self.polynomial)
        reached = tuple(np.zeros_like(word) for word in columns)
        while power:
            if power & 1:
                for target, word in zip(reached, columns, strict=True):
                    np.bitwise_xor(target, word, out=target)
            power >>= 1
            columns = self._advance(columns)
        return reached


def rotate_left(words: Words, bits: int) -> Words:
    """64-bit words rotated to the left by 1..63 bits."""
    return (words << bits) | (words >> (64 - bits))


def undo_shift_right(mixed: Words, shift: int, word_bits: int) -> Words:
    """x where mixed = x ^ (x >> shift): (1 + R)^-1 = (1 + R)(1 + R^2)(1 + R^4)... ."""
    while shift < word_bits:
        mixed = mixed ^ (mixed >> shift)
        shift *= 2
    return mixed


def undo_shift_left(mixed: Words, shift: int, word_bits: int) -> Words:
    """x where mixed = x ^ (x << shift), both cut to word_bits."""
    mask = MASK64 >> (64 - word_bits)
    while shift < word_bits:
        mixed = (mixed ^ (mixed << shift)) & mask
        shift *= 2
    return mixed
