"""Give the ledger file its tables: made new, or brought up from an older version in one step."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agents.errors import LedgerError

_VERSION_1 = (
    """CREATE TABLE runs (
      run_id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, exit_code INTEGER,
      started_at TEXT NOT NULL, ended_at TEXT, message TEXT NOT NULL DEFAULT '',
      request TEXT NOT NULL, watcher TEXT NOT NULL, watcher_version TEXT NOT NULL)""",
    """CREATE TABLE attempts (
      id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL,
      attempt INTEGER NOT NULL, agent_name TEXT NOT NULL, title TEXT NOT NULL,
      module TEXT NOT NULL, out_dir TEXT NOT NULL, limit_s REAL NOT NULL,
      started_at TEXT NOT NULL, ended_at TEXT, outcome TEXT, severity TEXT,
      message TEXT NOT NULL DEFAULT '', duration_s REAL, exit_code INTEGER, signal TEXT,
      UNIQUE (run_id, step, attempt))""",
    """CREATE TABLE parameters (
      attempt_id INTEGER NOT NULL REFERENCES attempts, name TEXT NOT NULL, value TEXT NOT NULL,
      origin TEXT NOT NULL, PRIMARY KEY (attempt_id, name))""",
    """CREATE TABLE artifacts (
      attempt_id INTEGER NOT NULL REFERENCES attempts, path TEXT NOT NULL, sha256 TEXT NOT NULL,
      bytes INTEGER NOT NULL, PRIMARY KEY (attempt_id, path))""",
    """CREATE TABLE decisions (
      id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL,
      attempt INTEGER NOT NULL, decided_at TEXT NOT NULL, action TEXT NOT NULL,
      reason TEXT NOT NULL, changes TEXT NOT NULL, evidence TEXT NOT NULL)""",
    """CREATE TABLE events (
      id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, happened_at TEXT NOT NULL,
      code TEXT NOT NULL, message TEXT NOT NULL)""",
    "CREATE INDEX decisions_by_run ON decisions (run_id)",
)

_NEW_TABLES = (
    """CREATE TABLE successes (
      id INTEGER PRIMARY KEY, step INTEGER NOT NULL, run_id TEXT NOT NULL REFERENCES runs,
      attempt INTEGER NOT NULL, recorded_at TEXT NOT NULL, facts TEXT NOT NULL)""",
    """CREATE TABLE approvals (
      id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, step INTEGER,
      what TEXT NOT NULL, asked_at TEXT NOT NULL, approved_at TEXT, approved_by TEXT,
      note TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE placements (
      id INTEGER PRIMARY KEY, attempt_id INTEGER NOT NULL REFERENCES attempts,
      what TEXT NOT NULL, device TEXT NOT NULL, reason TEXT NOT NULL)""",
)

# turn: the order in which runs were last on; a run that is resumed is the newest again. A rowid
# would not do: VACUUM may renumber it.
_VERSION_2 = (
    "ALTER TABLE runs ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0",
    "UPDATE runs SET turn = rowid",
    "ALTER TABLE attempts ADD COLUMN inputs TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE attempts ADD COLUMN winner TEXT",
    "ALTER TABLE decisions ADD COLUMN budget TEXT",
    "ALTER TABLE decisions ADD COLUMN rule TEXT",
    *_NEW_TABLES,
    # attempts, parameters and artifacts have the indexes of their unique keys. An index carries
    # the rowid, so one on (step) also finds the latest of a step without a sort.
    "CREATE UNIQUE INDEX runs_by_turn ON runs (turn)",
    "CREATE INDEX runs_by_kind ON runs (kind, turn)",
    "CREATE INDEX runs_by_state ON runs (state)",
    "CREATE INDEX events_by_run ON events (run_id)",
    "CREATE INDEX successes_by_step ON successes (step)",
    "CREATE INDEX approvals_by_run ON approvals (run_id)",
    "CREATE INDEX placements_by_attempt ON placements (attempt_id)",
    "CREATE INDEX artifacts_by_content ON artifacts (sha256, attempt_id)",
)

# digest: of what a question is about, beside its sentence. answer: approved, rejected, or withdrawn
# by the watcher; NULL while a person is asked.
_VERSION_3_APPROVALS = (
    "ALTER TABLE approvals RENAME COLUMN approved_at TO answered_at",
    "ALTER TABLE approvals RENAME COLUMN approved_by TO answered_by",
    "ALTER TABLE approvals ADD COLUMN digest TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE approvals ADD COLUMN answer TEXT "
    "CHECK (answer IN ('approved', 'rejected', 'withdrawn'))",
)
_VERSION_3 = (
    *_VERSION_3_APPROVALS,
    "UPDATE approvals SET answer = 'approved' WHERE answered_at IS NOT NULL",
    "CREATE INDEX approvals_open ON approvals (id) WHERE answer IS NULL",
)

_MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
SCHEMA_VERSION = len(_MIGRATIONS)

# What a reader of an older ledger sees: names in TEMP come before those of the file, which stays as
# it is.
_VERSION_2_AS_3 = (
    "PRAGMA temp_store = MEMORY",
    "CREATE TEMP VIEW approvals AS SELECT id, run_id, step, what, asked_at, "
    "approved_at AS answered_at, approved_by AS answered_by, note, '' AS digest, "
    "CASE WHEN approved_at IS NULL THEN NULL ELSE 'approved' END AS answer FROM main.approvals",
)
_VERSION_1_AS_3 = (
    "PRAGMA temp_store = MEMORY",
    "CREATE TEMP VIEW runs AS SELECT *, 0 AS resumed, rowid AS turn FROM main.runs",
    "CREATE TEMP VIEW attempts AS SELECT *, '{}' AS inputs, NULL AS winner FROM main.attempts",
    "CREATE TEMP VIEW decisions AS SELECT *, NULL AS budget, NULL AS rule FROM main.decisions",
    *(table.replace("CREATE TABLE", "CREATE TEMP TABLE", 1) for table in _NEW_TABLES),
    *_VERSION_3_APPROVALS,
)


# What a reader of an empty file sees.
_EMPTY = (
    "PRAGMA temp_store = MEMORY",
    *(
        statement.replace("CREATE TABLE", "CREATE TEMP TABLE", 1)
        for statements in _MIGRATIONS
        for statement in statements
        if not statement.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX"))
    ),
)


def bring_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or migrate them, in one transaction: the file has all of it or none."""
    if version_of(db, path) == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        # Once more under the lock: another writer (an approval) may have been first.
        version = version_of(db, path)
        if version == 0:
            _refuse_another_programs(db, path)
        for statements in _MIGRATIONS[version:]:
            for statement in statements:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        db.rollback()
        raise
    db.commit()


def show_as_up_to_date(db: sqlite3.Connection, path: Path) -> None:
    """Let the queries of this version read an older ledger, which is not changed."""
    match version_of(db, path):
        case 0:  # as it is for a moment while the first run begins: nothing has run
            _refuse_another_programs(db, path)
            for statement in _EMPTY:
                db.execute(statement)
        case 1:
            for statement in _VERSION_1_AS_3:
                db.execute(statement)
        case 2:
            for statement in _VERSION_2_AS_3:
                db.execute(statement)


def _refuse_another_programs(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("SELECT name FROM main.sqlite_master LIMIT 1").fetchone():
        raise LedgerError(f"{path}: is no ledger: another program's tables are in it")


def version_of(db: sqlite3.Connection, path: Path) -> int:
    """The schema version of the file, 0 for an empty one; raises LedgerError on a newer one."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path}: schema version must be at most {SCHEMA_VERSION}, got {version}: "
            "it was written by a newer watcher"
        )
    return version
