"""What the index of runs tells of each: read once, then remembered beside the index."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from agents.errors import WorkspaceError
from agents.reports.training.found import history, read_diagnostics
from agents.reports.training.shown import shown_diagnostics
from agents.reports.training.words import ordered, scores_of
from agents.workspace import Workspace
from steps.contract import Estimate, Frozen
from steps.contract.diagnostics import FOLDER, TrainingDiagnostics
from steps.files import write_text_atomic

INDEX_FACTS = "index.json"


class IndexedRun(Frozen):
    """A run in the index. size, changed_ns: of its file when it was read, so that a changed one is
    read again. problem: why nothing else is known of it, "" where it is.
    """

    run_id: str
    size: int
    changed_ns: int
    created_at: datetime | None = None
    verdict: str = ""
    winner: str | None = None
    r2: Estimate | None = None
    table: str = ""
    rows: int = 0
    target: str = ""
    problem: str = ""


class _Remembered(Frozen):
    schema_version: Literal[1] = 1
    runs: tuple[IndexedRun, ...] = ()


def indexed_runs(workspace: Workspace) -> tuple[IndexedRun, ...]:
    """Every run with diagnostics, newest first; a file that cannot be read is in it as a problem.

    Diagnostics are megabytes: what was told of a file that has not changed is remembered.
    """
    path = workspace.root / FOLDER / INDEX_FACTS
    before = _remembered(path)
    now = _Remembered(
        runs=tuple(
            _indexed(workspace, run_id, file, before.get(run_id))
            for run_id, file in sorted(history(workspace).items(), reverse=True)
        )
    )
    if {run.run_id: run for run in now.runs} != before:
        write_text_atomic(path, now.model_dump_json(indent=1) + "\n")
    return now.runs


def _remembered(path: Path) -> dict[str, IndexedRun]:
    try:
        found = _Remembered.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # made anew from the runs themselves
        return {}
    return {run.run_id: run for run in found.runs}


def _indexed(
    workspace: Workspace, run_id: str, path: Path, before: IndexedRun | None
) -> IndexedRun:
    stat = path.stat()
    mark = {"run_id": run_id, "size": stat.st_size, "changed_ns": stat.st_mtime_ns}
    if before is not None and (before.size, before.changed_ns) == (stat.st_size, stat.st_mtime_ns):
        return before
    try:
        found = shown_diagnostics(read_diagnostics(path, workspace.shown(path)))
    except WorkspaceError as error:
        return IndexedRun(**mark, problem=str(error))
    return IndexedRun(**mark, **_facts(found))


def _facts(found: TrainingDiagnostics) -> dict[str, object]:
    families = ordered(found)
    scores = scores_of(families[0][1]) if families else None
    table = found.table
    return {
        "created_at": found.created_at,
        "verdict": found.signal.verdict if found.signal is not None else "failed",
        "winner": found.winner,
        "r2": scores.r2 if scores is not None else None,
        "table": table.path if table is not None else "",
        "rows": table.rows if table is not None else 0,
        "target": table.target_name if table is not None else "",
    }
