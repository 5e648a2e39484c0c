"""What every way has to do, and what each reports back."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from gpu.params import Family


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Work(_Frozen):
    """One table's comparison. table: path of the file; the rest as in Step 5's parameters."""

    table: str
    target: str
    trials: int
    folds: int
    families: tuple[Family, ...]
    seed: int

    def params(self, **more: Any) -> dict[str, Any]:
        """Step 5's parameters for this work; everything that is not named has its default."""
        return {
            "survivors": self.table,
            "target": self.target,
            "trials": self.trials,
            "k_folds": self.folds,
            "seed": self.seed,
            **more,
        }


class FamilyOutcome(_Frozen):
    """What became of a family.

    best_cv_r2: mean R2 over the folds of the best trial. holdout_r2: of that trial refitted on all
    search rows. trials_done: complete or pruned. draws: each trial's values, in order of position.
    search_s, search_cpu_s: what a plain loop's trials took, without imports and refit; seconds.
    """

    best_cv_r2: float
    holdout_r2: float
    trials_done: int
    fold_fits: int
    draws: tuple[dict[str, Any], ...]
    search_s: float = 0.0
    search_cpu_s: float = 0.0


class PlainTask(_Frozen):
    """A plain loop's orders. draws: trials to repeat, or None to draw them with its own sampler.

    fit_folds: so many of each trial's folds are fitted, the first ones.
    """

    work: Work
    n_jobs: int
    fit_folds: int
    draws: dict[Family, tuple[dict[str, Any], ...]] | None


class Outcome(_Frozen):
    """All families of one run."""

    families: dict[Family, FamilyOutcome]
