"""The cells of a column of draws as whole numbers; what cannot be read is named by row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.contract import Note
from steps.forensics.intake_columns import WHOLE, holds_several
from steps.prng.mappings import Draws
from steps.tables.columns import Moments, Numbers, RawColumn, Texts
from steps.tables.table import TableError, listed, shortened

Flags = npt.NDArray[np.bool_]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
_SEVERAL = (
    "; several numbers a row are not supported: give each ball a column of its own, and join "
    "digits that are one draw (4-7-0 as 470)"
)
_WORDS = ("true", "false")
_MOST_ROWS_NAMED = 5
# Far beyond any draw, and exact in int64 and float64.
_MOST = 1 << 50


@dataclass(frozen=True, slots=True, eq=False)
class ReadDraws:
    """values: int64 (n,) as the file has them, 0 where unread. unread: bool (n,)."""

    values: Draws
    unread: Flags
    notes: tuple[Note, ...]


def read_draws(file: str, column: str, raw: RawColumn) -> ReadDraws:
    """Draws of a column. Raises TableError naming row and value where one can be no draw.

    5, 5.0, "5" and "005" are the draw 5. A cell that is empty or no number is unread; true and
    false, fractions and several numbers in a cell are refused.
    """
    match raw:
        case Moments():
            raise _no_draws(file, column, "dates")
        case Numbers(bools=True):
            raise _no_draws(file, column, "true and false")
        case Numbers(values=values):
            draws, unread = _of_numbers(file, column, values)
        case Texts():
            draws, unread = _of_texts(file, column, raw)
    if unread.all():
        raise TableError(f"{file}: column {column!r} has no draw that can be read in any row")
    return ReadDraws(draws, unread, _notes(file, column, unread))


def named_rows(rows: Any) -> str:
    """Numbers of rows, from 1, for a message: the first few, and how many more."""
    return listed([int(row) + 1 for row in rows], _MOST_ROWS_NAMED)


def _of_numbers(file: str, column: str, values: npt.NDArray[Any]) -> tuple[Draws, Flags]:
    floats = values.astype(np.float64)
    unread = ~np.isfinite(floats)
    floats[unread] = 0
    if (fractions := floats != np.floor(floats)).any():
        row = int(np.argmax(fractions))
        raise _not_whole(file, column, row, f"{floats[row]:.15g}")
    if (beyond := np.abs(floats) > _MOST).any():
        row = int(np.argmax(beyond))
        raise _not_whole(file, column, row, f"{floats[row]:.15g}, more than any draw")
    return floats.astype(np.int64), unread


def _of_texts(file: str, column: str, raw: Texts) -> tuple[Draws, Flags]:
    texts = raw.distinct.to_pylist()
    # One place more for code -1, missing.
    draws = np.zeros(len(texts) + 1, np.int64)
    unread = np.ones(len(texts) + 1, np.bool_)
    refused = np.zeros(len(texts) + 1, np.bool_)
    for place, text in enumerate(texts):
        tidy = text.strip()
        if WHOLE.fullmatch(tidy):
            value = int(tidy.partition(".")[0])
            refused[place] = abs(value) > _MOST
            draws[place], unread[place] = (0 if refused[place] else value), False
        else:
            refused[place] = (
                tidy.casefold() in _WORDS
                or _NUMBER.fullmatch(tidy) is not None
                or holds_several(tidy)
            )
    if (hit := refused[raw.codes]).any():
        row = int(np.argmax(hit))
        text = texts[raw.codes[row]]
        why = _SEVERAL if holds_several(text) else ""
        why = why if unread[raw.codes[row]] else ", more than any draw"
        raise _not_whole(file, column, row, f"{shortened(text)}{why}")
    rows = unread[raw.codes]
    there = raw.codes >= 0
    if np.count_nonzero(rows & there) * 2 > np.count_nonzero(there):
        row = int(np.argmax(rows & there))
        raise TableError(
            f"{file}: column {column!r} is no column of draws: most of its cells are no whole "
            f"numbers, such as {shortened(texts[raw.codes[row]])} in row {row + 1}"
        )
    return draws[raw.codes], rows


def _no_draws(file: str, column: str, got: str) -> TableError:
    return TableError(f"{file}: column {column!r}: draws must be whole numbers, got {got}")


def _not_whole(file: str, column: str, row: int, got: str) -> TableError:
    return TableError(
        f"{file}: column {column!r}, row {row + 1}: a draw must be one whole number, got {got}"
    )


def _notes(file: str, column: str, unread: Flags) -> tuple[Note, ...]:
    rows = np.flatnonzero(unread)
    if not rows.size:
        return ()
    return (
        Note(
            level="warning",
            code="unread_draws",
            message=f"{file}: column {column!r}: draws that are missing or no number keep their "
            f"place and count as unknown: {rows.size}, in rows {named_rows(rows)}",
        ),
    )
