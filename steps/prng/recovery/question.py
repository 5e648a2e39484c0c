"""Hold what is asked of a search for a state, and judge the candidates that it comes up with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steps.prng.base import Generator, Words
from steps.prng.law import Law
from steps.prng.mappings import Mapping
from steps.prng.recovery.alignment import NO_DRAW, align
from steps.prng.recovery.found import (
    ALPHA,
    SMALLEST_CORRUPTION,
    UNREAD,
    Found,
    Search,
    TooFewDraws,
    match_gain,
    miss_loss,
)

_MOST_SLACK = 200
# Equal outputs in a row that no generator makes which moves.
_STILL = 8
# Priors of an alignment that begins with the first draw and ends with the last.
_EDGES = 2 * math.log(2)


def never() -> bool:
    """The answer of a search that nobody stops."""
    return False


@dataclass(frozen=True, eq=False)
class Question:
    """Did this generator, through this mapping, make these draws?

    draws: int64 (n,) of 0..modulus - 1, in the order in which they were made; -1 where there was a
    draw that cannot be read. gaps: which constant gaps are possible. corruption: share of draws
    that something else has replaced, 0 <= c < 1. missing_rate: share of draws that the record lacks
    at unknown places, 0 <= r < 1. starts: in how many places of the history algebra begins, evenly
    spread; None: as many as the missing draws ask for. alpha: chance of calling draws of no
    generator found. should_stop: asked between pieces of work.
    """

    generator: Generator
    mapping: Mapping
    modulus: int
    draws: NDArray[np.int64] = field(repr=False)
    gaps: Sequence[int] = (0,)
    corruption: float = 0.0
    missing_rate: float = 0.0
    starts: int | None = None
    alpha: float = ALPHA
    should_stop: Callable[[], bool] = field(default=never, repr=False)

    def __post_init__(self) -> None:
        self.mapping.outputs_per_draw(self.generator, self.modulus)
        if self.draws.ndim != 1 or self.draws.dtype != np.int64:
            raise ValueError(f"draws must be int64 (n,), got {self.draws.dtype} {self.draws.shape}")
        outside = (self.draws < UNREAD) | (self.draws >= self.modulus)
        if outside.any():
            place = int(outside.argmax())
            raise ValueError(
                f"draws must be 0..{self.modulus - 1}, or {UNREAD} where unread; "
                f"draw {place} is {self.draws[place]}"
            )
        if not self.gaps or min(self.gaps) < 0:
            raise ValueError(f"gaps must be one or more numbers from 0 up, got {self.gaps!r}")
        for name, rate in (("corruption", self.corruption), ("missing_rate", self.missing_rate)):
            if not 0 <= rate < 1:
                raise ValueError(f"{name} must be at least 0 and under 1, got {rate}")
        if self.starts is not None and self.starts < 1:
            raise ValueError(f"starts must be at least 1, got {self.starts}")

    @property
    def outputs_per_draw(self) -> int:
        """Raw outputs that one call eats."""
        return self.mapping.outputs_per_draw(self.generator, self.modulus)

    @property
    def name(self) -> str:
        """Generator, mapping and M, for messages."""
        return f"{self.generator.name} {self.mapping.name} {self.modulus}"

    def log_hypotheses(self, log_states: float) -> float:
        """Log of the number of hypotheses where `log_states` is that of the states or seeds."""
        return log_states + math.log(len(self.gaps))

    def draws_for_proof(self, log_states: float) -> int:
        """Draws after which a true state is told from chance, in nineteen cases of twenty."""
        corruption = max(self.corruption, SMALLEST_CORRUPTION)
        gain, loss = match_gain(self.modulus, corruption), miss_loss(corruption)
        hit = 1 - self.corruption * (1 - 1 / self.modulus)
        mean = hit * gain + (1 - hit) * loss
        deviation = (gain - loss) * math.sqrt(hit * (1 - hit))
        if mean <= 0:
            raise ValueError(f"{self.name}: a corruption of {self.corruption} leaves no evidence")
        needed = self.log_hypotheses(log_states) - math.log(self.alpha) + _EDGES
        # mean * n - 1.64 * deviation * sqrt(n) = needed, solved for sqrt(n).
        root = (1.64 * deviation + math.sqrt((1.64 * deviation) ** 2 + 4 * mean * needed)) / 2
        return math.ceil((root / mean) ** 2)

    def require(self, draws: int, what: str) -> None:
        """Raise TooFewDraws unless so many draws can be read."""
        readable = int(np.count_nonzero(self.draws != UNREAD))
        if readable < draws:
            raise TooFewDraws(f"{what} of {self.name}", draws, readable)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a state comes from: a seed, and the calls from there to it."""

    seed: int
    seeding: str
    calls: int


