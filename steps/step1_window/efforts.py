"""How much work each effort allows, and what a piece of work costs.

Costs are CPU seconds of one core of a server of 2023, for M = 1000, rounded upward. They are
constants, so that the same history is searched in the same way on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from steps.prng.base import Generator
from steps.prng.generators.java import JavaRandom
from steps.prng.generators.lcg import Lcg32, Minstd
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.generators.xorshift import Xorshift, Xorshift128
from steps.prng.recovery.seed_lanes import lanes_of

EffortName = Literal["quick", "standard", "deep"]

_STATES_31 = 1 << 31
# A million seeds a second with a kernel; the first looks, where draws are taken to be clean.
_FAST = {
    "java": 1400.0,
    "xorshift32": 1500.0,
    "pcg32": 1100.0,
    "xorshift64": 900.0,
    "xorshift64star": 650.0,
    "splitmix64": 550.0,
    "philox4x32": 220.0,
    "xoshiro256plusplus": 200.0,
    "sfc64": 140.0,
    "mt19937": 20.0,
}
# By numpy.
_SLOW = {
    "mt19937": 0.02,
    "mt19937_64": 0.04,
    "sfc64": 2.0,
    "xoshiro256plusplus": 6.0,
    "xorshift128": 8.0,
}
_SLOW_OTHERWISE = 20.0


@dataclass(frozen=True, slots=True)
class Effort:
    """CPU seconds are of one search of stream "all"; a session or a segment gets half of them.

    largest_gap, algebra_s: of a search by algebra, whose gaps are as many as it may take.
    twister_gaps: gaps of a Mersenne twister, seconds each. seeds, seeds_largest_gap, seeds_s: of
    the search of small seeds. all_seeds_s: of the search of all 2^32; 0: none. days_before: seeds
    that are a time in seconds, so many days before the first draw. milliseconds: also times in
    milliseconds. all_tolerant: all seeds also where draws may be wrong. sieve_seeds: of each
    generator and mapping, in the sieve.
    """

    largest_gap: int
    algebra_s: float
    twister_gaps: int
    seeds: int
    seeds_largest_gap: int
    seeds_s: float
    all_seeds_s: float
    days_before: int
    milliseconds: bool
    all_tolerant: bool
    sieve_seeds: int


EFFORTS: dict[EffortName, Effort] = {
    "quick": Effort(
        largest_gap=20,
        algebra_s=0.3,
        twister_gaps=1,
        seeds=1 << 20,
        seeds_largest_gap=3,
        seeds_s=0.05,
        all_seeds_s=0,
        days_before=7,
        milliseconds=False,
        all_tolerant=False,
        sieve_seeds=1 << 10,
    ),
    "standard": Effort(
        largest_gap=100,
        algebra_s=2.5,
        twister_gaps=3,
        seeds=1 << 24,
        seeds_largest_gap=20,
        seeds_s=0.5,
        all_seeds_s=8,
        days_before=100,
        milliseconds=False,
        all_tolerant=False,
        sieve_seeds=1 << 12,
    ),
    "deep": Effort(
        largest_gap=500,
        algebra_s=120,
        twister_gaps=20,
        seeds=1 << 28,
        seeds_largest_gap=100,
        seeds_s=60,
        all_seeds_s=2000,
        days_before=3660,
        milliseconds=True,
        all_tolerant=True,
        sieve_seeds=1 << 15,
    ),
}


def algebra_s(
    generator: Generator, modulus: int, outputs_per_draw: int, tolerant: bool, trials: int
) -> float:
    """CPU seconds of one gap from one start.

    tolerant: whether draws may be wrong, so that draws or subsets of them take turns. trials: of a
    generator linear over GF(2) so many subsets, 1 where draws are clean.
    """
    match generator:
        case JavaRandom():
            return 0.3e-3 if not tolerant else 2e-3 if outputs_per_draw == 1 else 3e-2
        case Lcg32() | Minstd():
            # All states that one output leaves; many of them pass the first look where M is small.
            chance = math.pow(modulus, -1 / outputs_per_draw)
            return _STATES_31 * chance * 5.5e-9 * (1 + 20 * chance) * (20 if tolerant else 1)
        case MersenneTwister():
            return 4.0
        case Xorshift() | Xorshift128():
            return 0.4e-3 + trials * 6e-9 * generator.state_bits**2
        case _:
            raise ValueError(f"{generator.name} is not searched by algebra")


def seeds_per_s(generator: str, seeding: str, outputs_per_draw: int, corruption: float) -> float:
    """Seeds that one core searches in a CPU second."""
    if lanes_of(generator, seeding) is None:
        rate = _SLOW.get(generator, _SLOW_OTHERWISE)
    else:
        rate = _FAST[generator]
    return rate * 1e6 / (3 if corruption else 1) / (2 if outputs_per_draw > 1 else 1)


def power_of_two_below(number: float) -> int:
    """The largest power of two that is not above; 0 where the number is below 1."""
    return 1 << int(math.log2(number)) if number >= 1 else 0
