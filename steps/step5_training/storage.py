"""Open the place where studies are kept: SQLite, a journal file, or a database of the user's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

SQLITE_FILE = "step5.db"
JOURNAL_FILE = "step5.journal"
LOCK_WAIT_S = 20


class StudyStorageError(RuntimeError):
    """The storage of the studies cannot be used; the message names it and says why."""


def open_storage(setting: str, folder: Path) -> BaseStorage:
    """setting: "sqlite", "journal", or a database URL. folder: the workspace's optuna_studies."""
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if setting == "journal":
        return _open_journal(folder.resolve() / JOURNAL_FILE)
    sqlite = folder.resolve() / SQLITE_FILE
    url = f"sqlite:///{sqlite}" if setting == "sqlite" else setting
    if "://" not in url:
        raise StudyStorageError(
            f"study_storage must be sqlite, journal or a database URL, got {setting!r}"
        )
    options = {"connect_args": {"timeout": LOCK_WAIT_S}} if url.startswith("sqlite") else {}
    try:
        storage = RDBStorage(url, engine_kwargs=options)
        if url.startswith("sqlite"):
            _write_ahead(storage)
        return storage
    except (SQLAlchemyError, ImportError, optuna.exceptions.OptunaError, RuntimeError) as error:
        shown = sqlite if setting == "sqlite" else _without_password(url)
        raise StudyStorageError(f"study_storage {shown}: {_first_line(error)}") from error


def _write_ahead(storage: RDBStorage) -> None:
    """Log ahead of the database: a commit need not wait for the disk, and a kill loses nothing."""

    @event.listens_for(storage.engine, "connect")
    def _set(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()


def _open_journal(path: Path) -> BaseStorage:
    # The open lock, on an absolute path: a symlink lock is never released after its holder dies.
    lock = JournalFileOpenLock(str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except ValueError as error:
        raise StudyStorageError(
            f"study_storage {path}: the journal is damaged ({_first_line(error)}); "
            "move it away to start a new one"
        ) from error


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    scheme, _, user = head.partition("://")
    return f"{scheme}://{user.split(':')[0]}:***@{tail}" if at else url


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
