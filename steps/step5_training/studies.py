"""Open the studies of all families that may train, and collect what their best trials predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.storages import BaseStorage

from gpu.params import Family
from gpu.protocol import FitDone
from steps.contract import Note
from steps.policies import Policy
from steps.step5_training.comparison import Comparison
from steps.step5_training.evaluate import Rows, Vector
from steps.step5_training.families import SPECS
from steps.step5_training.folds import Splits
from steps.step5_training.identity import search_identity
from steps.step5_training.settings import Settings
from steps.step5_training.study import FamilyStudy, open_study
from steps.tables import Table


@dataclass(frozen=True, slots=True)
class Studies:
    """The studies of a run. skipped: families that may not train, and why."""

    by_family: dict[Family, FamilyStudy]
    skipped: dict[Family, str]
    notes: tuple[Note, ...]

    def predictions(
        self, comparison: Comparison, n_rows: int, holdout_rows: Rows
    ) -> tuple[dict[str, Vector], dict[str, Vector]]:
        """Out-of-fold and holdout predictions of every family that has a model, (n_rows,) each.

        NaN stands in rows that the vector does not speak of.
        """
        out_of_fold: dict[str, Vector] = {}
        holdout: dict[str, Vector] = {}
        # In the order of the studies, not of finishing: sums round differently in another order.
        for family, study in self.by_family.items():
            predicted = study.best_predictions()
            job, outcome = comparison.fits.get(family, (None, None))
            if job is None or not isinstance(outcome, FitDone) or predicted is None:
                continue
            out_of_fold[family] = predicted
            holdout[family] = np.full(n_rows, np.nan)
            holdout[family][holdout_rows] = np.load(job.predictions_path)
        return out_of_fold, holdout


def open_studies(
    storage: BaseStorage,
    settings: Settings,
    policy: Policy,
    table: Table,
    splits: Splits,
    run_id: str,
    folder: Path,
) -> Studies:
    """One study for each family that was asked for and that the policy allows."""
    by_family: dict[Family, FamilyStudy] = {}
    skipped: dict[Family, str] = {}
    notes: list[Note] = []
    smallest_fold = min(len(fold.train_rows) for fold in splits.folds)
    for family in settings.families:
        if not getattr(policy.training.families, family):
            skipped[family] = "switched off by policy"
            continue
        spec = SPECS[family]
        space = spec.search_space(settings, smallest_fold)
        study, note = open_study(
            storage,
            spec,
            settings,
            identity=search_identity(spec, space, settings, table.fingerprint, splits.fingerprint),
            space=space,
            table_name=table.path.name.split(".")[0],
            run_id=run_id,
            folder=folder,
        )
        by_family[family] = study
        if note is not None:
            notes.append(Note(level="info", code="study", message=note))
    return Studies(by_family, skipped, tuple(notes))
