"""The face of a trainer that fits many models at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gpu.params import Params
from gpu.worker.trainers.base import Fitted, FloatVector, Split, Trainer, Watch


@dataclass(frozen=True, slots=True)
class FitTask:
    """One model to fit with early stopping. Tasks of one fold share their Split, by its key."""

    split: Split
    params: Params
    seed: int
    watch: Watch | None = None


class FittedOfMany(Fitted, Protocol):
    """A model whose predictions of the validation rows are known since it was trained.

    val_predictions: float64 (n_val,), in units of the target; None without validation rows.
    """

    val_predictions: FloatVector | None


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """What became of task `index`: a model or an error. networks: trained in one computation.

    duration_s: the task's share of that computation's time.
    """

    index: int
    fitted: FittedOfMany | None
    error: Exception | None
    networks: int
    duration_s: float


@runtime_checkable
class BatchTrainer(Trainer, Protocol):
    """A Trainer that gains by fitting many models at a time."""

    folds_at_once: int
    """How many folds of a trial may train before it is asked whether the others are worth it."""

    def fit_many(
        self, tasks: Sequence[FitTask], *, rounds: int | None, n_concurrent: int
    ) -> Iterator[TaskEnd]:
        """Fit all tasks; ends are given in order of finishing.

        n_concurrent: most models in one computation, 0 for as many as memory allows. A task that
        diverges or does not fit into memory on its own ends with that error; the others go on.
        """
        ...
