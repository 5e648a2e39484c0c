"""Write a run's report and the index of runs; nobody ever reads half a page."""

from __future__ import annotations

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
_HEAD_BYTES = 4096


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
    """Write the page of what was gathered, and the index; returns the page."""
    found = gathered.found
    text = render_report(gathered.diagnostics, gathered.lineage, workspace.shown(found.path))
    path = page_of(workspace, found)
    write_text_atomic(path, text)
    write_index(workspace)
    return path


def page_of(workspace: Workspace, found: Found) -> Path:
    """Where a run's page lies: the last run's has a name of its own."""
    folder = workspace.root / FOLDER
    if found.is_last:
        return (folder / FILE).with_suffix(".html")
    return folder / HISTORY / f"{found.run_id}.html"


def write_index(workspace: Workspace) -> Path:
    """Write the index of all runs with diagnostics; returns it."""
    folder = workspace.root / FOLDER
    newest = (folder / FILE).with_suffix(".html")
    rows = [_row(folder, newest, run) for run in indexed_runs(workspace)]
    path = folder / INDEX_PAGE
    write_text_atomic(path, render_index(workspace.root.name, rows))
    return path


def _row(folder: Path, newest: Path, run: IndexedRun) -> IndexRow:
    link = ""
    if (folder / HISTORY / f"{run.run_id}.html").is_file():
        link = f"{HISTORY}/{quote(run.run_id, safe='')}.html"
    if _is_page_of(newest, run.run_id):
        link = newest.name
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


def _is_page_of(page: Path, run_id: str) -> bool:
    """Whether the last run's page is still this run's: it is replaced by that of the next."""
    try:
        with page.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return f'<meta name="watcher-run" content="{run_id}">'.encode() in head
