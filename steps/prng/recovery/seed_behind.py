"""Say what a found state tells of the seed, and which of its bits the draws depend on.

Of a generator whose seeding reaches every state, each state is some seed's: that a seed gives the
draws says nothing of where, and with what, the machine was seeded. It does where the seed is so
small, and so few calls before, that a state of no such seed would hardly have one. Read backward
over N calls, a state of b bits that nobody has seeded meets a seed of at most s, k calls before,
with s + 1 in 2^b each time. Half of the chance of an error is spent on k = 0, a seed used right
before the state, and the rest on all k > 0 as 1 / k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.prng.base import Generator, Words, spread
from steps.prng.generators.lcg import Minstd, TruncatedLcg
from steps.prng.generators.linear import LinearGenerator
from steps.prng.mappings import Mapping

# A seed that is met by chance as often as this is no evidence.
NO_EVIDENCE = 1e-3
_AT_ONCE = 1 << 16
_MINSTD_BITS = 31
_WORD = 64
# Longer states are not read.
_MOST_BITS = 128


@dataclass(frozen=True, slots=True)
class SeedBehind:
    """A seed that leads to the state after so many calls. chance: see the module; 1 at most."""

    seed: int
    seeding: str
    calls: int
    chance: float

    @property
    def evidence(self) -> bool:
        """Whether the seed is so small and so near that this is no accident."""
        return self.chance <= NO_EVIDENCE


def seen_bits(generator: Generator, mapping: Mapping, modulus: int) -> int | None:
    """How many of the lowest bits of a state the draws depend on; None where on all of it.

    u % 2^k of a linear congruence modulo 2^b shows the lower k bits of the output, and the bits of
    the state above them never come down.
    """
    if not isinstance(generator, TruncatedLcg) or mapping.name != "mod" or modulus & (modulus - 1):
        return None
    seen = generator.state_bits - generator.word_bits + modulus.bit_length() - 1
    return seen if seen < generator.state_bits else None


def chance_of_seed(seed: int, calls: int, furthest: int, bits: int) -> float:
    """Chance that a state of `bits` bits that nobody has seeded has a seed as small and as near.

    furthest: calls that are looked back at.
    """
    nearness = max(calls, 1 / _shares(furthest))
    return min(1.0, math.ldexp(2 * _shares(furthest) * nearness * (seed + 1), -bits))


def _shares(furthest: int) -> float:
    """At least the sum of 1 / k for k = 1..furthest."""
    return 1 + math.log(max(furthest, 1))


def bits_of(generator: Generator) -> int:
    """Bits of a state, as many as its words hold where the family says nothing else."""
    match generator:
        case Minstd():
            return _MINSTD_BITS
        case TruncatedLcg() | LinearGenerator():
            return generator.state_bits
        case _:
            return _WORD * generator.state_words


def seed_behind(
    generator: Generator, state: Words, outputs_per_call: int, furthest: int, seen: int | None
) -> SeedBehind | None:
    """The seed behind the state (1, state_words) that is least likely by chance.

    Looked for right before the state and 1..furthest calls further back. seen: as seen_bits has
    it; of seeds that give the same draws the smallest is told. None where no seed gives the state,
    or where that cannot be read off it. The seeding is the generator's usual one, or another whose
    seed is a word of the state.
    """
    bits = bits_of(generator)
    if not generator.reversible or bits > _MOST_BITS:
        return None
    best = None
    for first in range(0, furthest + 1, _AT_ONCE):
        # Forward from the furthest of these states, and nearest first.
        count = min(_AT_ONCE, furthest + 1 - first)
        place = generator.jump(state, -(first + count - 1) * outputs_per_call)
        states = spread(generator, place, count, outputs_per_call)[::-1]
        for seeding in _usual(generator):
            for rows, seeds in _seeds_of(generator, states, seeding, seen):
                if not rows.size:
                    continue
                calls = (first + rows).astype(np.float64)
                row = int(np.argmin(np.maximum(calls, 1 / _shares(furthest)) * (seeds + 1.0)))
                seed, back = int(seeds[row]), first + int(rows[row])
                chance = chance_of_seed(seed, back, furthest, bits if seen is None else seen)
                if best is None or chance < best.chance:
                    best = SeedBehind(seed, seeding, back, chance)
    return best


def _usual(generator: Generator) -> list[str]:
    """Seedings that a program would have: the state itself where that is the usual one only."""
    return [name for name in generator.seedings if name != "raw" or name == generator.seedings[0]]


def _seeds_of(
    generator: Generator, states: Words, seeding: str, seen: int | None
) -> Iterator[tuple[NDArray[np.intp], Words]]:
    """Rows of the states (n, state_words) that are a seed's, and their seeds."""
    mask = np.uint64((1 << (_WORD if seen is None else seen)) - 1)
    for word in range(states.shape[1]):
        column = np.ascontiguousarray(states[:, word])
        # A seed that is the word, or its image: java's scramble undoes itself.
        for tried in (column, generator.seed(column, seeding)[:, 0]):
            seeds = tried & mask
            unlike = (generator.seed(seeds, seeding) ^ states) & mask
            rows = np.flatnonzero(~unlike.any(axis=1))
            yield rows, seeds[rows]
