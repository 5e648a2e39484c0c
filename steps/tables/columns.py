"""A column before anyone knows what it means: numbers, texts or moments, and where from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from steps.contract import Note
from steps.tables.bridge import (
    numpy_floats,
    numpy_values,
)

# Whole numbers above this are not all representable in float64.
EXACT_IN_FLOAT64 = 2.0**53
NO_MOMENT = np.iinfo(np.int64).min
# What people and spreadsheets write around numbers: what it is called, where it stands, the rest.
_MARKS = (
    ("a currency sign", r"^\s*([+-]?)\s*[$€£¥]\s*|\s*[$€£¥]\s*$", r"\1"),
    ("a percent sign", r"\s*%\s*$", ""),
)
_NUMBER_LIKE = r"^[-+\d\s.,'$€£¥%eE]*\d[-+\d\s.,'$€£¥%eE]*$"
_THOUSANDS = r"^[+-]?\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^(?i:[+-]?(nan|inf|infinity))$"


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some values of one column in row order; first_row counts from 0.

    values: a pyarrow array, or a numpy array of numbers or bools where NaN is missing.
    """

    name: str
    first_row: int
    values: Any


class Source(Protocol):
    """A file that can be read, more than once, as pieces of columns.

    notes: what a person should know about the file's form; complete once pieces has run.
    default_target, default_ids: roles that the format itself gives. decimal_comma: the file may
    write 3,14.
    """

    path: Path
    notes: list[Note]
    default_target: str
    default_ids: tuple[str, ...]
    decimal_comma: bool

    def pieces(self, only: frozenset[str] | None) -> Iterator[Piece]:
        """All columns, or only those named; the pieces of a column come in row order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """values: float or integer (n_rows,), NaN = missing. bools: the source had true and false."""

    values: npt.NDArray[Any]
    bools: bool = False

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """codes: int32 (n_rows,), a position in `distinct` or -1 for missing. distinct: pyarrow."""

    codes: npt.NDArray[np.int32]
    distinct: Any

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """microseconds: int64 (n_rows,) since 1970 (UTC if the source knew its zone), or NO_MOMENT."""

    microseconds: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.microseconds)


RawColumn = Numbers | Texts | Moments


def parse_numbers(texts: Any, decimal_comma: bool) -> npt.NDArray[np.float64] | None:
    """Texts as float64 (nulls as NaN), or None if any of them is no number."""
    try:
        return numpy_floats(pc.cast(texts, pa.float64()))
    except pa.ArrowInvalid:
        pass
    tidy = pc.utf8_trim_whitespace(texts)
    if decimal_comma:
        tidy = pc.replace_substring_regex(tidy, r"^([+-]?\d*),(\d+)$", r"\1.\2")
    try:
        return numpy_floats(pc.cast(tidy, pa.float64()))
    except pa.ArrowInvalid:
        return None


def are_numbers(texts: Any, decimal_comma: bool) -> npt.NDArray[np.bool_]:
    """Which of these texts (no nulls) would be read as a number."""
    tidy = pc.utf8_trim_whitespace(texts)
    if decimal_comma:
        tidy = pc.replace_substring_regex(tidy, r"^([+-]?\d*),(\d+)$", r"\1.\2")
    return numpy_values(pc.match_substring_regex(tidy, _NUMBER))


def are_number_like(texts: Any) -> npt.NDArray[np.bool_]:
    """Which of these texts (no nulls) hold only what numbers and marks such as $ do; cheap."""
    return numpy_values(pc.match_substring_regex(texts, _NUMBER_LIKE))


def are_marked_numbers(
    texts: Any, decimal_comma: bool
) -> tuple[npt.NDArray[np.bool_], list[tuple[str, npt.NDArray[np.bool_]]]]:
    """Which texts (no nulls) are numbers but for marks such as $, and which have which mark."""
    marks = []
    bare = pc.utf8_trim_whitespace(texts)
    for mark, pattern, rest in _MARKS:
        marks.append((mark, numpy_values(pc.match_substring_regex(bare, pattern))))
        bare = pc.replace_substring_regex(bare, pattern, rest)
    grouped = pc.match_substring_regex(bare, _THOUSANDS)
    marks.append(("marks between thousands", numpy_values(grouped)))
    bare = pc.if_else(grouped, pc.replace_substring_regex(bare, "[,' ]", ""), bare)
    return are_numbers(bare, decimal_comma), marks


def first_row_of(texts: Texts, wanted: npt.NDArray[np.bool_]) -> tuple[int, str]:
    """The first row (from 1) whose text is one of the wanted distinct ones, and that text."""
    hit = np.zeros(len(wanted) + 1, bool)  # the extra place is code -1, missing
    hit[:-1] = wanted
    row = int(np.argmax(hit[texts.codes]))
    return row + 1, str(texts.distinct[int(texts.codes[row])])
