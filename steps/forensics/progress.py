"""Say what a step is at: the progress file, replaced at most a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from steps.contract import Output, Progress, StepRequest, StepResult
from steps.files import replace_quickly, sha256_file

EVERY_S = 0.5


class StepProgress:
    """Writes Progress snapshots; a new phase at once, messages at most twice a second."""

    def __init__(self, request: StepRequest, clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._clock = clock
        self._started = clock()
        self._written = float("-inf")
        self._phase = ""

    def say(self, phase: str, message: str = "") -> None:
        """The step is in this phase now."""
        now = self._clock()
        if phase == self._phase and now - self._written < EVERY_S:
            return
        self._phase, self._written = phase, now
        request = self._request
        snapshot = Progress(
            run_id=request.run_id,
            step=request.step,
            attempt=request.attempt,
            updated_at=datetime.now(UTC),
            phase=phase,
            elapsed_s=round(now - self._started, 1),
            message=message,
        )
        replace_quickly(request.progress_path, snapshot.model_dump_json())


def outputs_in(workspace: Path, *files: str) -> tuple[Output, ...]:
    """Files that a step leaves, by their paths from the workspace, with their digests."""
    return tuple(
        Output(
            path=file,
            sha256=sha256_file(workspace / file),
            bytes=(workspace / file).stat().st_size,
        )
        for file in files
    )


def halted(request: StepRequest, headline: str) -> StepResult:
    """The result of a step that people stopped."""
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="halted",
        headline=headline,
    )
