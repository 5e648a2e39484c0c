"""The command that tells what training came to: --report, as a page or as text."""

from __future__ import annotations

import argparse
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agents.answer import Answer
from agents.commands.surroundings import local_now
from agents.workspace import Workspace
from steps.contract import ExitCode
from steps.contract.diagnostics import FOLDER


def report(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Write a run's page and the index, or tell the same in text; raises UsageError."""
    # plotly is a second of start-up that no other command should pay for.
    from agents.reports.training.words import verdict_words
    from agents.views.report_page.written import INDEX_PAGE, gather, write_page
    from agents.views.training_text import show_text

    workspace = Workspace.open(flags.workspace)
    gathered = gather(workspace, flags.report, local_now)
    found, diagnostics = gathered.found, gathered.diagnostics
    source = workspace.shown(found.path)
    verdict = verdict_words(diagnostics, gathered.lineage)
    document = {
        "status": "ok",
        "exit_code": int(ExitCode.DONE),
        "run_id": found.run_id,
        "diagnostics": str(found.path),
        "report": None,
        "index": None,
        "opened": None,
        "title": verdict.title,
        "verdict": verdict.tone,
        "winner": diagnostics.winner,
        "families": {name: family.severity for name, family in diagnostics.families.items()},
    }
    if flags.text:
        return Answer(
            ExitCode.DONE,
            document,
            lambda console: show_text(console, diagnostics, gathered.lineage, source),
        )
    page = write_page(workspace, gathered)
    opened = _open(page) if flags.open else None
    index = workspace.root / FOLDER / INDEX_PAGE
    document |= {"report": str(page), "index": str(index), "opened": opened}

    def show(console: Console) -> None:
        console.print(Text(verdict.title, style="bold"))
        console.print(Text(f"report  {page}"), soft_wrap=True)
        console.print(Text(f"index   {index}"), soft_wrap=True)
        if opened is False:
            said = "No browser could be opened here; the report is one file that opens in any."
            console.print(Text(said, style="yellow"))

    return Answer(ExitCode.DONE, document, show)


def _open(page: Path) -> bool:
    """Whether a browser took the page."""
    try:
        return webbrowser.open(page.as_uri())
    except webbrowser.Error:
        return False
