"""A trial before and after it has run, as the study's storage keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from gpu.protocol import FoldScore, PruneRule
from steps.step5_training.sampler import PastTrial

# A stored trial has one of these attributes, whose value is its position: a trial of the search, a
# finalist on all folds, or the best one at full resolution.
KINDS = ("position", "completes", "confirms")


@dataclass(frozen=True, slots=True)
class Planned:
    """A trial to run now. number: Optuna's; position: its place in the study's budget.

    folds: how many of the first folds are to be fitted; begun: scores of those that are. finalist:
    the trial at that position goes on to all folds. full: it runs once more, at full resolution.
    suspect: runs died with it under way, so it shares a computation with no other.
    """

    number: int
    position: int
    values: dict[str, Any]
    record: dict[str, Any]
    prune: PruneRule | None
    folds: int
    begun: tuple[FoldScore, ...] = ()
    finalist: bool = False
    full: bool = False
    suspect: bool = False

    @property
    def kind(self) -> str:
        """Of KINDS."""
        return "confirms" if self.full else "completes" if self.finalist else "position"


@dataclass(frozen=True, slots=True)
class Finished:
    """A position in its final state; scores is empty when it failed."""

    position: int
    state: TrialState
    values: dict[str, Any]
    record: dict[str, Any]
    scores: tuple[FoldScore, ...]
    wall_s: float
    failure: str
    device: str = ""

    @property
    def mean_r2(self) -> float:
        """Mean R2 over the fitted folds."""
        return self.mean_of(len(self.scores))

    def mean_of(self, folds: int) -> float:
        """Mean R2 over the first so many folds."""
        return float(np.mean([score.r2 for score in self.scores[:folds]]))


def fold_means(scores: Sequence[FoldScore]) -> tuple[float, ...]:
    """Mean R2 over the first 1, 2, ... folds."""
    return tuple(float(np.mean([s.r2 for s in scores[:k]])) for k in range(1, len(scores) + 1))


def past_trial(finished: Finished, folds: int) -> PastTrial:
    """A finished trial as the sampler sees it: on the first folds, which rank the trials."""
    means = fold_means(finished.scores[:folds])
    return PastTrial(finished.values, means, complete=len(means) == folds)


def read_trial(trial: FrozenTrial, failure: str = "") -> Finished:
    """A stored trial in its final state; with `failure`, counted as failed for that reason."""
    attributes = trial.user_attrs
    kind = next(kind for kind in KINDS if kind in attributes)
    scores = tuple(FoldScore.model_validate(s) for s in attributes.get("scores", []))
    return Finished(
        position=attributes[kind],
        state=TrialState.FAIL if failure else trial.state,
        values=dict(trial.params),
        record=attributes.get("record", {}),
        scores=scores,
        wall_s=attributes.get("wall_s", 0.0),
        failure=failure or attributes.get("failure", ""),
        device=attributes.get("device", ""),
    )
