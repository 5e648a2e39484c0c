"""Find the reports of runs by run id; no request reaches any other file.

A run id is checked by its pattern before it becomes a file's name, and the file, its links
followed, must lie in diagnostics_outputs/. Pages are made in memory: looking writes nothing.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agents.workspace import Workspace
from steps.contract.diagnostics import FOLDER, HISTORY, is_earlier_attempt

MOST = 200
# A page takes a second to make and holds some megabytes.
PAGES_KEPT = 4
# Words of letters and digits with single marks between them: no path can be written so.
_RUN_ID = re.compile(r"[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*")
_LONGEST_ID = 100


@dataclass(frozen=True, slots=True)
class RunReport:
    """The diagnostics of one run. written_at: of the file, local time."""

    run_id: str
    written_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Makers:
    """What is made of a run's diagnostics, by its id, without a secret in it.

    page: HTML. document: JSON. Both raise WatcherError where the diagnostics are damaged.
    """

    page: Callable[[str], str]
    document: Callable[[str], str]


class RunReports:
    """The reports of a workspace; safe to ask from many threads."""

    def __init__(self, workspace: Workspace, makers: Makers) -> None:
        self._workspace = workspace
        self._folder = workspace.root / FOLDER
        self._makers = makers
        self._making = threading.Lock()
        # By run id: what it was made from, and the page. Guarded by the lock.
        self._pages: OrderedDict[str, tuple[object, str]] = OrderedDict()

    def all(self) -> tuple[tuple[RunReport, ...], bool]:
        """The newest MOST, newest first, and whether there are more."""
        names = [path.stem for path in (self._folder / HISTORY).glob("*.json")]
        # Ids begin with the time that their run began.
        ids = sorted((name for name in names if _is_run_id(name)), reverse=True)
        found = []
        for run_id in ids[:MOST]:
            if (path := self._source(run_id)) is not None:
                stat = path.stat()
                written_at = datetime.fromtimestamp(stat.st_mtime).astimezone()
                found.append(RunReport(run_id, written_at, stat.st_size))
        return tuple(found), len(ids) > MOST

    def has(self, run_id: str) -> bool:
        """Whether a run has left diagnostics."""
        return self._source(run_id) is not None

    def document(self, run_id: str) -> str | None:
        """The diagnostics of a run as JSON; None if there are none. Raises WatcherError."""
        return self._makers.document(run_id) if self.has(run_id) else None

    def page(self, run_id: str) -> str | None:
        """The page of a run's report; None if there is none. Raises WatcherError."""
        source = self._source(run_id)
        if source is None:
            return None
        ledger = self._workspace.ledger_file
        # The ledger adds to it what it knows of the run.
        made_from = tuple(map(_stamp, (source, ledger, ledger.with_name(f"{ledger.name}-wal"))))
        with self._making:  # one at a time: whoever asks twice waits for the first
            kept = self._pages.get(run_id)
            if kept is None or kept[0] != made_from:
                kept = (made_from, self._makers.page(run_id))
                self._pages[run_id] = kept
            self._pages.move_to_end(run_id)
            while len(self._pages) > PAGES_KEPT:
                self._pages.popitem(last=False)
            return kept[1]

    def _source(self, run_id: str) -> Path | None:
        if not _is_run_id(run_id):
            return None
        path = (self._folder / HISTORY / f"{run_id}.json").resolve()
        inside = path.is_relative_to(self._folder.resolve())
        return path if inside and path.is_file() else None


def report_makers(workspace: Workspace, now: Callable[[], datetime]) -> Makers:
    """What the pages of --report are made with. Loaded when the first is asked for."""

    def page(run_id: str) -> str:
        # plotly takes a second to load.
        from agents.views.report_page.page import render_report
        from agents.views.report_page.written import gather

        gathered = gather(workspace, run_id, now)
        source = workspace.shown(gathered.found.path)
        return render_report(gathered.diagnostics, gathered.lineage, source)

    def document(run_id: str) -> str:
        from agents.views.report_page.written import gather

        return gather(workspace, run_id, now).diagnostics.model_dump_json(indent=1)

    return Makers(page, document)


def _is_run_id(text: str) -> bool:
    if len(text) > _LONGEST_ID or is_earlier_attempt(text):
        return False
    return _RUN_ID.fullmatch(text) is not None


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
