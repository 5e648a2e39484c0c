"""What is asked in the table of recovery: generators, mappings, gaps, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from steps.prng import generator_named
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.recovery.seed_lanes import lanes_of

MODULUS = 1000
CORRUPTIONS = (0.0, 0.05, 0.1, 0.25)
MISSING = 0.02
ALGEBRA = {
    "java": ("next_int", "mod", "digits_next_int"),
    "minstd_rand": ("mod", "multiply"),
    "minstd_rand0": ("mod",),
    "lcg32": ("mod", "multiply"),
    "xorshift32": ("mod", "multiply"),
    "xorshift64": ("mod", "multiply"),
    "xorshift64star": ("mod",),
    "xorshift128": ("mod", "multiply"),
    "mt19937": ("mod", "multiply", "next_int", "digits_mod"),
    "mt19937_64": ("mod", "multiply"),
}
SEARCHED = (
    ("java", "multiply", "scramble"),
    ("pcg32", "mod", "default_stream"),
    ("splitmix64", "mod", "raw"),
    ("xoshiro256plusplus", "mod", "splitmix64"),
    ("philox4x32", "mod", "key"),
    ("sfc64", "mod", "practrand"),
    ("sfc64", "mod", "seed_sequence"),
    ("mt19937", "mod", "init_genrand"),
    ("mt19937", "mod", "init_by_array"),
    ("mt19937_64", "mod", "init_genrand"),
)
# Gap and how many are tried, the true one last. A twister's gap takes seconds, so it is told.
_GAPS = ((0, 1), (20, 21), (500, 501))
_TWISTER_GAPS = ((0, 1), (20, 1), (50, 1))
_SEED_GAPS = ((0, 1), (20, 21), (500, 1))
# With more seeds than this a search over gaps would take minutes; without a kernel, fewer seeds.
_MOST_BITS_WITH_GAPS = 24
_SLOW_BITS = 14
_STEP = 1.125
_FEWEST, _MOST = 4, 2000
_TWISTER_FEWEST, _TWISTER_MOST = 2000, 16_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One question. tried: how many gaps. seeding, seed_bits: of a search over seeds, or None."""

    generator: str
    mapping: str
    gap: int
    tried: int
    corruption: float
    missing: float = 0.0
    seeding: str | None = None
    seed_bits: int | None = None

    @property
    def key(self) -> str:
        """What its line in the file is known by."""
        wrong = f"{self.corruption:.0%} wrong, {self.missing:.0%} missing"
        return f"table/{self.name}, gap {self.gap} of {self.tried}, {wrong}"

    @property
    def name(self) -> str:
        """Generator and mapping, and the seeds that are tried."""
        searched = f", {self.seeding} 2^{self.seed_bits}" if self.seeding else ""
        return f"{self.generator} {self.mapping}{searched}"

    @property
    def gaps(self) -> range:
        """The gaps that are tried."""
        return range(self.gap + 1 - self.tried, self.gap + 1)

    @property
    def grid(self) -> list[int]:
        """Numbers of draws to choose from."""
        fewest, most = _FEWEST, _MOST
        if self.seeding is None and isinstance(generator_named(self.generator), MersenneTwister):
            fewest, most = _TWISTER_FEWEST, _TWISTER_MOST
        steps = math.floor(math.log(most / fewest) / math.log(_STEP)) + 1
        return sorted({round(fewest * _STEP**step) for step in range(steps)} | {most})


def cells(seed_bits: int) -> Iterator[Cell]:
    """All of the table, the state's rows first; seed_bits: of the seeds that are searched."""
    for generator, mappings in ALGEBRA.items():
        # A twister's equations stand no wrong draw: one cell says so.
        if isinstance(generator_named(generator), MersenneTwister):
            for mapping in mappings:
                for gap, tried in _TWISTER_GAPS:
                    yield Cell(generator, mapping, gap, tried, 0.0)
            yield Cell(generator, mappings[0], 0, 1, CORRUPTIONS[1])
            continue
        for mapping in mappings:
            for gap, tried in _GAPS:
                for corruption in CORRUPTIONS:
                    yield Cell(generator, mapping, gap, tried, corruption)
        for corruption in CORRUPTIONS[:2]:
            yield Cell(generator, mappings[0], 0, 1, corruption, MISSING)
    for generator, mapping, seeding in SEARCHED:
        slow = lanes_of(generator, seeding) is None
        bits = min(seed_bits, _SLOW_BITS) if slow else seed_bits
        for gap, tried in _SEED_GAPS:
            told = slow or bits > _MOST_BITS_WITH_GAPS
            for corruption in CORRUPTIONS:
                yield Cell(
                    generator,
                    mapping,
                    gap,
                    1 if told else tried,
                    corruption,
                    seeding=seeding,
                    seed_bits=bits,
                )
