"""What several steps say alike in their results: files they leave, that people stopped them."""

from __future__ import annotations

from pathlib import Path

from steps.contract import Output, StepRequest, StepResult
from steps.files import sha256_file


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


def halted(request: StepRequest, headline: str, *what_next: str) -> StepResult:
    """The result of a step that people stopped."""
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="halted",
        headline=headline,
        what_next=what_next,
    )
