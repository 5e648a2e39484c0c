"""Candidates beyond chance: kept apart from the table, in a file of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import numpy as np

from steps.contract import Frozen
from steps.forensics.binomial import upper_p
from steps.forensics.documents import REPORTS_FOLDER, CandidateRecord
from steps.forensics.matches import predicted_draws
from steps.step3_scoring.measure import Record

PROVEN_FILE = f"{REPORTS_FOLDER}/proven.json"


class ProvenCandidate(Frozen):
    """holdout_hits: of the holdout_trials readable draws of its stream that were held back.

    p_value: of as many hits or more by chance (exact binomial); 1 without trials.
    """

    candidate: CandidateRecord
    holdout_hits: int
    holdout_trials: int
    p_value: float


class ProvenCandidates(Frozen):
    """The file, the best candidate first."""

    schema_version: Literal[1] = 1
    run_id: str
    created_at: datetime
    candidates: tuple[ProvenCandidate, ...]


def hold_against_holdout(
    candidates: Sequence[CandidateRecord], records: Mapping[str, Record]
) -> tuple[ProvenCandidate, ...]:
    """Each against all of its stream's holdout, the best score first."""
    held = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        record = records[candidate.stream]
        holdout = record.holdout
        said = predicted_draws([candidate], record.train.shape[0], holdout.shape[0])[0]
        trials = int(np.count_nonzero(holdout >= 0))
        hits = int(np.count_nonzero(said == holdout))
        p_value = upper_p(hits, trials, 1 / candidate.modulus) if trials else 1.0
        held.append(
            ProvenCandidate(
                candidate=candidate, holdout_hits=hits, holdout_trials=trials, p_value=p_value
            )
        )
    return tuple(held)
