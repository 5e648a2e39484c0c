"""Keep what was run, tried, found and decided in one SQLite file, so that --status can tell it.

One writer, the watcher that holds the workspace's lock; readers at any time (write-ahead log).
Times are ISO 8601 with the offset from UTC; lengths of time are seconds; free forms are JSON.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from agents.decide import Decision
from agents.errors import LedgerError
from agents.health import Ending, Verdict
from agents.parameters import Parameter
from steps.contract import StepResult

SCHEMA_VERSION = 1
BUSY_S = 5.0

_SCHEMA = """
CREATE TABLE runs (
  run_id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, exit_code INTEGER,
  started_at TEXT NOT NULL, ended_at TEXT, message TEXT NOT NULL DEFAULT '',
  request TEXT NOT NULL, watcher TEXT NOT NULL, watcher_version TEXT NOT NULL);
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL,
  attempt INTEGER NOT NULL, agent_name TEXT NOT NULL, title TEXT NOT NULL, module TEXT NOT NULL,
  out_dir TEXT NOT NULL, limit_s REAL NOT NULL, started_at TEXT NOT NULL, ended_at TEXT,
  outcome TEXT, severity TEXT, message TEXT NOT NULL DEFAULT '', duration_s REAL,
  exit_code INTEGER, signal TEXT, UNIQUE (run_id, step, attempt));
CREATE TABLE parameters (
  attempt_id INTEGER NOT NULL REFERENCES attempts, name TEXT NOT NULL, value TEXT NOT NULL,
  origin TEXT NOT NULL, PRIMARY KEY (attempt_id, name));
CREATE TABLE artifacts (
  attempt_id INTEGER NOT NULL REFERENCES attempts, path TEXT NOT NULL, sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL, PRIMARY KEY (attempt_id, path));
CREATE TABLE decisions (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL,
  attempt INTEGER NOT NULL, decided_at TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL,
  changes TEXT NOT NULL, evidence TEXT NOT NULL);
CREATE TABLE events (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, happened_at TEXT NOT NULL,
  code TEXT NOT NULL, message TEXT NOT NULL);
