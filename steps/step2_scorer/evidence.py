"""What the candidates of a stream say of its draws, for the few candidates that could matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steps.forensics.documents import CandidateRecord
from steps.forensics.history import ALL, DrawHistory
from steps.forensics.matches import predicted_beside
from steps.forensics.mixture import SILENT, Floats, log_priors
from steps.prng.mappings import Draws
from steps.prng.recovery.found import UNREAD, match_gain, miss_loss

# Only the newest draws are predicted: parameters are for the next ones.
MOST_DRAWS = 6000
_MOST_CANDIDATES = 128
_MOST_NUMBERS = 1 << 24
# Logs of weights: of one candidate, and of all together, that cannot be seen in any prediction.
_NO_WEIGHT, _NO_WEIGHTS = -12.0, -5.0


@dataclass(frozen=True, eq=False)
class Evidence:
    """Candidates (n,) against the newest draws of one stream.

    said: int64 (n, count), SILENT before a candidate's first draw. recorded: int64 (count,), -1
    where one could not be read. log_prior: float (n,), as steps.forensics.mixture has it.
    """

    stream: str
    said: Draws = field(repr=False)
    recorded: Draws = field(repr=False)
    log_prior: Floats = field(repr=False)


def evidence_of(
    candidates: Sequence[CandidateRecord],
    train: DrawHistory,
    corruptions: tuple[float, float],
) -> tuple[Evidence, ...]:
    """The streams to predict, with the candidates that could weigh anything at any time.

    Stream "all" where it has the best candidate, else each session that has one: no draw is
    predicted twice. corruptions: the least and the greatest to be tried.
    """
    best = sorted(candidates, key=lambda candidate: -candidate.score)
    sessions = {candidate.stream for candidate in best} - {ALL}
    chosen = [ALL] if best and best[0].stream == ALL else sorted(sessions)
    found = []
    for stream in chosen:
        mine = [candidate for candidate in best if candidate.stream == stream]
        evidence = _of_stream(stream, mine, train.stream(stream), corruptions)
        if evidence is not None:
            found.append(evidence)
    return tuple(found)


def _of_stream(
    stream: str,
    candidates: Sequence[CandidateRecord],
    draws: Draws,
    corruptions: tuple[float, float],
) -> Evidence | None:
    if not draws.size:
        return None
    few = candidates[: min(_MOST_CANDIDATES, max(1, _MOST_NUMBERS // draws.size))]
    start = max(0, draws.size - MOST_DRAWS)
    said = predicted_beside(few, draws)[:, start:]
    firsts = np.array([candidate.first for candidate in few])
    said[np.arange(start, draws.size) < firsts[:, np.newaxis]] = SILENT
    recorded = draws[start:]
    log_prior = log_priors(few)
    most_weight = log_prior + _most_evidence(said, recorded, few[0].modulus, corruptions)
    if np.logaddexp.reduce(most_weight) < _NO_WEIGHTS:
        return None
    could = most_weight > _NO_WEIGHT
    return Evidence(stream, said[could], recorded, log_prior[could])


def _most_evidence(
    said: Draws, recorded: Draws, modulus: int, corruptions: tuple[float, float]
) -> NDArray[np.float64]:
    """An upper bound (n,) of the nats that each candidate ever has, whatever is tried.

    The largest sum over any stretch of draws, as fading evidence counts stretches at most.
    """
    least, greatest = corruptions
    gained = np.where(said == recorded, match_gain(modulus, least), miss_loss(greatest))
    gained[:, recorded == UNREAD] = 0.0
    gained[said == SILENT] = 0.0
    summed = np.concatenate([np.zeros((said.shape[0], 1)), np.cumsum(gained, axis=1)], axis=1)
    most: NDArray[np.float64] = (summed - np.minimum.accumulate(summed, axis=1)).max(axis=1)
    return most
