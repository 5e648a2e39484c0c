"""What is said of the folds of a trial: a fold's score, and when a trial need not go on."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class FoldScore(BaseModel):
    """One fitted fold. best_round: 1-based round or epoch whose model was kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fold: int
    r2: float
    val_mse: float
    train_mse: float
    best_round: int
    rounds_run: int
    duration_s: float


class PruneRule(BaseModel):
    """Stop a trial whose finished folds are clearly below the best trial's.

    reference: R2 of the best trial on the first of the job's folds. sigma: standard deviation of a
    trial + fold effects model. Stops if mean(score - reference) < -factor sigma sqrt(2 / k).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: tuple[float, ...]
    sigma: Annotated[float, Field(ge=0)]
    factor: Annotated[float, Field(gt=0)]
