"""The `watcher` command: flags in, one answer out, an exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agents.answer import Answer
from agents.commands import looking, reporting, running, serving, simulate, steering
from agents.errors import WatcherError
from agents.flags import help_text, parse_flags
from agents.manifests import STEP_PACKAGES
from agents.secrets import mask_text
from agents.views.run_view import say
from agents.views.screen import message_console, render
from steps.contract import ExitCode
from steps.policies import PolicyError

_COMMANDS: dict[str, Callable[[argparse.Namespace, Sequence[str]], Answer]] = {
    "run_pipeline": running.run,
    "daemon": running.daemon,
    "predict": running.predict,
    "status": looking.status,
    "history": looking.history,
    "explain": looking.explain,
    "report": reporting.report,
    "evaluate": looking.evaluate,
    "doctor": looking.doctor,
    "policies_check": looking.policies_check,
    "skip_status": looking.skip_status,
    "halt": steering.halt,
    "clear_halt": steering.lift,
    "approve": steering.approve,
    "reject": steering.reject,
    "skip_clear": steering.skip_clear,
    "init": steering.init,
    "serve": serving.serve,
    "simulate": simulate.simulate,
}


def main(argv: Sequence[str] | None = None, packages: Sequence[str] = STEP_PACKAGES) -> int:
    """Run the command; returns its exit code.

    packages: top packages whose modules a manifest may name.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _make_streams_safe()
    as_json = "--json" in arguments
    answered = False
    try:
        code = _answer(arguments, packages, as_json)
        answered = True
    finally:
        # A fault of the watcher itself goes on to stderr, whole; programs get their document too.
        fault = sys.exception()
        if as_json and not answered and isinstance(fault, Exception):
            message = mask_text(f"the watcher broke off: {type(fault).__name__}: {fault}")
            with contextlib.suppress(OSError):  # what broke it may be stdout
                _write(_as_json(_error(message, ExitCode.STEP_FAILED)))
    return code


def _answer(arguments: Sequence[str], packages: Sequence[str], as_json: bool) -> int:
    try:
        flags = parse_flags(arguments)
        if flags.command is None:
            _write(help_text())
            return ExitCode.USAGE
        answer = _COMMANDS[flags.command](flags, packages)
        # Made whole before any of it is written.
        text = _as_json(answer.document) if as_json else render(answer.show)
    except SystemExit:  # --help and --version: argparse has printed them
        _write("")
        return ExitCode.DONE
    except (WatcherError, PolicyError, OSError) as error:
        code = error.exit_code if isinstance(error, WatcherError) else _code_of(error)
        return _report_error(mask_text(str(error)), code, as_json)
    except KeyboardInterrupt:
        return _report_error("interrupted", ExitCode.INTERRUPTED, as_json)
    _write(text)
    return answer.exit_code


def _report_error(message: str, code: ExitCode, as_json: bool) -> int:
    with contextlib.suppress(OSError):
        say(message_console(), message, "critical")
    if as_json:
        _write(_as_json(_error(message, code)))
    return code


def _error(message: str, code: ExitCode) -> dict[str, Any]:
    return {"status": "error", "exit_code": int(code), "message": message}


def _code_of(error: Exception) -> ExitCode:
    return ExitCode.USAGE if isinstance(error, PolicyError) else ExitCode.STEP_FAILED


def _as_json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"


def _write(text: str) -> None:
    """Write the answer; a reader or terminal that has gone (`| head -1`) is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in {errno.EPIPE, errno.EIO}:
            raise
        # Python flushes stdout once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _make_streams_safe() -> None:
    """A stream that is closed, or cannot say a character, must not end a run."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
