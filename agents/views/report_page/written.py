"""Write a run's report and the index of runs; nobody ever reads half a page."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from agents.reports.masking import secrets_of_attempt
from agents.reports.training.found import Found, find_diagnostics, read_diagnostics
from agents.reports.training.lineage import Lineage, read_lineage
from agents.reports.training.runs import IndexedRun, indexed_runs
from agents.reports.training.shown import shown_diagnostics
from agents.reports.training.words import estimate_text
from agents.views.report_page.index_page import IndexRow, render_index
from agents.views.report_page.page import render_report
from agents.workspace import Workspace
from steps.contract.diagnostics import FILE, FOLDER, HISTORY, TrainingDiagnostics
from steps.files import write_text_atomic

INDEX_PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class Gathered:
    """A run's diagnostics as they may be shown, and what the ledger adds."""

    found: Found
    diagnostics: TrainingDiagnostics
    lineage: Lineage


def gather(workspace: Workspace, named: str, now: Callable[[], datetime]) -> Gathered:
    """Find, read and mask what a report tells; raises UsageError, WorkspaceError."""
    found = find_diagnostics(workspace, named, now)
    diagnostics = read_diagnostics(found.path, workspace.shown(found.path))
    run = diagnostics.run
    step, attempt = (run.step, run.attempt) if run is not None else (5, 1)
    secrets = secrets_of_attempt(workspace.attempt_folder(found.run_id, f"step{step}", attempt))
    shown = shown_diagnostics(diagnostics, secrets)
    return Gathered(found, shown, read_lineage(workspace, shown, now))


def write_page(workspace: Workspace, gathered: Gathered) -> Path:
    """Write the page of what was gathered, and the index; returns the page.

    Each run keeps a page of its own; the last run's is the same file under a second name.
    """
    found = gathered.found
    text = render_report(gathered.diagnostics, gathered.lineage, workspace.shown(found.path))
    folder = workspace.root / FOLDER
    path = folder / HISTORY / f"{found.run_id}.html"
    write_text_atomic(path, text)
    if found.is_last:
        newest = (folder / FILE).with_suffix(".html")
        _put_also(path, newest, text)
        path = newest
    write_index(workspace)
    return path


def write_index(workspace: Workspace) -> Path:
    """Write the index of all runs with diagnostics; returns it."""
    folder = workspace.root / FOLDER
    rows = [_row(folder, run) for run in indexed_runs(workspace)]
    path = folder / INDEX_PAGE
    write_text_atomic(path, render_index(workspace.root.name, rows))
    return path


def _row(folder: Path, run: IndexedRun) -> IndexRow:
    link = ""
    if (folder / HISTORY / f"{run.run_id}.html").is_file():
        link = f"{HISTORY}/{quote(run.run_id, safe='')}.html"
    return IndexRow(
        run_id=run.run_id,
        link=link,
        when=f"{run.created_at:%Y-%m-%d %H:%M}" if run.created_at is not None else "",
        verdict=run.verdict,
        winner=run.winner or "",
        r2=estimate_text(run.r2) if run.r2 is not None else "",
        table=run.table,
        rows=run.rows,
        target=run.target,
        problem=run.problem,
    )


def _put_also(page: Path, also: Path, text: str) -> None:
    """Have a page under a second name too, without its megabytes where the disk knows links."""
    temporary = also.with_name(f".{also.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.hardlink_to(page)
        temporary.replace(also)
    except OSError:
        write_text_atomic(also, text)
    finally:
        temporary.unlink(missing_ok=True)
