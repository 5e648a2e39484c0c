"""End a run on a table that its maker knows to hold nothing to learn: none, with the reason."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from steps.contract import Signal, StepRequest, StepResult
from steps.contract.diagnostics import TrainingDiagnostics
from steps.forensics.scored import nothing_to_learn
from steps.results import outputs_in
from steps.step5_training.diagnosis.document import write_document


def without_training(request: StepRequest, now: datetime) -> StepResult | None:
    """The result where Step 3 says that its table cannot be trained on; None for all others.

    Models in force stay as they are.
    """
    reason = nothing_to_learn(Path(request.inputs["survivors"]))
    if reason is None:
        return None
    signal = Signal(verdict="none", reasons=(reason,))
    headline = f"No signal: {reason}"
    document = TrainingDiagnostics(
        run_id=request.run_id,
        created_at=now.astimezone(UTC),
        headline=headline,
        collected=False,
        winner=None,
        signal=signal,
        families={},
    )
    workspace = Path(request.workspace)
    path = write_document(workspace, document)
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="no_signal",
        headline=headline,
        outputs=outputs_in(workspace, str(path.relative_to(workspace))),
        signal=signal,
    )
