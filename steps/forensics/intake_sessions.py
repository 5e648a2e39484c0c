"""The session of each draw, and the order of sessions within a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from steps.contract import Note
from steps.forensics.intake_dates import DAY_US, Integers
from steps.tables.columns import Moments, Numbers, RawColumn, Texts
from steps.tables.table import TableError, listed

# Names whose place in a day needs no file to tell.
_KNOWN = {
    "morning": 0,
    "midday": 1,
    "mid-day": 1,
    "noon": 1,
    "day": 1,
    "afternoon": 2,
    "evening": 3,
    "night": 4,
}
# More names than that name draws, not sessions.
_MOST_SESSIONS = 48


@dataclass(frozen=True, slots=True, eq=False)
class ReadSessions:
    """codes: int64 (n,), a place in names or -1 for none. names: as they turn up in the file."""

    codes: Integers
    names: tuple[str, ...]
    notes: tuple[Note, ...] = ()

    def named(self, rows: Integers) -> Iterator[str]:
        """The session of each of these rows, "" where there is none."""
        names = (*self.names, "")
        return (names[code] for code in self.codes[rows].tolist())


def read_sessions(file: str, column: str | None, raw: RawColumn | None, count: int) -> ReadSessions:
    """The session of each draw. Names that differ in case or spaces alone are one, with a note."""
    if raw is None or column is None:
        return ReadSessions(np.full(count, -1, np.int64), ())
    match raw:
        case Moments() | Numbers(bools=True):
            raise TableError(
                f"{file}: column {column!r}: sessions must be names, got dates or flags"
            )
        case Numbers(values=values):
            there = np.isfinite(values.astype(np.float64))
            known, codes = np.unique(values[there], return_inverse=True)
            written = [f"{value:g}" for value in known.tolist()]
            places = np.full(values.size, -1, np.int64)
            places[there] = codes
        case Texts(codes=texts, distinct=distinct):
            written, places = distinct.to_pylist(), texts.astype(np.int64)
    return _joined(file, column, written, places)


def session_order(
    file: str, sessions: ReadSessions, when: Integers | None, place: Integers, asked: Sequence[str]
) -> tuple[tuple[str, ...], Note | None]:
    """The sessions of a day in order, and what to say about it."""
    names = sessions.names
    if asked:
        folded = [_folded(name) for name in asked]
        if lacking := [name for name in names if _folded(name) not in folded]:
            raise TableError(
                f"{file}: session_order must name every session; it lacks {listed(lacking)}, got "
                f"{listed(list(asked))}"
            )
        return tuple(sorted(names, key=lambda name: folded.index(_folded(name)))), None
    if len(names) < 2:
        return names, None
    ranks = [_KNOWN.get(_folded(name)) for name in names]
    if None not in ranks and len(set(ranks)) == len(names):
        ordered = tuple(sorted(names, key=lambda name: _KNOWN[_folded(name)]))
        why = "by their names"
    elif when is None:
        ordered, why = names, "as they turn up"
    else:
        ordered, why = _as_they_stand(sessions, when, place), "as they mostly stand in the file"
    return ordered, Note(
        level="info",
        code="session_order",
        message=f"{file}: sessions of a day come in the order {', '.join(ordered)}, {why}; set "
        "session_order where that is wrong",
    )


def _joined(file: str, column: str, written: list[str], places: Integers) -> ReadSessions:
    """Sessions whose names differ in more than case and spaces, in order of appearance."""
    counts = np.bincount(places[places >= 0], minlength=len(written))
    spelled: dict[str, Counter[str]] = {}
    for text, count in zip(written, counts.tolist(), strict=True):
        spelled.setdefault(_folded(text), Counter())[text.strip()] += count
    if len(spelled) > _MOST_SESSIONS:
        raise TableError(
            f"{file}: column {column!r}: a day has at most {_MOST_SESSIONS} sessions, got "
            f'{len(spelled)} names; set session_column to another column, or to "" for none'
        )
    number = {name: code for code, name in enumerate(spelled)}
    codes = np.array([*(number[_folded(text)] for text in written), -1])[places]
    names = tuple(spellings.most_common(1)[0][0] for spellings in spelled.values())
    notes = []
    varied = [name for name, each in zip(names, spelled.values(), strict=True) if len(each) > 1]
    if varied:
        notes.append(
            Note(
                level="info",
                code="session_spellings",
                message=f"{file}: column {column!r}: names that differ in case alone count as one: "
                f"{listed(varied)}",
            )
        )
    if without := np.count_nonzero(codes < 0):
        notes.append(
            Note(
                level="warning",
                code="no_session",
                message=f"{file}: column {column!r}: rows without a session: {without}, the first "
                f"is row {int(np.argmax(codes < 0)) + 1}; they come first in their day, and belong "
                "to no session",
            )
        )
    return ReadSessions(codes, names, tuple(notes))


def _as_they_stand(sessions: ReadSessions, when: Integers, place: Integers) -> tuple[str, ...]:
    """Sessions by their mean place within the days that have several draws."""
    rows = np.lexsort((place, when))
    days = when[rows] // DAY_US
    _, first, number, count = np.unique(
        days, return_index=True, return_inverse=True, return_counts=True
    )
    within = np.arange(rows.size) - first[number]
    codes = sessions.codes[rows]
    used = (count[number] > 1) & (codes >= 0)
    places = np.bincount(codes[used], within[used], len(sessions.names))
    draws = np.bincount(codes[used], minlength=len(sessions.names))
    means = np.divide(places, draws, out=np.zeros(draws.size), where=draws > 0)
    return tuple(sessions.names[code] for code in np.argsort(means, kind="stable"))


def _folded(name: str) -> str:
    return name.strip().casefold()