CREATE INDEX decisions_by_run ON decisions (run_id);
"""


class Ledger:
    """The ledger file, open. Use `Ledger.create` to write (under the lock), `Ledger.read` else."""

    def __init__(self, path: Path, connection: sqlite3.Connection, now: Callable[[], datetime]):
        self._path = path
        self._db = connection
        self._db.row_factory = sqlite3.Row
        self._now = now

    @classmethod
    def create(cls, path: Path, now: Callable[[], datetime]) -> Self:
        """Open for writing, making the file if need be; raises LedgerError."""
        with _faults(path):
            db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA foreign_keys = ON")
                if _version(db, path) == 0:
                    version = f"PRAGMA user_version = {SCHEMA_VERSION};"
                    db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {version} COMMIT;")
            except BaseException:
                db.close()
                raise
        return cls(path, db, now)

    @classmethod
    def read(cls, path: Path, now: Callable[[], datetime]) -> Self:
        """Open for reading only; raises LedgerError."""
        with _faults(path):
            db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
            try:
                if _version(db, path) == 0:
                    raise LedgerError(f"{path}: is no ledger: it is empty; move it away")
            except BaseException:
                db.close()
                raise
        return cls(path, db, now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    # Writing, in the order in which a run happens.

    def run_started(
        self, run_id: str, kind: str, request: dict[str, Any], watcher: str, version: str
    ) -> None:
        """A run begins. kind: "pipeline" or "predict"; watcher: the lock's holder as JSON."""
        with self._writing() as db:
            # Whoever holds the lock knows that no other run can be on.
            db.execute(
                "UPDATE runs SET state = 'interrupted', ended_at = coalesce(ended_at, ?), "
                "message = 'its watcher died' WHERE state = 'running'",
                (self._stamp(),),
            )
            db.execute(
                "INSERT INTO runs (run_id, kind, state, started_at, request, watcher, "
                "watcher_version) VALUES (?, ?, 'running', ?, ?, ?, ?)",
                (run_id, kind, self._stamp(), json.dumps(request), watcher, version),
            )

    def attempt_started(
        self,
        run_id: str,
        step: int,
        attempt: int,
        *,
        agent_name: str,
        title: str,
        module: str,
        out_dir: str,
        limit_s: float,
        parameters: Sequence[Parameter],
    ) -> int:
        """An attempt begins; returns its id. limit_s: seconds."""
        with self._writing() as db:
            cursor = db.execute(
                "INSERT INTO attempts (run_id, step, attempt, agent_name, title, module, out_dir, "
                "limit_s, started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (run_id, step, attempt, agent_name, title, module, out_dir, limit_s, self._stamp()),
            )
            attempt_id = int(cursor.lastrowid or 0)
            db.executemany(
                "INSERT INTO parameters VALUES (?, ?, ?, ?)",
                [(attempt_id, p.name, json.dumps(p.value), p.origin) for p in parameters],
            )
        return attempt_id

    def attempt_ended(
        self, attempt_id: int, ending: Ending, verdict: Verdict, result: StepResult | None
    ) -> None:
        """An attempt has ended and was judged."""
        with self._writing() as db:
            db.execute(
                "UPDATE attempts SET ended_at = ?, outcome = ?, severity = ?, message = ?, "
                "duration_s = ?, exit_code = ?, signal = ? WHERE id = ?",
                (
                    self._stamp(),
                    verdict.outcome,
                    verdict.severity,
                    verdict.message,
                    ending.duration_s,
                    ending.exit_code,
                    ending.signal,
                    attempt_id,
                ),
            )
            db.executemany(
                "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?)",
                [
                    (attempt_id, output.path, output.sha256, output.bytes)
                    for output in (result.outputs if result else ())
                ],
            )

    def decided(
        self, run_id: str, step: int, attempt: int, decision: Decision, evidence: Any
    ) -> None:
        """A decision, with the facts it rests on (anything JSON can hold)."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO decisions (run_id, step, attempt, decided_at, action, reason, "
                "changes, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    step,
                    attempt,
                    self._stamp(),
                    decision.action,
                    decision.reason,
                    json.dumps(decision.changes),
                    json.dumps(evidence),
                ),
            )

    def event(self, run_id: str, code: str, message: str) -> None:
        """Something that happened beside the steps: a policy change, a halt."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO events (run_id, happened_at, code, message) VALUES (?, ?, ?, ?)",
                (run_id, self._stamp(), code, message),
            )

    def run_ended(self, run_id: str, state: str, exit_code: int, message: str) -> None:
        """A run has ended. state: complete, failed, halted, interrupted."""
        with self._writing() as db:
            db.execute(
                "UPDATE runs SET state = ?, exit_code = ?, ended_at = ?, message = ? "
                "WHERE run_id = ?",
                (state, int(exit_code), self._stamp(), message, run_id),
            )

    # Reading.

    def last_run(self) -> dict[str, Any] | None:
        """The run that began last, as its row."""
        rows = self._rows("SELECT * FROM runs ORDER BY rowid DESC LIMIT 1")
        return rows[0] if rows else None

    def attempts(self, run_id: str) -> list[dict[str, Any]]:
        """The attempts of a run, in order."""
        return self._rows("SELECT * FROM attempts WHERE run_id = ? ORDER BY id", run_id)

    def decisions(self, run_id: str) -> list[dict[str, Any]]:
        """The decisions of a run, in order."""
        return self._rows("SELECT * FROM decisions WHERE run_id = ? ORDER BY id", run_id)

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """What happened beside the steps of a run, in order."""
        return self._rows("SELECT * FROM events WHERE run_id = ? ORDER BY id", run_id)

    def parameters(self, attempt_id: int) -> list[dict[str, Any]]:
        """The parameters of an attempt; `value` is JSON text."""
        return self._rows("SELECT * FROM parameters WHERE attempt_id = ?", attempt_id)

    def artifacts(self, attempt_id: int) -> list[dict[str, Any]]:
        """The files that an attempt left, with their hashes."""
        return self._rows("SELECT * FROM artifacts WHERE attempt_id = ?", attempt_id)

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with _faults(self._path):
            return [dict(row) for row in self._db.execute(query, values)]

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _faults(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.rollback()
                raise
            self._db.commit()


def _version(db: sqlite3.Connection, path: Path) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path}: schema version must be at most {SCHEMA_VERSION}, got {version}: "
            "it was written by a newer watcher"
        )
    return version


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise LedgerError(
                f"{path}: another program kept it locked for {BUSY_S:g} s; close it and try again"
            ) from None
        raise LedgerError(f"{path}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: is not a readable ledger ({error}); move it away") from None
