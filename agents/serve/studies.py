"""Read the studies of Step 5 as they stand in the workspace, without changing them."""

from __future__ import annotations

import contextlib
import importlib.util
import shlex
import sqlite3
import threading
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.workspace import Workspace

FOLDER = "optuna_studies"
SQLITE_FILE = "step5.db"
JOURNAL_FILE = "step5.journal"
MOST = 200
# What optuna-dashboard listens at unless told.
DASHBOARD = "http://127.0.0.1:8080/"
_BUSY_S = 2.0

_COUNTS = """
  SELECT s.study_id, s.study_name, t.state, COUNT(t.trial_id) AS trials,
         MAX(COALESCE(t.datetime_complete, t.datetime_start)) AS last
  FROM (SELECT study_id, study_name FROM studies ORDER BY study_id DESC LIMIT ?) AS s
  LEFT JOIN trials AS t ON t.study_id = s.study_id
  GROUP BY s.study_id, t.state ORDER BY s.study_id DESC"""
# A finalist is written twice: as a trial of the search that was stopped, and as its continuation.
# The best trial is, too, where it was tried at full resolution.
_KINDS = ("completes", "confirms")
_CONTINUED = """
  SELECT t.study_id, t.state, a.key, COUNT(t.trial_id) FROM trials AS t
  JOIN trial_user_attributes AS a ON a.trial_id = t.trial_id
  WHERE a.key IN ('completes', 'confirms') AND t.state NOT IN ('RUNNING', 'WAITING')
  AND t.study_id IN (SELECT study_id FROM studies ORDER BY study_id DESC LIMIT ?)
  GROUP BY t.study_id, t.state, a.key"""
_BEST = """
  SELECT t.study_id, MAX(v.value) FROM trials AS t JOIN trial_values AS v ON v.trial_id = t.trial_id
  WHERE t.state = 'COMPLETE' AND v.objective = 0 AND v.value_type = 'FINITE'
  AND t.study_id IN (SELECT study_id FROM studies ORDER BY study_id DESC LIMIT ?)
  GROUP BY t.study_id"""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """One study. best: mean R2 over folds of its best complete trial; last_at: of its last trial.

    open: trials that run, or that a killed run has left so.
    """

    name: str
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    open: int = 0
    best: float | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A file of studies, newest first. problem: why it cannot be read; "" where it can.

    command: what opens it in optuna-dashboard. more: whether there are older studies.
    """

    path: Path
    studies: tuple[StudyFacts, ...]
    more: bool
    problem: str
    command: str


class StudyFiles:
    """The files of studies that lie in a workspace; a journal is read again only when it grew."""

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.root / FOLDER
        self._reading = threading.Lock()
        self._journal: tuple[tuple[int, int], tuple[StudyFacts, ...]] | None = None

    def read(self) -> tuple[StudyFile, ...]:
        """All of them; one that cannot be read says why."""
        found = []
        sqlite, journal = self._folder / SQLITE_FILE, self._folder / JOURNAL_FILE
        if sqlite.is_file():
            found.append(self._file(sqlite, f"sqlite:///{sqlite}"))
        if journal.is_file():
            found.append(self._file(journal, str(journal)))
        return tuple(found)

    def _file(self, path: Path, storage: str) -> StudyFile:
        studies: tuple[StudyFacts, ...] = ()
        problem = ""
        try:
            studies = self._read_journal(path) if path.name == JOURNAL_FILE else _read_sqlite(path)
        except (sqlite3.Error, OSError, ValueError, KeyError) as fault:
            problem = f"cannot be read: {fault}"
        command = f"optuna-dashboard {shlex.quote(storage)}"
        return StudyFile(path, studies[:MOST], len(studies) > MOST, problem, command)

    def _read_journal(self, path: Path) -> tuple[StudyFacts, ...]:
        with self._reading:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if self._journal is None or self._journal[0] != stamp:
                self._journal = (stamp, _replay(path))
            return self._journal[1]


def has_dashboard() -> bool:
    """Whether optuna-dashboard is installed here."""
    return importlib.util.find_spec("optuna_dashboard") is not None


def _read_sqlite(path: Path) -> tuple[StudyFacts, ...]:
    # In plain SQL: optuna's own storage would make and migrate tables, which is writing.
    uri = f"{path.as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S)) as db:
        counts = db.execute(_COUNTS, (MOST + 1,)).fetchall()
        best = dict(db.execute(_BEST, (MOST + 1,)).fetchall())
        continued = db.execute(_CONTINUED, (MOST + 1,)).fetchall()
    by_study: dict[int, tuple[str, dict[str, int], list[str]]] = {}
    for study_id, name, state, trials, last in counts:
        _, states, lasts = by_study.setdefault(study_id, (name, {}, []))
        if state is not None:
            states[state] = trials
        lasts += [last] if last else []
    for study_id, state, kind, trials in continued:
        _count_once(by_study[study_id][1], kind, state, trials)
    return tuple(
        _facts(
            name,
            states,
            best.get(study_id),
            # Optuna keeps times in UTC, without saying so.
            datetime.fromisoformat(max(lasts)).replace(tzinfo=UTC) if lasts else None,
        )
        for study_id, (name, states, lasts) in by_study.items()
    )


def _replay(path: Path) -> tuple[StudyFacts, ...]:
    # Imported here: only who keeps a journal pays for it. Opening one that exists writes nothing.
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        backend = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        storage = JournalStorage(backend)
    found = []
    for study in sorted(storage.get_all_studies(), key=lambda each: -each._study_id):
        trials = storage.get_all_trials(study._study_id, deepcopy=False)
        states: dict[str, int] = {}
        for trial in trials:
            states[trial.state.name] = states.get(trial.state.name, 0) + 1
        for trial in trials:
            kind = next((kind for kind in _KINDS if kind in trial.user_attrs), None)
            if kind is not None and trial.state.is_finished():
                _count_once(states, kind, trial.state.name, 1)
        values = [t.value for t in trials if t.state.name == "COMPLETE" and t.value is not None]
        times = [t.datetime_complete or t.datetime_start for t in trials]
        known = [time for time in times if time is not None]
        last_at = max(known).astimezone() if known else None
        found.append(_facts(study.study_name, states, max(values, default=None), last_at))
    return tuple(found)


def _count_once(states: dict[str, int], kind: str, state: str, trials: int) -> None:
    """Take records out of the counts that are no trials of their own (see _CONTINUED)."""
    repeats = "PRUNED" if (kind, state) == ("completes", "COMPLETE") else state
    states[repeats] = states.get(repeats, 0) - trials


def _facts(
    name: str, states: dict[str, int], best: float | None, last_at: datetime | None
) -> StudyFacts:
    return StudyFacts(
        name=name,
        complete=states.get("COMPLETE", 0),
        pruned=states.get("PRUNED", 0),
        failed=states.get("FAIL", 0),
        open=states.get("RUNNING", 0) + states.get("WAITING", 0),
        best=best,
        last_at=last_at,
    )
