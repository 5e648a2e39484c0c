"""How many draws a search wants before it can prove anything, whether or not there are as many.

Every method says so itself, where it is asked about a history that is too short; that the evidence
is enough is the question's own reckoning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from steps.prng.generators import generator_named
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.mappings import mapping_named
from steps.prng.recovery.algebra import recover_state
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.found import CannotRecover, Search, TooFewDraws
from steps.prng.recovery.linear import subsets_of
from steps.prng.recovery.question import Question

# A short history with corrupted draws has too few clean subsets of them: more are asked for, up to
# so many.
_STEP = 1.25
_MOST = 2000


@dataclass(frozen=True, slots=True)
class Need:
    """draws: that prove the true state, next to always; window: that the method works on.

    Both None where the method cannot do it with any number of draws; why: says the reason.
    log_hypotheses: log of the states or seeds, times gaps and offsets.
    """

    draws: int | None
    window: int | None
    log_hypotheses: float = 0.0
    why: str = ""


@lru_cache(maxsize=4096)
def algebra_need(
    generator: str, mapping: str, modulus: int, gaps: int, corruption: float, alpha: float
) -> Need:
    """What recovery by algebra wants. gaps: how many, from 0 on; alpha: as in Question."""
    if corruption and isinstance(generator_named(generator), MersenneTwister):
        return Need(None, None, why=f"{generator}: one wrong draw spoils thousands of equations")

    def asked(draws: int) -> Search:
        return recover_state(
            _question(generator, mapping, modulus, range(gaps), corruption, alpha, draws)
        )

    return _need(asked, generator, mapping, modulus, gaps, corruption, alpha)


@lru_cache(maxsize=4096)
def subsets_need(
    generator: str,
    mapping: str,
    modulus: int,
    draws: int,
    corruption: float,
    missing_rate: float,
    alpha: float,
) -> tuple[int, int] | None:
    """Draws that a start takes and subsets that are tried, of a generator linear over GF(2).

    draws: how many there are. None where they cannot be searched with so many wrong ones.
    """
    question = _question(generator, mapping, modulus, range(1), corruption, alpha, draws)
    try:
        return subsets_of(replace(question, missing_rate=missing_rate))
    except CannotRecover:
        return None


@lru_cache(maxsize=4096)
def seeds_need(
    generator: str,
    mapping: str,
    modulus: int,
    seeding: str,
    seeds: range,
    passes: int,
    corruption: float,
    alpha: float,
) -> Need:
    """What a search of seeds wants. passes: gaps times offsets."""

    def asked(draws: int) -> Search:
        question = _question(generator, mapping, modulus, range(passes), corruption, alpha, draws)
        return search_seeds(question, seeding, seeds=seeds).search

    return _need(asked, generator, mapping, modulus, passes, corruption, alpha)


def _question(
    generator: str,
    mapping: str,
    modulus: int,
    gaps: range,
    corruption: float,
    alpha: float,
    draws: int,
) -> Question:
    # Draws of no generator: only their number counts, for nothing is searched.
    return Question(
        generator_named(generator),
        mapping_named(mapping),
        modulus,
        np.random.default_rng(0).integers(0, modulus, draws),
        gaps,
        corruption=corruption,
        alpha=alpha,
        should_stop=lambda: True,
    )


def _need(
    asked: Callable[[int], Search],
    generator: str,
    mapping: str,
    modulus: int,
    gaps: int,
    corruption: float,
    alpha: float,
) -> Need:
    draws, able = 1, False
    while True:
        try:
            search = asked(draws)
            break
        except TooFewDraws as short:
            draws, able = max(short.wanted, draws + 1), True
        except CannotRecover as refusal:
            if draws >= _MOST:
                return Need(None, None, why=str(refusal))
            # With many draws it is seen whether it can be done at all; then how few will do.
            if not able:
                try:
                    asked(_MOST)
                except TooFewDraws:
                    pass
                except CannotRecover as hopeless:
                    return Need(None, None, why=str(hopeless))
            draws, able = math.ceil(draws * _STEP), True
    question = _question(generator, mapping, modulus, range(gaps), corruption, alpha, 1)
    try:
        proof = question.draws_for_proof(search.log_hypotheses - math.log(gaps))
    except ValueError as hopeless:
        return Need(None, None, why=str(hopeless))
    return Need(max(draws, proof), draws, search.log_hypotheses)
