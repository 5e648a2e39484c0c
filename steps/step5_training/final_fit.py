"""Refit the best trial of a family: exactly its record, for a fixed number of rounds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from gpu.params import CHECKPOINT_FORMATS, Family
from gpu.protocol import FinalFit
from steps.step5_training.trials import Finished


@dataclass(frozen=True, slots=True)
class Places:
    """Where jobs find the table and leave their results."""

    table: Path
    fits: Path


def final_rounds(best: Finished) -> int:
    """The median of the folds' best rounds: no validation rows are left to stop on."""
    return max(1, round(statistics.median(score.best_round for score in best.scores)))


def final_fit_job(
    best: Finished,
    family: Family,
    places: Places,
    seed: int,
    deadline_s: float | None,
    *,
    observed: bool,
) -> FinalFit:
    """The job that trains the family's model on all rows the search has seen.

    observed: whether its trainer tells what it sees; the model is the same.
    """
    folder = places.fits / family
    return FinalFit(
        id=f"{family}-final",
        family=family,
        trial_number=best.position,
        params=best.record,
        rounds=final_rounds(best),
        table=str(places.table),
        seed=seed,
        checkpoint_path=str(folder / f"best_model.{CHECKPOINT_FORMATS[family]}"),
        preprocessing_path=str(folder / "preprocessing.json"),
        predictions_path=str(folder / "holdout_predictions.npy"),
        observations_path=str(folder / "observations.json") if observed else None,
        deadline_s=deadline_s,
    )
