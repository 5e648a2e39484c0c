"""Find and read the training diagnostics of a run; every refusal says what to do instead."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.errors import LedgerError, UsageError, WorkspaceError
from agents.ledger import Ledger
from agents.workspace import Workspace
from steps.contract.diagnostics import (
    FILE,
    FOLDER,
    HISTORY,
    SCHEMA_VERSION,
    TrainingDiagnostics,
    is_earlier_attempt,
)
from steps.policies import validation_message

LAST = "last"
RERUN = "watcher --run-pipeline --start-step 5 --end-step 5 --force"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A run's diagnostics on disk. run_id: as the file is named; is_last: no run is newer."""

    run_id: str
    path: Path
    is_last: bool


def find_diagnostics(workspace: Workspace, named: str, now: Callable[[], datetime]) -> Found:
    """The diagnostics that a person means: a run's id, the beginning of it, or "last".

    Raises UsageError naming what there is, WorkspaceError where the newest file is damaged.
    """
    folder = workspace.root / FOLDER
    newest = folder / FILE
    kept = history(workspace)
    last = None
    if newest.is_file():
        try:
            last = _run_id(newest, workspace.shown(newest))
        except WorkspaceError:
            if named == LAST:
                raise
    if last is None and named == LAST and kept:  # the newest file is gone; ids begin with the time
        last = max(kept)
    known = sorted({*kept, *([last] if last is not None else [])})
    if not known:
        raise UsageError(
            "--report: no run here has training diagnostics; Step 5 writes them: "
            "`watcher --run-pipeline --start-step 5 --end-step 5`"
        )
    run_id = last if named == LAST and last is not None else _meant(workspace, named, known, now)
    return Found(run_id, kept.get(run_id, newest), run_id == last)


def history(workspace: Workspace) -> dict[str, Path]:
    """The diagnostics that are kept, by run: of its last attempt."""
    folder = workspace.root / FOLDER / HISTORY
    return {
        path.stem: path
        for path in sorted(folder.glob("*.json"))
        if path.is_file() and not is_earlier_attempt(path.stem)
    }


def read_diagnostics(path: Path, shown: str) -> TrainingDiagnostics:
    """Read a diagnostics file. shown: the path for people.

    Raises WorkspaceError: unreadable, damaged, or of an earlier or newer version.
    """
    document = _document(path, shown)
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise WorkspaceError(f"{shown}: {_of_another_version(version)}")
    try:
        return TrainingDiagnostics.model_validate(document)
    except ValidationError as error:
        raise WorkspaceError(
            f"{shown}: is damaged: {validation_message(error)}; `{RERUN}` makes a new one"
        ) from None


def _of_another_version(version: object) -> str:
    if isinstance(version, int) and version > SCHEMA_VERSION:
        return (
            f"was written by a newer watcher (schema_version {version}; this one reads "
            f"{SCHEMA_VERSION}): use that one"
        )
    if version == 1:
        return (
            "was written by an earlier watcher (schema_version 1), which kept too little for a "
            f"report; `{RERUN}` trains again and makes one"
        )
    return (
        f"schema_version must be {SCHEMA_VERSION}, got {json.dumps(version)[:60]}; "
        f"`{RERUN}` makes a new one"
    )


def _run_id(path: Path, shown: str) -> str:
    run_id = _document(path, shown).get("run_id")
    # It becomes the name of a file.
    if not isinstance(run_id, str) or not run_id or Path(run_id).name != run_id:
        raise WorkspaceError(f"{shown}: is damaged: run_id must name a run, got {run_id!r:.60}")
    return run_id


def _document(path: Path, shown: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as fault:
        raise WorkspaceError(f"{shown}: cannot be read: {fault.strerror or fault}") from None
    except (ValueError, RecursionError) as fault:
        raise WorkspaceError(
            f"{shown}: is damaged: not valid JSON ({fault}); a run's own copy may be whole: "
            "`watcher --report RUN`"
        ) from None
    if not isinstance(document, dict):
        raise WorkspaceError(f"{shown}: is damaged: must be an object")
    return document


def _meant(workspace: Workspace, named: str, known: list[str], now: Callable[[], datetime]) -> str:
    if named in known:
        return named
    fitting = [run_id for run_id in known if named and run_id.startswith(named)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        more = ", ..." if len(fitting) > _SHOWN else ""
        said = f"fits several runs: {', '.join(fitting[:_SHOWN])}{more}"
    else:
        near = difflib.get_close_matches(named, known, n=3, cutoff=0.75)
        said = _why_none(workspace, named, now)
        said += f"; near: {', '.join(near)}" if near else ""
        said += f"; runs with diagnostics: {', '.join(known[: -_SHOWN - 1 : -1])}"
    raise UsageError(f"--report: {named!r} {said}")


def _why_none(workspace: Workspace, named: str, now: Callable[[], datetime]) -> str:
    try:
        if workspace.ledger_file.exists():
            with Ledger.read(workspace.ledger_file, now) as ledger:
                if ledger.run(named) is not None:
                    return f"has no diagnostics: Step 5 did not end in it (`--explain {named}`)"
    except LedgerError:  # the answer is the same without it, only shorter
        pass
    return "is no run here"
