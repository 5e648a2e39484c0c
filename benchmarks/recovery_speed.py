"""How many seeds a second does a core try, beside numpy doing the same first look?

Both are timed one after the other, again and again, in seconds of CPU time of this one thread; a
ratio is of two runs that followed each other. Nothing is found in the draws, so that every seed of
the range is looked at.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.figures import markdown
from steps.prng import Generator, Law, generator_named, mapping_named
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.question import Question

MODULUS = 1000
MAPPING = "mod"
SEEDINGS = {
    "java": "scramble",
    "xorshift32": "raw",
    "xorshift64": "raw",
    "pcg32": "default_stream",
    "splitmix64": "raw",
    "xoshiro256plusplus": "splitmix64",
    "philox4x32": "key",
    "sfc64": "practrand",
    "mt19937": "init_genrand",
}
# numpy's temporary arrays stay in the second cache with so many seeds at once.
_AT_ONCE = 1 << 14
_FIRST_SEEDS = 1 << 12
_MOST_BITS = 32


@dataclass(frozen=True, slots=True)
class Speed:
    """Seeds a second, a number a repeat; looks: draws that every seed is held against first."""

    key: str
    generator: str
    seeding: str
    looks: int
    seeds: int
    ours: list[float]
    plain_seeds: int
    plain: list[float]


def key_of(generator: str) -> str:
    """What a generator's line is known by."""
    return f"speed/{generator}"


def measure_speed(generator: str, repeats: int, run_s: float) -> Speed:
    """Time both ways `repeats` times, each run of about run_s seconds of CPU time or more."""
    seeding = SEEDINGS[generator]
    draws = np.random.default_rng(1).integers(0, MODULUS, 60)
    made = generator_named(generator)
    question = Question(made, mapping_named(MAPPING), MODULUS, draws)

    def ours(seeds: int) -> float:
        started = time.process_time()
        search = search_seeds(question, seeding, seeds=range(seeds))
        seconds = time.process_time() - started
        assert search.tested == seeds
        return seconds

    # The search says what share of wrong seeds passes its first look, one in M for each draw.
    expected = search_seeds(question, seeding, seeds=range(_FIRST_SEEDS)).expected
    looks = round(math.log(expected) / -math.log(MODULUS))
    law = Law(made, mapping_named(MAPPING), MODULUS)

    def plain(seeds: int) -> float:
        started = time.process_time()
        _plain_first_look(law, made, seeding, draws[:looks], seeds)
        return time.process_time() - started

    seeds, plain_seeds = _enough(ours, run_s), _enough(plain, run_s)
    pairs = [(ours(seeds), plain(plain_seeds)) for _ in range(repeats)]
    return Speed(
        key=key_of(generator),
        generator=generator,
        seeding=seeding,
        looks=looks,
        seeds=seeds,
        ours=[seeds / seconds for seconds, _ in pairs],
        plain_seeds=plain_seeds,
        plain=[plain_seeds / seconds for _, seconds in pairs],
    )


def speed_table(speeds: Sequence[Speed]) -> str:
    """Markdown: a row a generator; medians, and the range of the ratios."""
    heads = ["generator, seeding", "looks", "M seeds/s a core", "numpy, M seeds/s", "ratio"]
    heads.append("2^32 seeds, s")
    rows = []
    for speed in speeds:
        ratios = [ours / plain for ours, plain in zip(speed.ours, speed.plain, strict=True)]
        rate = statistics.median(speed.ours)
        ratio = f"{statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f})"
        rows.append(
            [
                f"{speed.generator}, {speed.seeding}",
                str(speed.looks),
                f"{rate / 1e6:,.0f}",
                f"{statistics.median(speed.plain) / 1e6:.3g}",
                ratio,
                f"{(1 << 32) / rate:.1f}",
            ]
        )
    return markdown(heads, rows)


def _plain_first_look(
    law: Law, generator: Generator, seeding: str, draws: np.ndarray, seeds: int
) -> list[int]:
    """What one writes with numpy: seed many, make their first draws, keep those that match."""
    kept: list[int] = []
    for start in range(0, seeds, _AT_ONCE):
        block = np.arange(start, min(start + _AT_ONCE, seeds), dtype=np.uint64)
        made = law.draws(generator.seed(block, seeding), draws.shape[0])
        kept.extend(block[(made == draws).all(axis=1)].tolist())
    return kept


def _enough(run: Callable[[int], float], run_s: float) -> int:
    """So many seeds, a power of two, that a run takes run_s. The first run compiles."""
    seeds = _FIRST_SEEDS
    run(seeds)
    while run(seeds) < run_s and seeds < 1 << _MOST_BITS:
        seeds *= 2
    return seeds
