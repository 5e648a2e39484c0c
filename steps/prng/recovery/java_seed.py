"""Read the seed of a java.util.Random off a state that was found, where there is one to be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steps.prng.base import spread
from steps.prng.generators.java import SCRAMBLE, JavaRandom

_STATE_BITS = 48
_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class JavaSeed:
    """new Random(seed), `outputs` raw outputs before the state. chance: that a seed as small turns
    up among as many steps back from a state of no seed at all.
    """

    seed: int
    outputs: int
    chance: float


def seeds_behind(state: int, furthest: int, seed_bits: int) -> list[JavaSeed]:
    """The seeds under 2^seed_bits that lead to the state within `furthest` outputs, nearest first.

    Every state is some seed's: the state XOR 0x5DEECE66D, with no output in between, is always one,
    of 48 bits. A seed of 32 bits, or of the 41 of a time in milliseconds, is news only where
    `chance` is small. Raises ValueError unless 0 <= state < 2^48, furthest >= 0 and
    1 <= seed_bits <= 48.
    """
    if not 0 <= state < 1 << _STATE_BITS:
        raise ValueError(f"a state of java.util.Random is 0..2^48 - 1, got {state}")
    if furthest < 0 or not 1 <= seed_bits <= _STATE_BITS:
        raise ValueError(
            f"wanted furthest >= 0 and 1 <= seed_bits <= 48, got {furthest} and {seed_bits}"
        )
    generator = JavaRandom()
    found = []
    last = np.array([[state]], np.uint64)
    for done in range(0, furthest + 1, _AT_ONCE):
        # Forward from the furthest of these states, and nearest first.
        count = min(_AT_ONCE, furthest + 1 - done)
        place = generator.jump(last, -(done + count - 1))
        states = spread(generator, place, count, 1)[::-1, 0]
        seeds = states ^ np.uint64(SCRAMBLE)
        for lane in np.flatnonzero(seeds < np.uint64(1 << seed_bits)).tolist():
            outputs = done + lane
            chance = min(1.0, (outputs + 1) * 2.0 ** (seed_bits - _STATE_BITS))
            found.append(JavaSeed(int(seeds[lane]), outputs, chance))
    return found
