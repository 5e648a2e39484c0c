"""All draws that are known, train and holdout in one row, and what candidates say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.forensics.candidates import proven
from steps.forensics.documents import CandidateRecord
from steps.forensics.history import ALL, DrawHistory
from steps.forensics.matches import predicted_beside, predicted_draws
from steps.forensics.mixture import SILENT
from steps.prng.mappings import Draws
from steps.prng.recovery.found import ALPHA, match_gain, miss_loss

Rows = NDArray[np.intp]

# 256 MiB of what candidates say.
_MOST_NUMBERS = 1 << 25


@dataclass(frozen=True, eq=False)
class Known:
    """The draws of train, then those that were held back."""

    train: DrawHistory
    holdout: DrawHistory

    @property
    def draws(self) -> Draws:
        """Of stream "all", int64 (n,), -1 where unread."""
        return np.concatenate([self.train.draws, self.holdout.draws])

    @property
    def held_from(self) -> int:
        """Which of them is the first that was held back."""
        return int(self.train.draws.shape[0])

    @property
    def lanes(self) -> tuple[str, ...]:
        """The streams of single sessions, or "all" where there is but one: no draw is in two."""
        return self.train.facts.streams[1:] or (ALL,)

    def stream(self, stream: str) -> Draws:
        """The draws of a stream."""
        return np.concatenate([self.train.stream(stream), self.holdout.stream(stream)])

    def train_draws(self, stream: str) -> int:
        """How many draws of a stream were not held back."""
        return int(self.train.rows(stream).size)

    def rows(self, stream: str) -> Rows:
        """Which of all draws belong to a stream, in order."""
        held = self.holdout.rows(stream) + self.held_from
        return np.concatenate([self.train.rows(stream), held]).astype(np.intp)


def said_of_all(candidates: Sequence[CandidateRecord], known: Known, *, ahead: int = 0) -> Draws:
    """What each candidate says of all known draws, int64 (n, draws + ahead).

    SILENT where a draw is of another stream, and before the first draw that a candidate explains.
    The last `ahead` columns are its own next draws. Draws missing from the record of train are
    taken to be missing where that matches best; of what is missing later nobody knew.
    """
    count = known.draws.shape[0]
    said = np.full((len(candidates), count + ahead), SILENT, np.int64)
    for stream in sorted({candidate.stream for candidate in candidates}):
        mine = np.array([r for r, c in enumerate(candidates) if c.stream == stream], np.intp)
        some = [candidates[row] for row in mine]
        rows, held = known.rows(stream), known.train_draws(stream)
        own = np.empty((mine.size, rows.size + ahead), np.int64)
        own[:, :held] = predicted_beside(some, known.train.stream(stream))
        own[:, held:] = predicted_draws(some, held, rows.size - held + ahead)
        firsts = np.array([candidate.first for candidate in some])
        own[np.arange(own.shape[1]) < firsts[:, np.newaxis]] = SILENT
        places = np.concatenate([rows, np.arange(count, count + ahead)])
        said[mine[:, np.newaxis], places] = own
    return said


def likeliest(
    candidates: Sequence[CandidateRecord], known: Known, most: int
) -> list[CandidateRecord]:
    """The candidates with the best scores, the best first; fewer where a history is very long."""
    room = max(1, _MOST_NUMBERS // (known.draws.size + 1))
    return sorted(candidates, key=lambda candidate: -candidate.score)[: min(most, room)]


def proven_by_all(
    candidates: Sequence[CandidateRecord], said: Draws, known: Known, corruption: float
) -> list[CandidateRecord]:
    """Those of the candidates that train alone did not prove, and all known draws do.

    Every draw after the end of what a candidate explains counts, for it or against it; the size of
    its search has been paid for already. said: as said_of_all has it.
    """
    found = []
    for candidate, own in zip(candidates, said, strict=True):
        rows = known.rows(candidate.stream)[candidate.stop :]
        recorded = known.draws[rows]
        hits = int(np.count_nonzero(own[rows] == recorded))
        misses = int(np.count_nonzero(recorded >= 0)) - hits
        gained = hits * match_gain(candidate.modulus, corruption) + misses * miss_loss(corruption)
        if not proven(candidate) and candidate.score + gained >= -math.log(ALPHA):
            found.append(candidate)
    return found
