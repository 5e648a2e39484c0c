"""Answer what was run, tried, found and decided; each answer by an index, however long the history.

Rows are dicts by column name. Times are ISO 8601 with the offset from UTC; lengths of time are
seconds; `request`, `value`, `changes`, `evidence`, `inputs` and `facts` are JSON texts, in which
secrets are masked.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, cast

from agents.ledger.file import BUSY_S, faults, open_to_read
from agents.parameters import Origin, Parameter
from agents.secrets import mask_text

Row = dict[str, Any]

# "running" is resumable only for whoever holds the workspace's lock: then its watcher is dead.
RESUMABLE_STATES = frozenset({"running", "failed", "halted", "interrupted", "waiting"})


class LedgerReader:
    """The readers' half of the ledger."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        now: Callable[[], datetime],
        busy_s: float = BUSY_S,
    ) -> None:
        self._path = path
        self._db = connection
        self._db.row_factory = sqlite3.Row
        self._now = now
        self._busy_s = busy_s

    @classmethod
    def read(cls, path: Path, now: Callable[[], datetime], busy_s: float = BUSY_S) -> Self:
        """Open for reading only, an older version too; changes nothing; raises LedgerError."""
        return cls(path, open_to_read(path, busy_s), now, busy_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    # Runs.

    def last_run(self) -> Row | None:
        """The run that was on last: it began, or was resumed, after all others."""
        return self._row("SELECT * FROM runs ORDER BY turn DESC LIMIT 1")

    def runs(self, limit: int) -> list[Row]:
        """The runs that were on last, newest first."""
        return self._rows("SELECT * FROM runs ORDER BY turn DESC LIMIT ?", limit)

    def run(self, run_id: str) -> Row | None:
        """One run; None if the ledger has none of that name."""
        return self._row("SELECT * FROM runs WHERE run_id = ?", run_id)

    def run_ids_from(self, beginning: str, limit: int) -> list[str]:
        """Ids of runs that begin with this text, in order of the ids."""
        rows = self._rows(
            "SELECT run_id FROM runs WHERE run_id >= ? AND run_id < ? ORDER BY run_id LIMIT ?",
            beginning,
            beginning + chr(0x10FFFF),
            limit,
        )
        return [str(row["run_id"]) for row in rows]

    def resumable_run(self, run_id: str | None = None) -> Row | None:
        """The pipeline run to go on with: the one that was on last, if it did not end complete.

        run_id: that run instead. Ask under the workspace's lock: who holds it knows that a run
        which is still `running` here has lost its watcher.
        """
        last = "SELECT * FROM runs WHERE kind = 'pipeline' ORDER BY turn DESC LIMIT 1"
        row = self._row(last) if run_id is None else self.run(run_id)
        if row is None or row["kind"] != "pipeline":
            return None
        return row if row["state"] in RESUMABLE_STATES else None

    # What happened in a run.

    def attempts(self, run_id: str) -> list[Row]:
        """The attempts of a run, in order."""
        return self._rows("SELECT * FROM attempts WHERE run_id = ? ORDER BY id", run_id)

    def last_attempts(self, run_id: str) -> list[Row]:
        """The last attempt of each step of a run, by step."""
        return self._rows(
            "SELECT * FROM attempts AS a WHERE run_id = ? AND attempt = (SELECT max(attempt) "
            "FROM attempts AS b WHERE b.run_id = a.run_id AND b.step = a.step) ORDER BY step",
            run_id,
        )

    def decisions(self, run_id: str) -> list[Row]:
        """The decisions of a run, in order."""
        return self._rows("SELECT * FROM decisions WHERE run_id = ? ORDER BY id", run_id)

    def actions(self, run_ids: Sequence[str]) -> list[Row]:
        """run_id, step and action of every decision of these runs, in order."""
        return self._of_runs("SELECT run_id, step, action FROM decisions", run_ids)

    def winners(self, run_ids: Sequence[str]) -> list[Row]:
        """run_id and winner of the attempts of these runs that named one, in order."""
        return [
            row
            for row in self._of_runs("SELECT run_id, winner FROM attempts", run_ids)
            if row["winner"] is not None
        ]

    def events(self, run_id: str) -> list[Row]:
        """What happened beside the steps of a run, in order."""
        return self._rows("SELECT * FROM events WHERE run_id = ? ORDER BY id", run_id)

    def approvals(self, run_id: str) -> list[Row]:
        """What a run asked a person for, in order; `answer` is None while it waits."""
        return self._rows("SELECT * FROM approvals WHERE run_id = ? ORDER BY id", run_id)

    def open_questions(self) -> list[Row]:
        """What people have been asked and not answered, of all runs, the latest first."""
        return self._rows("SELECT * FROM approvals WHERE answer IS NULL ORDER BY id DESC")

    def is_approved(self, run_id: str, step: int | None, what: str, digest: str = "") -> bool:
        """Whether a person has approved exactly this; arguments as in approval_asked."""
        found = self._row(
            "SELECT id FROM approvals WHERE run_id = ? AND step IS ? AND what = ? AND digest = ? "
            "AND answer = 'approved' LIMIT 1",
            run_id,
            step,
            mask_text(what),  # as it was kept
            digest,
        )
        return found is not None

    # What belongs to an attempt.

    def parameters(self, attempt_id: int) -> list[Row]:
        """The parameters of an attempt."""
        return self._rows("SELECT * FROM parameters WHERE attempt_id = ?", attempt_id)

    def parameters_of_last_attempt(self, run_id: str, step: int) -> tuple[Parameter, ...]:
        """What the last attempt at a step got, () if there was none. Secrets are masked."""
        rows = self._rows(
            "SELECT name, value, origin FROM parameters WHERE attempt_id = (SELECT id "
            "FROM attempts WHERE run_id = ? AND step = ? ORDER BY attempt DESC LIMIT 1) "
            "ORDER BY rowid",
            run_id,
            step,
        )
        return tuple(
            Parameter(row["name"], json.loads(row["value"]), cast(Origin, row["origin"]))
            for row in rows
        )

    def artifacts(self, attempt_id: int) -> list[Row]:
        """The files that an attempt left, with their hashes."""
        return self._rows("SELECT * FROM artifacts WHERE attempt_id = ?", attempt_id)

    def maker(self, sha256: str, before: int) -> Row | None:
        """The last attempt before the one of this id that left a file of this content.

        Its run_id, step, attempt and the file's path; None if no attempt did.
        """
        return self._row(
            "SELECT a.run_id, a.step, a.attempt, f.path FROM artifacts AS f "
            "JOIN attempts AS a ON a.id = f.attempt_id WHERE f.sha256 = ? AND f.attempt_id < ? "
            "ORDER BY f.attempt_id DESC LIMIT 1",
            sha256,
            before,
        )

    def placements(self, attempt_id: int) -> list[Row]:
        """What an attempt placed where, and why, in order: `what`, `device`, `reason`."""
        return self._rows("SELECT * FROM placements WHERE attempt_id = ? ORDER BY id", attempt_id)

    # What belongs to a step, over all runs.

    def last_success(self, step: int) -> Row | None:
        """The latest recorded success of a step: run_id, attempt, recorded_at, facts."""
        return self._row("SELECT * FROM successes WHERE step = ? ORDER BY id DESC LIMIT 1", step)

    def _of_runs(self, select: str, run_ids: Sequence[str]) -> list[Row]:
        # One query a run: the number of ? in one query is limited, that of runs shown is not.
        return [
            row
            for run_id in run_ids
            for row in self._rows(f"{select} WHERE run_id = ? ORDER BY id", run_id)
        ]

    def _row(self, query: str, *values: object) -> Row | None:
        rows = self._rows(query, *values)
        return rows[0] if rows else None

    def _rows(self, query: str, *values: object) -> list[Row]:
        with faults(self._path, self._busy_s):
            return [dict(row) for row in self._db.execute(query, values)]
