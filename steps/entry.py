"""Turn a step's `run(request) -> result` into a process that always leaves a result file.

Each step's __main__ is three lines:

    from steps.entry import run_step
    from steps.step5_training.run import run

    sys.exit(run_step(run))
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from steps.contract import StepError, StepRequest, StepResult
from steps.errors import ErrorKind, StepRefused
from steps.files import write_text_atomic

PARENT_PID_VARIABLE = "WATCHER_PARENT_PID"

_PR_SET_PDEATHSIG = 1
_DETAIL_CHARACTERS = 20_000

_stop = threading.Event()


def run_step(run: Callable[[StepRequest], StepResult], argv: Sequence[str] | None = None) -> int:
    """Read the request file, run, write the StepResult atomically; returns the exit code.

    0: the result says complete, halted or no_signal. 1: it says failed (a StepRefused, or any other
    exception that `run` raised). 2: the request cannot be read; there is no result then.
    """
    parser = argparse.ArgumentParser(description="Run one step as the watcher does.")
    parser.add_argument("--request", type=Path, required=True, metavar="FILE")
    path: Path = parser.parse_args(argv).request
    die_with_parent()
    _stop.clear()
    signal.signal(signal.SIGTERM, _note_stop)
    try:
        request = StepRequest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        print(f"{path}: not a readable request: {error}", file=sys.stderr)
        return 2
    result = _run_to_result(run, request)
    # A library's error may quote a password.
    write_text_atomic(request.result_path, result.model_dump_json(indent=1), private=True)
    return 1 if result.status == "failed" else 0


def stop_requested() -> bool:
    """Whether the watcher has asked this step to stop at its next safe point (SIGTERM)."""
    return _stop.is_set()


def die_with_parent() -> None:
    """Have the kernel kill this process when the watcher dies (Linux; elsewhere nothing).

    The watcher passes its pid in the environment, so that its death before this call is seen too.
    """
    parent = os.environ.pop(PARENT_PID_VARIABLE, None)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)


def _run_to_result(run: Callable[[StepRequest], StepResult], request: StepRequest) -> StepResult:
    try:
        result = run(request)
        # What cannot be read back (a NaN score) must fail here, not at the watcher.
        StepResult.model_validate_json(result.model_dump_json())
        if (result.run_id, result.step, result.attempt) != _identity(request):
            raise ValueError("the result does not carry the request's run_id, step and attempt")
    except StepRefused as error:
        return _failed(request, error.kind, error.message)
    except MemoryError as error:
        traceback.print_exc()
        return _failed(request, "out_of_memory", f"memory ran out: {error}".rstrip(": "), _detail())
    except Exception as error:  # noqa: BLE001 - the step entry: whatever it was, a result says it
        traceback.print_exc()
        return _failed(request, "internal", f"{type(error).__name__}: {error}", _detail())
    return result


def _failed(request: StepRequest, kind: ErrorKind, message: str, detail: str = "") -> StepResult:
    run_id, step, attempt = _identity(request)
    return StepResult(
        run_id=run_id,
        step=step,
        attempt=attempt,
        status="failed",
        headline=f"Step {step} failed: {message.splitlines()[0] if message else kind}",
        error=StepError(kind=kind, message=message, detail=detail),
    )


def _identity(request: StepRequest) -> tuple[str, int, int]:
    return request.run_id, request.step, request.attempt


def _detail() -> str:
    # Surrogates cannot be written as UTF-8.
    text = traceback.format_exc()[-_DETAIL_CHARACTERS:]
    return text.encode("utf-8", "replace").decode("utf-8")


def _note_stop(_signal: int, _frame: object) -> None:
    _stop.set()
