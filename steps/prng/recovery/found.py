"""Say what a search for a generator's state has tried, what it found, and how sure that is.

Evidence is a log-likelihood ratio in nats. Under "the generator made these draws, and a share c of
them was replaced by uniform ones" a draw that matches has probability (1 - c) + c / M, and one that
does not c / M; under "uniform" both have 1 / M. The ratio's expectation under "uniform" is one for
every hypothesis, so by Markov's inequality the best of N hypotheses exceeds log N + log(1 / alpha)
with probability alpha at most, however the N were searched: a state that algebra passes over
counts as tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# In an array of draws: there was one, and it could not be read.
UNREAD = -1
# Chance that draws of no generator are called found, a search.
ALPHA = 1e-6
# A history said to be clean may still have a slip of the pen in it.
SMALLEST_CORRUPTION = 1e-3


class CannotRecover(Exception):
    """The method does not apply to these draws; the message says what it would apply to."""


class TooFewDraws(CannotRecover):
    """The method applies, but needs more draws. wanted: how many would do; got: how many came."""

    def __init__(self, what: str, wanted: int, got: int) -> None:
        super().__init__(f"{what} needs about {wanted} draws, got {got}")
        self.wanted = wanted
        self.got = got


@dataclass(frozen=True, slots=True)
class Found:
    """A state that explains draws beyond chance.

    state: words as the generator keeps them, from which draw number `first` is read next. gap:
    calls between two draws that are not on record (steps.prng.law). The state explains draws
    first..stop - 1: `matches` of the `compared` ones that could be read. missing: draws in between
    that the machine made and the record lacks. log_ratio: nats, net of the prior of the alignment;
    log_hypotheses: log of the number of hypotheses in the search (states or seeds, times gaps).
    seed, seeding: where a search over seeds found it; offset: calls from there to draw `first`.
    """

    generator: str
    mapping: str
    modulus: int
    state: tuple[int, ...]
    gap: int
    first: int
    stop: int
    matches: int
    compared: int
    missing: int
    log_ratio: float
    log_hypotheses: float
    seed: int | None = None
    seeding: str | None = None
    offset: int | None = None

    @property
    def score(self) -> float:
        """Nats of evidence left after the search has been paid for."""
        return self.log_ratio - self.log_hypotheses


@dataclass(frozen=True, slots=True)
class Search:
    """One search, whatever came of it.

    log_hypotheses: as in Found, of the whole search, also where it ended early on a find.
    candidates: how many came so far that they were held against the whole history. best,
    best_score: the best of them, found or not; None where there was none. complete: False where the
    search was told to stop before its end and has found nothing.
    """

    generator: str
    mapping: str
    modulus: int
    draws: int
    gaps: int
    corruption: float
    missing_rate: float
    log_hypotheses: float
    found: Found | None
    candidates: int
    best_score: float | None
    complete: bool = True
    best: Found | None = None


def match_gain(modulus: int, corruption: float) -> float:
    """Nats that a matching draw adds."""
    return math.log(modulus * (1 - corruption) + corruption)


def miss_loss(corruption: float) -> float:
    """Nats (negative) that a draw which does not match adds."""
    return math.log(corruption)
