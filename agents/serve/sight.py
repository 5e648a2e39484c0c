"""Look at a workspace for all viewers at once, and never write there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agents.errors import WorkspaceError
from agents.ledger import Ledger
from agents.manifests import Manifest
from agents.reports.explain import Explanation, explain
from agents.reports.history import History, gather_history
from agents.reports.masking import secrets_of_attempt
from agents.reports.status import AttemptStatus, Status, gather_status
from agents.secrets import mask_text
from agents.workspace import Workspace
from steps.policies import Policy

# Viewers ask every second; however many there are, the files are read at most so often.
FRESH_S = 0.5
# A step tells its progress twice a second while it searches; its final fits are silent for longer.
SILENT_AFTER_S = 60.0
LOG_LINES = 40
_LOG_BYTES = 1 << 15
_LINE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Live:
    """What is going on. attempt: the one that is on, or was the last.

    elapsed_s, left_s: of an attempt that is on; left_s None where nobody knows. silent_s: since it
    last told anything, where that is long; None else. log: the last lines, secrets masked.
    """

    status: Status
    attempt: AttemptStatus | None
    elapsed_s: float
    left_s: float | None
    silent_s: float | None
    log: tuple[str, ...]

    @property
    def running(self) -> bool:
        """Whether a run is on."""
        return self.status.run is not None and self.status.run.state == "running"


class Sight:
    """Answers of a workspace; safe to ask from many threads.

    read_policy, read_manifests: as gather_status takes them. now: the time here. clock: monotonic
    seconds. ask raises WorkspaceError, LedgerError and OSError, each with a sentence for people.
    """

    def __init__(
        self,
        workspace: Workspace,
        read_policy: Callable[[], Policy],
        read_manifests: Callable[[], tuple[Manifest, ...]],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workspace = workspace
        self._read_policy = read_policy
        self._read_manifests = read_manifests
        self._now = now
        self._clock = clock
        self._looking = threading.Lock()
        self._seen: tuple[float, Live] | None = None  # guarded by the lock

    def live(self) -> Live:
        """What runs, or ran last; at most FRESH_S old."""
        with self._looking:
            if self._seen is None or self._clock() - self._seen[0] >= FRESH_S:
                live = self._look()
                self._seen = (self._clock(), live)
            return self._seen[1]

    def history(self, limit: int) -> History:
        """The runs there were, newest first."""
        self._require()
        return gather_history(self.workspace.ledger_file, self._now, limit)

    def story(self, run_id: str) -> Explanation | None:
        """Why a run went as it did; None if there is none of that name."""
        self._require()
        if not self.workspace.ledger_file.exists():
            return None
        with Ledger.read(self.workspace.ledger_file, self._now) as ledger:
            return explain(ledger, run_id) if ledger.run(run_id) is not None else None

    def _look(self) -> Live:
        self._require()
        status = gather_status(self.workspace, self._read_policy, self._read_manifests, self._now)
        attempt = status.run.attempts[-1] if status.run and status.run.attempts else None
        if status.run is None or attempt is None:
            return Live(status, None, 0.0, None, None, ())
        told_at, left_s = attempt.started_at, None
        if attempt.progress is not None:
            told_at = attempt.progress.updated_at
            left_s = attempt.progress.time_left_s
        silent_s = _seconds(told_at, status.now)
        is_on = status.run.state == "running" and attempt.outcome is None
        return Live(
            status=status,
            attempt=attempt,
            elapsed_s=_seconds(attempt.started_at, status.now),
            left_s=None if left_s is None else max(0.0, left_s - silent_s),
            silent_s=silent_s if is_on and silent_s >= SILENT_AFTER_S else None,
            log=_log_end(attempt),
        )

    def _require(self) -> None:
        if not self.workspace.root.is_dir():
            raise WorkspaceError(f"the workspace {self.workspace.root} is gone")


def _seconds(since: datetime, now: datetime) -> float:
    # Somebody may have set the clock back.
    return max(0.0, (now - since).total_seconds())


def _log_end(attempt: AttemptStatus) -> tuple[str, ...]:
    """The last lines of what an attempt printed; none where there is no log."""
    path: Path = attempt.log_path
    try:
        if not path.is_file():
            return ()
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LOG_BYTES))
            text = file.read(_LOG_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ()
    if size > _LOG_BYTES:
        text = text.partition("\n")[2]  # half a line may be half a secret, which no longer looks so
    lines = mask_text(text, secrets_of_attempt(attempt.folder)).splitlines()
    return tuple(line.rstrip()[:_LINE_CHARACTERS] for line in lines if line.strip())[-LOG_LINES:]
