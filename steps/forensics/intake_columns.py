"""Which columns of a file are its draws, its dates and its sessions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from steps.contract import Note
from steps.tables.columns import Moments, Numbers, RawColumn, Texts
from steps.tables.dates import are_dates
from steps.tables.table import TableError, listed, nearest

_DRAW_NAME = "draw"
_DATE_NAMES = ("date", "draw_date", "draw date", "drawdate", "datetime", "timestamp", "drawn_at")
_SESSION_NAMES = ("session", "draw_session", "draw session", "draw_time", "draw time")
# A column is what this share of its values is; the other ones are then named by row.
_MOST = 0.9
# 5, 005 and 5.0.
WHOLE = re.compile(r"[+-]?[0-9]+(?:\.0*)?")
_SEVERAL = re.compile(r"[0-9]+(?:\s*[-|,;:/ ]\s*[0-9]+)+")


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of columns; None where the file has none of that kind."""

    draw: str
    date: str | None
    session: str | None
    notes: tuple[Note, ...]


def roles_of(
    file: str,
    columns: Mapping[str, RawColumn],
    *,
    draw: str | None,
    date: str | None,
    session: str | None,
) -> Roles:
    """What each column is. None: work it out; "": there is none. Raises TableError."""
    date_name = _date_column(file, columns, date)
    session_name = _session_column(file, columns, session)
    taken = [name for name in (date_name, session_name) if name is not None]
    draw_name = _draw_column(file, columns, draw, taken)
    used = {draw_name, *taken}
    if len(used) <= len(taken):
        raise TableError(
            f"{file}: draws, dates and sessions must be columns of their own, got draws from "
            f"{draw_name!r}, dates from {date_name!r} and sessions from {session_name!r}"
        )
    notes = _notes(file, columns, used, date_name)
    if draw is None and draw_name.casefold() != _DRAW_NAME:
        notes.insert(
            0,
            Note(
                level="info",
                code="draw_column",
                message=f"{file}: draws are taken from {draw_name!r}, the only column of whole "
                "numbers; draw_column names another one",
            ),
        )
    return Roles(draw_name, date_name, session_name, tuple(notes))


def holds_several(text: str) -> bool:
    """Whether a text is several numbers, such as 18|30|40 or 4-7-0."""
    return _SEVERAL.fullmatch(text.strip()) is not None


def _date_column(file: str, columns: Mapping[str, RawColumn], asked: str | None) -> str | None:
    if asked is not None:
        return _named(file, columns, "date_column", asked)
    if known := _known(columns, _DATE_NAMES):
        return known
    dates = [name for name, raw in columns.items() if _holds_dates(raw)]
    if len(dates) > 1:
        raise TableError(
            f"{file}: the columns {listed(dates)} all hold dates; name the one that says when a "
            'draw was made as date_column, or "" for none'
        )
    return dates[0] if dates else None


def _session_column(file: str, columns: Mapping[str, RawColumn], asked: str | None) -> str | None:
    if asked is not None:
        return _named(file, columns, "session_column", asked)
    return _known(columns, _SESSION_NAMES)


def _draw_column(
    file: str, columns: Mapping[str, RawColumn], asked: str | None, taken: Collection[str]
) -> str:
    if asked is not None:
        name = _named(file, columns, "draw_column", asked)
        if name is None:
            raise TableError(f"{file}: draw_column must name a column, got an empty text")
        return name
    if known := _known(columns, (_DRAW_NAME,)):
        return known
    whole = [name for name, raw in columns.items() if name not in taken and _holds_draws(raw)]
    if len(whole) == 1:
        return whole[0]
    there = f"the file has {listed(list(columns))}"
    if whole:
        raise TableError(
            f"{file}: there is no column {_DRAW_NAME!r}, and {listed(whole)} all hold whole "
            f"numbers; name the one with the draws as draw_column; {there}"
        )
    several = [name for name, raw in columns.items() if _holds_several(raw)]
    hint = f" ({listed(several)}: several numbers a row are no draw)" if several else ""
    raise TableError(
        f"{file}: there is no column {_DRAW_NAME!r}, and none that holds whole numbers{hint}; "
        f"{there}"
    )


def _named(file: str, columns: Collection[str], key: str, asked: str) -> str | None:
    if asked == "":
        return None
    if asked not in columns:
        raise TableError(f"{file}: {key}: there is no column {asked!r}; {nearest(asked, columns)}")
    return asked


def _known(columns: Collection[str], names: tuple[str, ...]) -> str | None:
    """The column that has one of these names, in whatever case."""
    folded: dict[str, str] = {}
    for column in columns:
        folded.setdefault(column.casefold(), column)
    found = (folded[name] for name in names if name in folded)
    return next((name for name in names if name in columns), None) or next(found, None)


def _holds_dates(raw: RawColumn) -> bool:
    match raw:
        case Moments():
            return True
        case Texts(distinct=distinct):
            counts = _counts(raw)
            return _is_most(are_dates(distinct, counts), counts)
        case Numbers():
            return False


def _holds_draws(raw: RawColumn) -> bool:
    match raw:
        case Numbers(bools=True) | Moments():
            return False
        case Numbers(values=values):
            there = values[np.isfinite(values)]
            return bool(there.size and (there == np.floor(there)).all())
        case Texts():
            return _mostly(raw, WHOLE)


def _holds_several(raw: RawColumn) -> bool:
    return isinstance(raw, Texts) and _mostly(raw, _SEVERAL)


def _mostly(raw: Texts, pattern: re.Pattern[str]) -> bool:
    texts = raw.distinct.to_pylist()
    matches = np.array([pattern.fullmatch(text.strip()) is not None for text in texts], bool)
    return _is_most(matches, _counts(raw))


def _is_most(matches: Any, counts: Any) -> bool:
    return bool(counts.sum() and counts[matches].sum() >= _MOST * counts.sum())


def _counts(raw: Texts) -> Any:
    """In how many rows each distinct text stands, int64."""
    return np.bincount(raw.codes[raw.codes >= 0], minlength=len(raw.distinct)).astype(np.int64)


def _notes(
    file: str, columns: Mapping[str, RawColumn], used: set[str], date: str | None
) -> list[Note]:
    notes = []
    several = [name for name, raw in columns.items() if name not in used and _holds_several(raw)]
    if several:
        notes.append(
            Note(
                level="warning",
                code="several_numbers",
                message=f"{file}: several numbers a row are set aside, since the order in which "
                f"they were drawn is not known: {listed(several)}",
            )
        )
    if unused := [name for name in columns if name not in used and name not in several]:
        notes.append(
            Note(
                level="info",
                code="unused_columns",
                message=f"{file}: columns that are neither draws, dates nor sessions, not used: "
                f"{listed(unused)}",
            )
        )
    if date is None:
        notes.append(
            Note(
                level="info",
                code="no_dates",
                message=f"{file}: no column of dates is used: draws count as made in the order of "
                "the file, the oldest first; date_column names one",
            )
        )
    return notes
