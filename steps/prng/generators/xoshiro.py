"""xoshiro256++ of Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators" (2021)."""

from __future__ import annotations

from steps.prng.base import MASK64, Words
from steps.prng.generators.columns import Columns
from steps.prng.generators.linear import LinearGenerator, rotate_left, undo_shift_left
from steps.prng.generators.splitmix import splitmix64_outputs

# java.util.random starts a splitmix64 at the seed XOR this.
_JAVA_SILVER, _SPLITMIX_STRIDE = 0x6A09E667F3BCC909, 0x9E3779B97F4A7C15


class Xoshiro256PlusPlus(LinearGenerator):
    """Four words of 64 bits, linear; the output is not.

    seedings: "splitmix64", the seed's first four splitmix64 outputs, as its authors advise;
    "java", as the Xoshiro256PlusPlus of java.util.random.
    """

    name = "xoshiro256plusplus"
    word_bits = 64
    state_words = 4
    state_bits = 256
    jump_cost = 512
    seedings = ("splitmix64", "java")

    def _seed(self, seeds: Words, seeding: str) -> Columns:
        if seeding == "java":
            seeds = (seeds ^ _JAVA_SILVER) + (-_SPLITMIX_STRIDE & MASK64)
        return tuple(splitmix64_outputs(seeds, 4))

    def _advance(self, columns: Columns) -> Columns:
        a, b, c, d = columns
        c_a, d_b = c ^ a, d ^ b
        return (a ^ d_b, b ^ c_a, c_a ^ (b << 17), rotate_left(d_b, 45))

    def _retreat(self, columns: Columns) -> Columns:
        a_d_b, b_c_a, shifted, turned = columns
        d_b = rotate_left(turned, 64 - 45)
        a = a_d_b ^ d_b
        b = undo_shift_left(b_c_a ^ shifted, 17, 64)
        return (a, b, b_c_a ^ b ^ a, d_b ^ b)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        a, _, _, d = before
        return rotate_left(a + d, 23) + a


GENERATORS = (Xoshiro256PlusPlus(),)