class Judge:
    """Holds candidates against the whole history, and keeps the best."""

    def __init__(self, question: Question, log_states: float) -> None:
        self.question = question
        self.log_hypotheses = question.log_hypotheses(log_states)
        self.best: Found | None = None
        self.candidates = 0

    def try_state(self, state: Words, gap: int, at: int, origin: Origin | None = None) -> bool:
        """Whether the state (state_words,), before draw number `at`, is the one looked for.

        A state that stands still is none, as its draws are all alike. No draw is laid beside one
        from before the origin.
        """
        question = self.question
        if stands_still(question.generator, state):
            return self.proven
        draws = question.draws.shape[0]
        corruption = max(question.corruption, SMALLEST_CORRUPTION)
        law = Law(question.generator, question.mapping, question.modulus, gap)
        slack = _slack(draws, question.missing_rate)
        states = state[np.newaxis]
        predicted = law.draws(states, draws + 2 * slack, first=-at - slack)[0]
        if origin is not None:
            calls = origin.calls + (np.arange(predicted.size) - slack - at) * (gap + 1)
            predicted[calls < 0] = NO_DRAW
        aligned = align(
            question.draws,
            predicted,
            slack,
            gain=match_gain(question.modulus, corruption),
            loss=miss_loss(corruption),
            missing_rate=question.missing_rate,
        )
        index = aligned.first + aligned.shift - at
        start = law.states_before(states, index)[0]
        found = Found(
            generator=question.generator.name,
            mapping=question.mapping.name,
            modulus=question.modulus,
            state=tuple(int(word) for word in start),
            gap=gap,
            first=aligned.first,
            stop=aligned.stop,
            matches=aligned.matches,
            compared=aligned.compared,
            missing=aligned.missing,
            log_ratio=aligned.log_ratio,
            log_hypotheses=self.log_hypotheses,
            seed=None if origin is None else origin.seed,
            seeding=None if origin is None else origin.seeding,
            offset=None if origin is None else origin.calls + index * (gap + 1),
        )
        self.candidates += 1
        if self.best is None or found.score > self.best.score:
            self.best = found
        return self.proven

    @property
    def proven(self) -> bool:
        """Whether the best candidate is beyond chance."""
        return self.best is not None and self.best.score >= -math.log(self.question.alpha)

    def search(self, complete: bool = True) -> Search:
        """What came of it all."""
        question = self.question
        return Search(
            generator=question.generator.name,
            mapping=question.mapping.name,
            modulus=question.modulus,
            draws=question.draws.shape[0],
            gaps=len(question.gaps),
            corruption=question.corruption,
            missing_rate=question.missing_rate,
            log_hypotheses=self.log_hypotheses,
            found=self.best if self.proven else None,
            candidates=self.candidates,
            best_score=None if self.best is None else self.best.score,
            best=self.best,
            complete=complete or self.proven,
        )


def stands_still(generator: Generator, state: Words) -> bool:
    """Whether a state (state_words,) makes the same output over and over, as one of zeros may."""
    outputs, _ = generator.run(state[np.newaxis], _STILL)
    return bool((outputs == outputs[0, 0]).all())


def _slack(draws: int, missing_rate: float) -> int:
    """Shifts to allow for: the missing draws that are likely, and as many again as chance adds."""
    if missing_rate == 0:
        return 0
    expected = draws * missing_rate / (1 - missing_rate)
    return min(_MOST_SLACK, math.ceil(expected + 4 * math.sqrt(expected) + 2))
