"""Hold what searches find against the whole stream, and keep the books on what is explained.

Every search spends an equal share of the chance of a false alarm: a candidate pays for the states
and seeds of its own search, and for the number of all searches. (One sum over all searches would
not do: the 2^19937 states of a Mersenne twister would drown the rest.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from steps.forensics.candidates import candidate_of, law_of, proven, state_of
from steps.forensics.documents import CandidateRecord
from steps.prng.generators import generator_named
from steps.prng.mappings import Draws, mapping_named
from steps.prng.recovery.cycles import cycle_of
from steps.prng.recovery.found import Found
from steps.prng.recovery.question import Judge, Origin, Question
from steps.step1_window.answers import Answer
from steps.step1_window.planned import BACKWARD, Planned
from steps.step1_window.seeds_read import with_seed

# Of a search's draws so many may be left to explain, and it is needless all the same.
_LEFT = 0.1
# Candidates that are alike in so much of what they explain are one.
_ALIKE = 0.5
# Draws of a candidate by which it is seen whether it goes round in few values.
_LOOKED_AT = 64

Flags = NDArray[np.bool_]


class Evidence:
    """Proven candidates, the best unproven ones, and which draws are explained.

    draws, rows: of each stream its draws (n,), and their numbers (n,) within the whole train part.
    log_searches: log of the number of searches. corruption, missing_rate: as the evidence is held
    to allow for.
    """

    def __init__(
        self,
        draws: dict[str, Draws],
        rows: dict[str, NDArray[np.intp]],
        modulus: int,
        *,
        corruption: float,
        missing_rate: float,
        log_searches: float,
    ) -> None:
        self._draws = draws
        self._rows = rows
        self._modulus = modulus
        self._corruption = corruption
        self._missing_rate = missing_rate
        self._log_searches = log_searches
        last = max(int(numbers.max(initial=-1)) for numbers in rows.values())
        self._explained: Flags = np.zeros(last + 1, np.bool_)
        self.found: list[CandidateRecord] = []
        self.unproven: list[CandidateRecord] = []

    def left(self, stream: str, first: int, stop: int) -> bool:
        """Whether enough of these draws of the stream is still to be explained."""
        rows = self._rows[stream][first:stop]
        return bool(np.count_nonzero(~self._explained[rows]) > _LEFT * rows.size)

    @property
    def explained(self) -> int:
        """How many draws of the train part are explained, in the order of the record."""
        flags = np.zeros_like(self._explained)
        for one in self.found:
            if not one.stream.startswith(BACKWARD):
                flags[self._rows[one.stream][one.first : one.stop]] = True
        return int(np.count_nonzero(flags))

    def gaps(self, stream: str) -> list[tuple[int, int]]:
        """Stretches (first, stop) of the stream that nothing explains, in order."""
        dark = ~self._explained[self._rows[stream]]
        edges = np.flatnonzero(np.diff(dark, prepend=False, append=False))
        return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]

    def hold(self, planned: Planned, answer: Answer) -> CandidateRecord | None:
        """What the search has found, if it is beyond chance and news."""
        if answer.best is None:
            return None
        by_seeds = planned.method == "seeds"
        return self.take(
            self._against_all(
                answer.best,
                planned.stream,
                planned.first,
                answer.log_hypotheses + self._log_searches,
                by_seeds=by_seeds,
            )
        )

    def hold_sieved(self, candidate: CandidateRecord) -> CandidateRecord | None:
        """As hold() what the sieve has found beyond chance, draws missing allowed for now."""
        found = Found(
            generator=candidate.generator,
            mapping=candidate.mapping,
            modulus=candidate.modulus,
            state=tuple(int(word) for word in state_of(candidate)[0]),
            gap=candidate.gap,
            first=candidate.first,
            stop=candidate.stop,
            matches=candidate.matches,
            compared=candidate.compared,
            missing=candidate.missing,
            log_ratio=candidate.log_ratio,
            log_hypotheses=candidate.log_hypotheses,
            seed=candidate.seed,
            seeding=candidate.seeding,
            offset=candidate.first * (candidate.gap + 1),
        )
        return self.take(
            self._against_all(found, candidate.stream, 0, candidate.log_hypotheses, by_seeds=True)
        )

    def take(self, candidate: CandidateRecord | None) -> CandidateRecord | None:
        """Enter a candidate, whose log_hypotheses has the number of searches in it already.

        One that goes round in few values is passed over: a cycle explains as much.
        """
        if candidate is None or _goes_round(candidate):
            return None
        if any(_alike(candidate, other) for other in self.found):
            return None
        if not proven(candidate):
            self.unproven.append(candidate)
            return None
        self.found.append(candidate)
        self._explained[self._rows[candidate.stream][candidate.first : candidate.stop]] = True
        return candidate

    def _against_all(
        self, found: Found, stream: str, start: int, log_hypotheses: float, *, by_seeds: bool
    ) -> CandidateRecord | None:
        """The state against all draws of its stream, wrong and missing ones allowed for.

        start: the stream's draw that was the search's draw 0. log_hypotheses: all that it pays for.
        None for a state that stands still.
        """
        question = Question(
            generator_named(found.generator),
            mapping_named(found.mapping),
            found.modulus,
            self._draws[stream],
            (found.gap,),
            corruption=self._corruption,
            missing_rate=self._missing_rate,
        )
        origin = None
        if found.seed is not None and found.seeding is not None and found.offset is not None:
            origin = Origin(found.seed, found.seeding, found.offset)
        judge = Judge(question, 0.0)
        state = np.array(found.state, np.uint64)
        judge.try_state(state, found.gap, start + found.first, origin)
        if judge.best is None:
            return None
        candidate = candidate_of(judge.best, stream, 0, by_seeds=by_seeds)
        candidate = candidate.model_copy(update={"log_hypotheses": log_hypotheses})
        return with_seed(candidate, judge.best)


def log_of_sum(logs: list[float]) -> float:
    """Log of the sum of numbers given by their logs; -inf of none."""
    if not logs:
        return -math.inf
    most = max(logs)
    return most + math.log(math.fsum(math.exp(log - most) for log in logs))


def _goes_round(candidate: CandidateRecord) -> bool:
    ahead = law_of(candidate).draws(state_of(candidate), _LOOKED_AT)[0]
    return cycle_of(ahead, candidate.modulus) is not None


def _alike(one: CandidateRecord, other: CandidateRecord) -> bool:
    same = ("stream", "generator", "mapping", "gap")
    if any(getattr(one, name) != getattr(other, name) for name in same):
        return False
    shared = min(one.stop, other.stop) - max(one.first, other.first)
    return shared > _ALIKE * (one.stop - one.first)
