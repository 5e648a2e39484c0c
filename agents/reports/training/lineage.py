"""What the ledger knows of the attempt that made a report's models: origins, inputs, outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agents.errors import LedgerError, UsageError
from agents.ledger import Ledger
from agents.reports.explain import ExplainedAttempt, MadeFile, explain
from agents.workspace import Workspace
from steps.contract.diagnostics import TrainingDiagnostics


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where the models come from. absent: why the ledger cannot say, "" where it does.

    origins: where each parameter that is not the default came from (params, params-file, manifest,
    retry). given: the values among them that people gave. folder: the attempt's own.
    """

    absent: str = ""
    origins: dict[str, str] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[MadeFile, ...] = ()
    outputs: tuple[MadeFile, ...] = ()
    started_at: datetime | None = None
    attempts: int = 0
    folder: str = ""


def read_lineage(
    workspace: Workspace, diagnostics: TrainingDiagnostics, now: Callable[[], datetime]
) -> Lineage:
    """Ask the ledger; a ledger that is gone, damaged or another's is said in `absent`."""
    if not workspace.ledger_file.exists():
        return Lineage("there is no ledger in this workspace")
    try:
        with Ledger.read(workspace.ledger_file, now) as ledger:
            if ledger.run(diagnostics.run_id) is None:
                return Lineage(f"the ledger here does not know run {diagnostics.run_id}")
            explained = explain(ledger, diagnostics.run_id)
    except (LedgerError, UsageError) as error:
        return Lineage(f"the ledger cannot be read ({error})")
    number = diagnostics.run.step if diagnostics.run is not None else 5
    made = [a for step in explained.steps if step.step == number for a in step.attempts]
    wanted = diagnostics.run.attempt if diagnostics.run is not None else len(made)
    attempt = next((a for a in made if a.attempt == wanted), None)
    if attempt is None:
        return Lineage(f"the ledger has no attempt {wanted} of step {number} in this run")
    return _lineage(attempt, len(made))


def _lineage(attempt: ExplainedAttempt, attempts: int) -> Lineage:
    return Lineage(
        origins={p.name: p.origin for p in attempt.parameters},
        given={p.name: p.value for p in attempt.parameters if p.origin.startswith("params")},
        inputs=attempt.inputs,
        outputs=attempt.outputs,
        started_at=attempt.started_at,
        attempts=attempts,
        folder=attempt.folder,
    )
