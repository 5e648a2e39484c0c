"""A step that says its secret everywhere: on stdout in two pieces, in its progress, its result."""

import json
import os
import sys
import time
from datetime import UTC, datetime

from fake_steps.actor import result
from steps.contract import (
    FamilyResult,
    Note,
    Progress,
    Signal,
    StepError,
    StepRequest,
    StepResult,
)
from steps.entry import run_step, stop_requested
from steps.files import replace_quickly


def run(request: StepRequest) -> StepResult:
    key = request.params["api_key"]
    os.write(1, f"calling with {key[:5]}".encode())
    time.sleep(0.05)  # two reads at the other end, most of the time
    os.write(1, f"{key[5:]} and {json.dumps(request.params)}\n".encode())
    progress = Progress(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        updated_at=datetime.now(UTC),
        phase=f"searching with {key}",
        message=f"asked with {key}",
    )
    replace_quickly(request.progress_path, progress.model_dump_json())
    while request.params["act"] == "stay" and not stop_requested():
        time.sleep(0.02)
    note = Note(level="warning", code="quoted", message=f"{key} in a note")
    facts = {
        "headline": f"{key} in the headline",
        "families": {"catboost": FamilyResult(status="failed", error=key, notes=(note,))},
        "notes": (note,),
        "what_next": (f"curl -H {key}",),
    }
    if request.params["act"] == "complete":
        signal = Signal(verdict="weak", reasons=(f"{key} is a reason",))
        return result(request, signal=signal, **facts)
    error = StepError(kind="bad_input", message=f"the server refused {key}", detail=key)
    return result(request, status="failed", error=error, **facts)


if __name__ == "__main__":
    sys.exit(run_step(run))
