"""Open the ledger file, to write or to read, and say what is wrong with it in a person's words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from agents.errors import LedgerBusy, LedgerError
from agents.ledger.schema import bring_up_to_date, show_as_up_to_date, version_of

BUSY_S = 5.0


def open_to_write(path: Path, busy_s: float) -> sqlite3.Connection:
    """Open for writing, making the file if need be, migrating an older one; raises LedgerError.

    busy_s: how long to wait for a program that keeps the file locked, seconds.
    """
    with faults(path, busy_s):
        db = sqlite3.connect(path, timeout=busy_s, isolation_level=None)
        try:
            version_of(db, path)  # a newer watcher's file is left as it is
            db.execute("PRAGMA journal_mode = WAL")
            # With WAL, what was committed survives a killed watcher in any mode. FULL syncs the
            # log at each commit, so that it survives a power cut too: a few rows an attempt cost
            # milliseconds, and one of them may stand for hours of training.
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            bring_up_to_date(db, path)
        except BaseException:
            db.close()
            raise
    return db


def open_to_read(path: Path, busy_s: float) -> sqlite3.Connection:
    """Open for reading only, also while a run writes; raises LedgerError.

    Beside the file SQLite keeps -wal and -shm while somebody has it open, and makes them for a
    reader too. Where that cannot be, in a folder that is read-only, a ledger that was closed in
    order is whole without them and is read as it stands. One whose watcher was killed is read
    through its -wal, and needs the -shm beside it.
    """
    with faults(path, busy_s):
        try:
            return _reader(f"{path.as_uri()}?mode=ro", path, busy_s)
        except sqlite3.OperationalError as error:
            wal = path.with_name(f"{path.name}-wal")
            if _code(error) not in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
                raise
            if not path.exists() or (wal.exists() and wal.stat().st_size):
                raise
        return _reader(f"{path.as_uri()}?immutable=1", path, busy_s)


def _reader(uri: str, path: Path, busy_s: float) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None)
    try:
        show_as_up_to_date(db, path)
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def faults(path: Path, busy_s: float) -> Iterator[None]:
    """Turn SQLite's errors into LedgerError with the file's name and what helps."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        match _code(error):
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                raise LedgerBusy(
                    f"{path}: another program kept it locked for {busy_s:g} s; close it and try "
                    "again"
                ) from None
            case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
                said = f"{error}; is the disk full? What was recorded before is kept"
            case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY:
                said = f"{error}; who may write in its folder can open it"
            case sqlite3.SQLITE_CONSTRAINT:
                said = (
                    f"what was to be written does not go with what is there ({error}); it is as it "
                    "was before, and `watcher --status` shows it"
                )
            case sqlite3.SQLITE_ERROR:
                said = str(error)
            case _:
                said = f"is not a readable ledger ({error}); move it away"
        raise LedgerError(f"{path}: {said}") from None


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 where Python itself found the fault."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
