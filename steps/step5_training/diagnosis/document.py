"""Write training_diagnostics.json, its copy by run, and each family's part beside its model."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from pydantic import BaseModel

from gpu.params import Family
from gpu.protocol import FinalFit, FitDone, TrainFailed
from steps import __version__
from steps.contract import Note, StepRequest
from steps.contract.diagnostics import (
    FAMILY_FILE,
    FILE,
    FOLDER,
    HISTORY,
    FamilyDiagnostics,
    FamilyPart,
    RunFacts,
    TableFacts,
    TrainingDiagnostics,
    earlier_name,
)
from steps.files import write_text_atomic
from steps.step5_training.diagnosis.residuals import histogram, shown_decimals
from steps.step5_training.folds import Splits
from steps.step5_training.settings import Settings
from steps.tables import Table

DIAGNOSTICS_OFF = Note(
    level="warning",
    code="diagnostics_off",
    message="training.diagnostics is false in the policy: nothing was collected, so the health "
    "of the models is not known",
)
MASK = "***"
# What stands between the user's name and the last @, and the values of a query.
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:@/\s]*):\S*(?=@)")
_QUERY = re.compile(r"(?<==)[^&\s]+")


def table_facts(table: Table, splits: Splits, settings: Settings, workspace: Path) -> TableFacts:
    """What was learnt from."""
    path = table.path
    if path.is_absolute() and path.is_relative_to(workspace):
        path = path.relative_to(workspace)
    decimals = shown_decimals(table.y)
    return TableFacts(
        # A name that is not UTF-8 could not be written.
        path=str(path).encode("utf-8", "replace").decode(),
        rows=table.n_rows,
        feature_names=table.feature_names,
        kinds=table.kinds,
        target_name=table.target,
        target=histogram(table.y),
        target_mean=round(float(table.y.mean()), decimals),
        target_sd=float(table.y.std()),
        search_rows=len(splits.search_rows),
        holdout_rows=len(splits.holdout_rows),
        folds=len(splits.folds),
        split=settings.split,
        fingerprint=table.fingerprint,
    )


def run_facts(
    request: StepRequest,
    settings: Settings,
    splits: Splits,
    fits: Mapping[Family, tuple[FinalFit, FitDone | TrainFailed]],
    families: Mapping[Family, FamilyDiagnostics],
    seconds: Mapping[str, float],
) -> RunFacts:
    """Where the models come from; no parameter shows a password. seconds: of the step, by phase."""
    libraries = {
        family: outcome.library_version
        for family, (_, outcome) in fits.items()
        if isinstance(outcome, FitDone)
    }
    return RunFacts(
        step=request.step,
        attempt=request.attempt,
        params=without_secrets(settings.model_dump(mode="json")),
        versions={
            "watcher": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "optuna": optuna.__version__,
            **libraries,
        },
        devices=tuple(sorted({name for family in families.values() for name in family.devices})),
        seconds={phase: round(spent, 3) for phase, spent in seconds.items()},
        splits_fingerprint=splits.fingerprint,
    )


def without_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with *** for the password of a URL among them, and for what its query gives."""
    return {
        name: _masked(value) if isinstance(value, str) and "://" in value else value
        for name, value in params.items()
    }


def write_document(workspace: Path, document: TrainingDiagnostics) -> Path:
    """Replace the diagnostics file and keep a copy by run; returns the file.

    What an earlier attempt of the run has left stays as history/<run id>-attemptN.json.
    """
    text = compact_json(document)
    folder = workspace / FOLDER
    copy = folder / HISTORY / f"{document.run_id}.json"
    if document.run is not None:
        _keep_earlier(copy, document.run.attempt)
    write_text_atomic(copy, text)
    write_text_atomic(folder / FILE, text)
    return folder / FILE


def write_parts(
    folder: Path,
    run_id: str,
    feature_names: tuple[str, ...],
    families: Mapping[Family, FamilyDiagnostics],
    best: Family,
) -> None:
    """A part beside each checkpoint of a version folder; the best family's also at the top."""
    for family, diagnostics in families.items():
        if not (folder / family).is_dir():
            continue
        part = FamilyPart(
            run_id=run_id, family=family, feature_names=feature_names, diagnostics=diagnostics
        )
        write_text_atomic(folder / family / FAMILY_FILE, compact_json(part))
    os.link(folder / best / FAMILY_FILE, folder / FAMILY_FILE)


def compact_json(document: BaseModel) -> str:
    """The document with its long lists on one line each, so that it is small and can be read."""
    return _written(document.model_dump(mode="json"), "") + "\n"


def _keep_earlier(copy: Path, attempt: int) -> None:
    """Give the copy of an attempt before this one a second name, as it is about to be replaced."""
    try:
        before = json.loads(copy.read_bytes())["run"]["attempt"]
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or none that can be read
        return
    if isinstance(before, int) and before < attempt:
        with contextlib.suppress(FileExistsError):
            os.link(copy, copy.with_name(f"{earlier_name(copy.stem, before)}.json"))


def _written(value: Any, indent: str) -> str:
    inner = indent + " "
    match value:
        case dict() if value:
            items = [f"{_text(key)}: {_written(item, inner)}" for key, item in value.items()]
            return "{\n" + ",\n".join(inner + item for item in items) + f"\n{indent}}}"
        case list() if any(isinstance(item, dict | list) for item in value):
            items = [_written(item, inner) for item in value]
            return "[\n" + ",\n".join(inner + item for item in items) + f"\n{indent}]"
        case _:
            return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _masked(url: str) -> str:
    return _QUERY.sub(MASK, _PASSWORD.sub(rf"\g<user>:{MASK}", url))
