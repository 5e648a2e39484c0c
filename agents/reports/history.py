"""Gather what --history tells: the runs there were, newest first, each in a few facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from agents.errors import UsageError
from agents.ledger import Ledger
from agents.reports.run_status import told_state

DEFAULT_LIMIT = 20


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run. state: running, complete, refused, failed, halted, interrupted, waiting.

    duration_s: from its start to its end (to now while it runs), pauses before it was resumed
    included; None if nobody saw it end. steps_done, steps_skipped, steps_failed: numbers of the
    steps whose last decision was to go on, to skip, or to stop (a halt stops a step too); one that
    was done, and skipped when the run was resumed, is done. retries: of all steps. message: the
    finding, or why it ended. winner: a family, None if none is known.
    """

    run_id: str
    kind: str
    state: str
    exit_code: int | None
    started_at: datetime
    duration_s: float | None
    resumed: int
    steps_done: tuple[int, ...]
    steps_skipped: tuple[int, ...]
    steps_failed: tuple[int, ...]
    retries: int
    message: str
    winner: str | None


@dataclass(frozen=True, slots=True)
class History:
    """What --history shows. more: whether there are older runs than these."""

    runs: tuple[PastRun, ...]
    more: bool


def gather_history(
    ledger_file: Path, now: Callable[[], datetime], limit: int | None = None
) -> History:
    """Read the last `limit` runs (None: 20); its time does not grow with the history's length.

    Raises UsageError for a limit under 1, LedgerError.
    """
    wanted = DEFAULT_LIMIT if limit is None else limit
    if wanted < 1:
        raise UsageError(f"--limit must be at least 1, got {wanted}")
    if not ledger_file.exists():
        return History((), more=False)
    with Ledger.read(ledger_file, now) as ledger:
        rows = ledger.runs(wanted + 1)
        shown = rows[:wanted]
        run_ids = [row["run_id"] for row in shown]
        actions = _by_run(run_ids, ledger.actions(run_ids))
        winners = _by_run(run_ids, ledger.winners(run_ids))
    runs = tuple(
        _past_run(row, actions[row["run_id"]], winners[row["run_id"]], now()) for row in shown
    )
    return History(runs, more=len(rows) > wanted)


def history_document(history: History) -> dict[str, Any]:
    """The answer to --history --json."""
    runs = [asdict(run) | {"started_at": run.started_at.isoformat()} for run in history.runs]
    return {"status": "ok", "exit_code": 0, "runs": runs, "more": history.more}


def _by_run(run_ids: list[str], rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {run_id: [] for run_id in run_ids}
    for row in rows:
        grouped[row["run_id"]].append(row)
    return grouped


def _past_run(
    row: dict[str, Any],
    actions: list[dict[str, Any]],
    winners: list[dict[str, Any]],
    now: datetime,
) -> PastRun:
    state, message = told_state(row)
    last: dict[int, str] = {}
    for decided in actions:
        if decided["action"] != "skip" or last.get(decided["step"]) != "next":
            last[decided["step"]] = decided["action"]
    started_at = datetime.fromisoformat(row["started_at"])
    ended_at = now if state == "running" else None
    if row["ended_at"]:
        ended_at = datetime.fromisoformat(row["ended_at"])
    return PastRun(
        run_id=row["run_id"],
        kind=row["kind"],
        state=state,
        exit_code=row["exit_code"],
        started_at=started_at,
        # Somebody may have set the clock back.
        duration_s=max(0.0, (ended_at - started_at).total_seconds()) if ended_at else None,
        resumed=row["resumed"],
        steps_done=_steps(last, "next"),
        steps_skipped=_steps(last, "skip"),
        steps_failed=_steps(last, "stop"),
        retries=sum(action["action"] == "retry" for action in actions),
        message=message,
        winner=winners[-1]["winner"] if winners else None,
    )


def _steps(last_actions: dict[int, str], action: str) -> tuple[int, ...]:
    return tuple(sorted(step for step, last in last_actions.items() if last == action))
