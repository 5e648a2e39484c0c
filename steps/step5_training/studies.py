"""Open the studies of all families that may train, and collect what their best trials predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage

from gpu.params import Family
from gpu.protocol import FitDone
from steps.contract import FamilyResult, Note
from steps.files import drop_temporaries
from steps.policies import Policy
from steps.step5_training.comparison import SWITCHED_OFF, Comparison
from steps.step5_training.evaluate import Rows, Vector
from steps.step5_training.families import SPECS
from steps.step5_training.families.base import FamilySpec, SearchSpace
from steps.step5_training.folds import Splits
from steps.step5_training.identity import Identity, search_identity
from steps.step5_training.settings import Settings
from steps.step5_training.skip_registry import Consulted
from steps.step5_training.study import FamilyStudy
from steps.tables import Table


@dataclass(frozen=True, slots=True)
class Studies:
    """The studies of a run. skipped: families that may not train, with the result that says why."""

    by_family: dict[Family, FamilyStudy]
    skipped: dict[Family, FamilyResult]
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
    registry: Consulted,
    table: Table,
    splits: Splits,
    run_id: str,
    folder: Path,
) -> Studies:
    """One study for each family that was asked for and that policy and skip registry allow."""
    by_family: dict[Family, FamilyStudy] = {}
    skipped: dict[Family, FamilyResult] = {}
    notes: list[Note] = [*registry.notes]
    smallest_fold = min(len(fold.train_rows) for fold in splits.folds)
    val_rows = min(len(fold.val_rows) for fold in splits.folds)
    for family in settings.families:
        if not getattr(policy.training.families, family):
            skipped[family] = FamilyResult(status="skipped", error=SWITCHED_OFF)
            continue
        if (skip := registry.skips.get(family)) is not None:
            skipped[family] = FamilyResult(status="skipped", severity="warning", error=skip.reason)
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
            val_rows=val_rows,
        )
        by_family[family] = study
        if note is not None:
            notes.append(Note(level="info", code="study", message=note))
    return Studies(by_family, skipped, tuple(notes))


def open_study(
    storage: BaseStorage,
    spec: FamilySpec,
    settings: Settings,
    *,
    identity: Identity,
    space: SearchSpace,
    table_name: str,
    run_id: str,
    folder: Path,
    val_rows: int,
) -> tuple[FamilyStudy, str | None]:
    """A new study, or this run's own, or with settings.resume the last one of the same identity.

    Returns it with what is to be said of it, if anything. val_rows: of the smallest fold.

    A study of the same table and family with another identity is left alone, and the note names
    what differs.
    """
    prefix = f"{table_name}-{spec.family}"
    same = f"{prefix}-{identity.digest()}-"
    note = None
    name = f"{same}{run_id}"
    names = [n for n in optuna.get_all_study_names(storage) if n.startswith(f"{prefix}-")]
    # A retry of the step goes on with its own run's study, asked to or not.
    resumed = name in names
    if settings.resume and not resumed:
        earlier = sorted((n for n in names if n.startswith(same)), key=lambda n: n[len(same) :])
        if earlier:
            name, resumed = earlier[-1], True
        elif names:
            other = max(names, key=lambda n: n.split("-")[-3:])
            note = _set_aside(storage, other, identity)
        else:
            note = f"{spec.family}: there is no earlier study of {table_name} to resume"
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=resumed
    )
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    drop_temporaries(place)  # of workers that were killed: no other run works here now
    result = FamilyStudy(study, spec, space, settings, place, val_rows)
    if resumed:
        result.adopt()
        done = min(len(result.finished), settings.trials)
        note = f"{spec.family}: resumed study {name} with {done} of {settings.trials} trials done"
    else:
        study.set_user_attr("identity", identity.parts())
        study.set_user_attr("run_id", run_id)
        study.set_user_attr("search_space_sources", list(spec.sources))
    return result, note


def _set_aside(storage: BaseStorage, name: str, identity: Identity) -> str:
    stored: Mapping[str, Any] = optuna.load_study(study_name=name, storage=storage).user_attrs.get(
        "identity", {}
    )
    differs = [part for part, value in identity.parts().items() if stored.get(part) != value]
    return (
        f"study {name} was made with another {' and another '.join(differs) or 'identity'}; "
        "it is set aside and a new study begins"
    )
