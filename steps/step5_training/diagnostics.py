"""Write training_diagnostics.json: for each family what is known of its health, for this run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gpu.params import Family
from steps.contract import FamilyResult, Note, Scores, Signal
from steps.files import write_text_atomic

FOLDER = "diagnostics_outputs"
FILE = "training_diagnostics.json"
DIAGNOSTICS_OFF = Note(
    level="warning",
    code="diagnostics_off",
    message="training.diagnostics is false in the policy: nothing was collected, so the health "
    "of the models is not known",
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FoldCurve(_Frozen):
    """One fold of the best trial; losses are mean squared errors in squared target units."""

    fold: int
    r2: float
    train_mse: float
    val_mse: float
    best_round: int
    rounds_run: int


class FamilyDiagnostics(_Frozen):
    """What is known of one family. findings: faults, worst first.

    Where diagnostics are off, findings and folds are empty and the severity is "warning" at least.
    """

    severity: Literal["ok", "warning", "critical"]
    findings: tuple[Note, ...]
    status: str
    error: str | None
    cv: Scores | None
    holdout: Scores | None
    folds: tuple[FoldCurve, ...]


class TrainingDiagnostics(_Frozen):
    """The file that health is judged from; carries the run it belongs to."""

    schema_version: Literal[1] = 1
    run_id: str
    created_at: datetime
    winner: str | None
    signal: Signal | None
    families: dict[str, FamilyDiagnostics]
    notes: tuple[Note, ...]


def write_diagnostics(
    workspace: Path,
    run_id: str,
    families: Mapping[Family, FamilyResult],
    folds: Mapping[Family, tuple[FoldCurve, ...]],
    *,
    collected: bool,
    winner: str | None,
    signal: Signal | None,
    notes: tuple[Note, ...],
) -> Path:
    """Replace the diagnostics file and keep a copy by run; returns the file.

    collected: False where people have switched diagnostics off; the file says so in its notes.
    """
    diagnostics = TrainingDiagnostics(
        run_id=run_id,
        created_at=datetime.now(UTC),
        winner=winner,
        signal=signal,
        families={
            name: FamilyDiagnostics(
                severity=result.severity,
                findings=result.notes if collected else (),
                status=result.status,
                error=result.error,
                cv=result.cv,
                holdout=result.holdout,
                folds=folds.get(name, ()) if collected else (),
            )
            for name, result in families.items()
        },
        notes=notes,
    )
    text = diagnostics.model_dump_json(indent=1) + "\n"
    folder = workspace / FOLDER
    write_text_atomic(folder / "history" / f"{run_id}.json", text)
    write_text_atomic(folder / FILE, text)
    return folder / FILE
