"""splitmix64: a counter with a large stride, well mixed; also what other generators are seeded by.

Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014), with the constants
of Vigna's splitmix64.c; java.util.SplittableRandom gives the same outputs.
"""

from __future__ import annotations

from steps.prng.base import MASK64, Words
from steps.prng.generators.columns import ColumnGenerator, Columns

_STRIDE = 0x9E3779B97F4A7C15


class SplitMix64(ColumnGenerator):
    """The state is the counter. seedings: "raw", the counter itself."""

    name = "splitmix64"
    word_bits = 64
    state_words = 1
    seedings = ("raw",)
    jump_cost = 2

    def _seed(self, seeds: Words, seeding: str) -> Columns:  # noqa: ARG002
        return (seeds.copy(),)

    def _advance(self, columns: Columns) -> Columns:
        return self._leap(columns, 1)

    def _retreat(self, columns: Columns) -> Columns:
        return self._leap(columns, -1)

    def _output(self, before: Columns, after: Columns) -> Words:  # noqa: ARG002
        return _mixed(after[0])

    def _leap(self, columns: Columns, steps: int) -> Columns:
        return (columns[0] + (steps * _STRIDE & MASK64),)


def splitmix64_outputs(seeds: Words, count: int) -> list[Words]:
    """The first `count` outputs, (n,) each, of splitmix64 started at each seed (n,)."""
    return [_mixed(seeds + (step * _STRIDE & MASK64)) for step in range(1, count + 1)]


def _mixed(counter: Words) -> Words:
    mixed: Words = (counter ^ (counter >> 30)) * 0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB
    mixed ^= mixed >> 31
    return mixed


GENERATORS = (SplitMix64(),)
