"""Sift small seeds of many generators by their matches with the most recent draws.

Every seed is taken to have made draw 0 of the history right after seeding, without gaps. Of all of
them those with the most matches are kept, in blocks and in bounded memory: what later steps rank,
whatever has been found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from steps.forensics.candidates import proven
from steps.forensics.documents import CandidateRecord, SearchRecord
from steps.forensics.history import ALL
from steps.prng.base import Words
from steps.prng.generators import generator_named
from steps.prng.law import Law
from steps.prng.mappings import Draws, Unrejected, mapping_named
from steps.prng.recovery.alignment import align
from steps.prng.recovery.cycles import cycle_of
from steps.prng.recovery.found import SMALLEST_CORRUPTION, match_gain, miss_loss

# Seeds that match all of so many draws by chance: fewer than this.
_CHANCE_SURVIVORS = 0.01
# Matches are counted over so many times as many draws: one that is wrong does not decide.
_WIDER = 8
_SEEDS_AT_ONCE = 4096
_NUMBERS_AT_ONCE = 1 << 21
_LONG_STATE, _LONG_SHARE = 100, 8


@dataclass(frozen=True, slots=True)
class Pass:
    """Seeds 0..seeds - 1 of one generator and seeding, read through one mapping."""

    generator: str
    seeding: str
    mapping: str
    seeds: int

    @property
    def log_hypotheses(self) -> float:
        """Log of the number of seeds."""
        return math.log(self.seeds)


@dataclass(frozen=True, eq=False)
class Sieved:
    """The candidates with the most matches, the best first, and how they were chosen.

    window: of the most recent draws, over which matches were counted. sure: of how many draws a
    seed that chance has brought would hardly match all. passes: those that were made.
    """

    candidates: tuple[CandidateRecord, ...]
    window: int
    sure: int
    passes: tuple[Pass, ...]
    complete: bool


def sieve_passes(pairs: tuple[tuple[str, str], ...], seeds: int) -> tuple[Pass, ...]:
    """A pass for every generator, mapping and seeding, so many small seeds each.

    Fewer where seeding fills hundreds of words.
    """
    made = []
    for name in dict.fromkeys(name for name, _ in pairs):
        generator = generator_named(name)
        share = _LONG_SHARE if generator.state_words > _LONG_STATE else 1
        # Mappings of a seeding in a row: they share the seeded states.
        made += [
            Pass(name, seeding, mapping, max(1, seeds // share))
            for seeding in generator.seedings
            for other, mapping in pairs
            if other == name
        ]
    return tuple(made)


def sieve(
    draws: Draws,
    modulus: int,
    passes: tuple[Pass, ...],
    *,
    kept: int,
    corruption: float,
    log_searches: float,
    should_stop: Callable[[], bool],
    tell: Callable[[int], None],
) -> Sieved:
    """Sift; draws: int64 (n,), -1 where unread, the train part. kept: of how many candidates.

    log_searches: log of the number of searches of the step. tell: hears how many passes are done.
    """
    seeds = sum(one.seeds for one in passes)
    sure = max(1, math.ceil(math.log(max(seeds, 1) / _CHANCE_SURVIVORS) / math.log(modulus)))
    window = min(draws.shape[0], _WIDER * sure)
    recent = draws[draws.shape[0] - window :]
    # Matches, pass and seed of the best so far, in order.
    best: NDArray[np.int64] = np.zeros((0, 3), np.int64)
    made = 0
    for number, one in enumerate(passes):
        if should_stop():
            break
        for matches in _matches(one, modulus, recent, draws.shape[0] - window):
            rows = np.column_stack((matches[1], np.full(matches[0].size, number), matches[0]))
            best = _best(np.concatenate((best, rows)), kept)
        made = number + 1
        tell(made)
    held = _held(draws, modulus, passes, best, corruption, log_searches)
    candidates = sorted(held, key=lambda c: -c.score)
    return Sieved(tuple(candidates), window, sure, passes[:made], made == len(passes))


def pass_record(one: Pass, draws: int, candidates: tuple[CandidateRecord, ...]) -> SearchRecord:
    """The pass as a search among the others. candidates: of the whole sieve."""
    mine = [
        candidate
        for candidate in candidates
        if (candidate.generator, candidate.seeding, candidate.mapping)
        == (one.generator, one.seeding, one.mapping)
    ]
    return SearchRecord(
        stream=ALL,
        first=0,
        stop=draws,
        generator=one.generator,
        mapping=one.mapping,
        method="seeds",
        seeding=one.seeding,
        seeds=one.seeds,
        log10_hypotheses=one.log_hypotheses / math.log(10),
        candidates=len(mine),
        best_score=max((candidate.score for candidate in mine), default=None),
        found=any(proven(candidate) for candidate in mine),
        complete=True,
    )


def _matches(
    one: Pass, modulus: int, recent: Draws, first: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Seeds and their matches, block by block."""
    generator = generator_named(one.generator)
    # Far from draw 0 it would take long to look at every output that may have been thrown away.
    law = Law(generator, Unrejected(mapping_named(one.mapping)), modulus)
    at_once = min(_SEEDS_AT_ONCE, max(1, _NUMBERS_AT_ONCE // generator.state_words))
    for start in range(0, one.seeds, at_once):
        seeds = np.arange(start, min(start + at_once, one.seeds), dtype=np.uint64)
        states = _seeded(one.generator, one.seeding, start, start + seeds.size)
        made = law.draws(states, recent.shape[0], first=first)
        yield seeds.astype(np.int64), np.count_nonzero(made == recent, axis=1)


@lru_cache(maxsize=1)
def _seeded(generator: str, seeding: str, start: int, stop: int) -> Words:
    return generator_named(generator).seed(np.arange(start, stop, dtype=np.uint64), seeding)


def _best(rows: NDArray[np.int64], kept: int) -> NDArray[np.int64]:
    """The rows with the most matches; earlier passes and smaller seeds first."""
    order = np.lexsort((rows[:, 2], rows[:, 1], -rows[:, 0]))
    return rows[order[:kept]]


def _held(
    draws: Draws,
    modulus: int,
    passes: tuple[Pass, ...],
    best: NDArray[np.int64],
    corruption: float,
    log_searches: float,
) -> Iterator[CandidateRecord]:
    """Candidates held against all draws: which stretch of them each explains best."""
    corruption = max(corruption, SMALLEST_CORRUPTION)
    gain, loss = match_gain(modulus, corruption), miss_loss(corruption)
    height = max(1, min(_SEEDS_AT_ONCE, _NUMBERS_AT_ONCE // draws.shape[0]))
    for number in np.unique(best[:, 1]).tolist():
        one = passes[number]
        seeds = best[best[:, 1] == number, 2]
        generator = generator_named(one.generator)
        law = Law(generator, mapping_named(one.mapping), modulus)
        for start in range(0, seeds.size, height):
            block = seeds[start : start + height].astype(np.uint64)
            made = law.draws(generator.seed(block, one.seeding), draws.shape[0])
            for seed, predicted in zip(block.tolist(), made, strict=True):
                if cycle_of(predicted, modulus) is not None:
                    continue  # its matches are those of a few values
                path = align(draws, predicted, 0, gain=gain, loss=loss, missing_rate=0.0)
                yield CandidateRecord(
                    stream=ALL,
                    generator=one.generator,
                    mapping=one.mapping,
                    modulus=modulus,
                    gap=0,
                    first=path.first,
                    stop=path.stop,
                    matches=path.matches,
                    compared=path.compared,
                    missing=0,
                    log_ratio=path.log_ratio,
                    log_hypotheses=one.log_hypotheses + log_searches,
                    origin="sieve",
                    seeding=one.seeding,
                    seed=seed,
                    offset=0,
                )
