"""Which kernel searches which generator's seeds, and what it has to be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from steps.prng.base import MASK64, Words
from steps.prng.generators.java import SCRAMBLE, JavaRandom
from steps.prng.generators.lcg import affine_power
from steps.prng.generators.pcg import MULTIPLIER, Pcg32
from steps.prng.recovery import seed_kernels
from steps.prng.recovery.seed_kernels import Work

_STRIDE = 0x9E3779B97F4A7C15
_SFC_WARM_UP = 12
_STAR_SHIFTS = (12, 25, 27)
_XORSHIFT_SHIFTS = (13, 7, 17)
# Outputs of the Mersenne twister that need no word twice twisted.
_TWISTER_PLACES = 227

Moves = Callable[[Sequence[int]], list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class SeedLanes:
    """kernel: of seed_kernels. word: bits of its arithmetic on outputs. moves: from the places of
    outputs, ascending, to what the kernel wants; seeds, places: how many of either it can do.
    looks_cheap: whether a further look costs next to nothing beside seeding.
    """

    kernel: Callable[[Work], int]
    word: int
    constants: tuple[int, ...]
    moves: Moves
    seed_bits: int = 64
    places: int = 1 << 62
    looks_cheap: bool = False

    def work_moves(self, places: Sequence[int]) -> Words:
        """Moves (looks, 2) of the kernel for the outputs at these places."""
        return np.array([[a & MASK64, b & MASK64] for a, b in self.moves(places)], np.uint64)


def lanes_of(generator: str, seeding: str) -> SeedLanes | None:
    """The lanes for a generator and a seeding; None where only the slow way is there."""
    return _LANES.get((generator, seeding))


def _java_moves(places: Sequence[int]) -> list[tuple[int, int]]:
    powers = [affine_power(JavaRandom.multiplier, place + 1, 48) for place in places]
    return [(power, total * JavaRandom.increment) for power, total in powers]


def _pcg_lanes(seeding: str) -> SeedLanes:
    nothing = np.zeros(1, np.uint64)
    increment = int(Pcg32().seed(nothing, seeding)[0, 1])

    def moves(places: Sequence[int]) -> list[tuple[int, int]]:
        # The seeded state is one step from seed + increment, and shown before its own step.
        powers = [affine_power(MULTIPLIER, place + 1, 64) for place in places]
        return [(power, total * increment) for power, total in powers]

    return SeedLanes(seed_kernels.pcg32, 32, (increment,), moves)


def _steps_to(places: Sequence[int]) -> list[tuple[int, int]]:
    """Steps from one output to the next, with the step that makes it."""
    return [(place - before, 0) for before, place in zip([-1, *places], places, strict=False)]


def _steps_before(warm_up: int) -> Moves:
    """Steps from one output to the next, without the step that makes it."""

    def moves(places: Sequence[int]) -> list[tuple[int, int]]:
        befores = zip([-warm_up, *places], places, strict=False)
        return [(place - before, 0) for before, place in befores]

    return moves


def _splitmix_moves(places: Sequence[int]) -> list[tuple[int, int]]:
    return [((place + 1) * _STRIDE, 0) for place in places]


def _philox_moves(places: Sequence[int]) -> list[tuple[int, int]]:
    return [divmod(place, 4) for place in places]


def _twister_moves(places: Sequence[int]) -> list[tuple[int, int]]:
    return [(place, 0) for place in places]


_LANES = {
    ("java", "scramble"): SeedLanes(seed_kernels.java, 32, (SCRAMBLE,), _java_moves),
    ("java", "raw"): SeedLanes(seed_kernels.java, 32, (0,), _java_moves),
    ("xorshift32", "raw"): SeedLanes(seed_kernels.xorshift32, 32, (0,), _steps_to),
    ("xorshift32", "splitmix64"): SeedLanes(seed_kernels.xorshift32, 32, (1,), _steps_to),
    **{
        (name, seeding): SeedLanes(seed_kernels.xorshift64, 64, (mixed, star, *shifts), _steps_to)
        for name, star, shifts in (
            ("xorshift64", 0, _XORSHIFT_SHIFTS),
            ("xorshift64star", 1, _STAR_SHIFTS),
        )
        for seeding, mixed in (("raw", 0), ("splitmix64", 1))
    },
    **{("pcg32", seeding): _pcg_lanes(seeding) for seeding in Pcg32.seedings},
    ("splitmix64", "raw"): SeedLanes(seed_kernels.splitmix64, 64, (), _splitmix_moves),
    ("xoshiro256plusplus", "splitmix64"): SeedLanes(
        seed_kernels.xoshiro256plusplus, 64, (), _steps_before(0)
    ),
    ("sfc64", "practrand"): SeedLanes(seed_kernels.sfc64, 64, (), _steps_before(_SFC_WARM_UP)),
    ("philox4x32", "key"): SeedLanes(seed_kernels.philox4x32, 32, (), _philox_moves),
    ("mt19937", "init_genrand"): SeedLanes(
        seed_kernels.mt19937,
        32,
        (),
        _twister_moves,
        seed_bits=32,
        places=_TWISTER_PLACES,
        looks_cheap=True,
    ),
}
