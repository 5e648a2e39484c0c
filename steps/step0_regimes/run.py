"""The story of Step 0: read the history, test it for bias, look for changes, say what was found."""

from __future__ import annotations

from pathlib import Path

from steps.contract import StepRequest, StepResult
from steps.entry import stop_requested
from steps.files import write_text_atomic
from steps.forensics.documents import REGIMES_FILE, write_document
from steps.forensics.intake import read_history
from steps.forensics.settings import read_settings
from steps.progress import StepProgress
from steps.results import halted, outputs_in
from steps.step0_regimes.finding import find_regimes
from steps.step0_regimes.report import REPORT_FILE, regimes_report
from steps.step0_regimes.settings import RegimeSettings


class _Stopped(Exception):
    """People asked the step to stop."""


def run(request: StepRequest) -> StepResult:
    """Find regimes; see docs/chapter-00-regimes.md for the whole account."""
    progress = StepProgress(request)
    settings = read_settings(RegimeSettings, request.params)
    progress.say("reading the history")
    history = read_history(Path(request.inputs["draw_history"]), settings.intake())

    def before_part(first: int, stop: int) -> None:
        if stop_requested():
            raise _Stopped
        progress.say("looking for changes", f"draws {first} to {stop - 1}")

    try:
        regimes = find_regimes(history, settings, request.run_id, before_part)
    except _Stopped:
        return halted(request, "Stopped before all changes were looked for; nothing was written.")
    workspace = Path(request.workspace)
    write_document(workspace / REGIMES_FILE, regimes)
    write_text_atomic(workspace / REPORT_FILE, regimes_report(regimes, history, settings))
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="complete",
        headline=regimes.headline,
        outputs=outputs_in(workspace, REGIMES_FILE, REPORT_FILE),
        metrics={
            "draws": float(regimes.history.draws),
            "regimes": float(len(regimes.segments)),
            "smallest_p_corrected": min((t.p_corrected for t in regimes.tests), default=1.0),
        },
        notes=regimes.history.notes,
    )
