"""Gather the columns of any file, a piece at a time, each as numbers, texts or moments.

A column is what all its values are: numbers until a text turns up that is none, and then the file
is read once more for that column alone, so that no digit of the earlier rows is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from steps.contract import Note

# Whole numbers above this are not all representable in float64.
EXACT_IN_FLOAT64 = 2.0**53
NO_MOMENT = np.iinfo(np.int64).min
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^(?i:[+-]?(nan|inf|infinity))$"
_MICROSECONDS = pa.timestamp("us")


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


def gather(
    source: Source, missing_values: Iterable[str], text_columns: frozenset[str]
) -> dict[str, RawColumn]:
    """Read a whole file; text_columns are kept as they are written. Columns in the file's order."""
    missing = pa.array(list(missing_values), pa.string())

    def read(only: frozenset[str] | None, texts: frozenset[str]) -> dict[str, _Builder]:
        builders: dict[str, _Builder] = {}
        for piece in source.pieces(only):
            builder = builders.get(piece.name)
            if builder is None:
                as_text = piece.name in texts
                builder = _Builder(as_text, missing, source.decimal_comma)
                builders[piece.name] = builder
            builder.add(piece)
        return builders

    builders = read(None, text_columns)
    n_rows = max((builder.n_rows for builder in builders.values()), default=0)
    again = frozenset(name for name, builder in builders.items() if builder.must_read_again)
    if again:
        builders.update(read(again, again))
    return {name: builders.pop(name).finish(n_rows) for name in list(builders)}


def parse_numbers(texts: Any, decimal_comma: bool) -> npt.NDArray[np.float64] | None:
    """Texts as float64 (nulls as NaN), or None if any of them is no number."""
    try:
        return _floats(pc.cast(texts, pa.float64()))
    except pa.ArrowInvalid:
        pass
    tidy = pc.utf8_trim_whitespace(texts)
    if decimal_comma:
        tidy = pc.replace_substring_regex(tidy, r"^([+-]?\d*),(\d+)$", r"\1.\2")
    try:
        return _floats(pc.cast(tidy, pa.float64()))
    except pa.ArrowInvalid:
        return None


def are_numbers(texts: Any, decimal_comma: bool) -> npt.NDArray[np.bool_]:
    """Which of these texts (no nulls) would be read as a number."""
    tidy = pc.utf8_trim_whitespace(texts)
    if decimal_comma:
        tidy = pc.replace_substring_regex(tidy, r"^([+-]?\d*),(\d+)$", r"\1.\2")
    return _plain(pc.match_substring_regex(tidy, _NUMBER)).astype(bool)


def first_row_of(texts: Texts, wanted: npt.NDArray[np.bool_]) -> tuple[int, str]:
    """The first row (from 1) whose text is one of the wanted distinct ones, and that text."""
    hit = np.zeros(len(wanted) + 1, bool)  # the extra place is code -1, missing
    hit[:-1] = wanted
    row = int(np.argmax(hit[texts.codes]))
    return row + 1, str(texts.distinct[int(texts.codes[row])])


@dataclass(slots=True)
class _Builder:
    """One column while it is being read. parts: arrays, and counts of missing values."""

    as_text: bool
    missing: Any
    decimal_comma: bool
    n_rows: int = 0
    parts: list[Any] = field(default_factory=list)
    form: type[RawColumn] | None = None
    bools: bool = True
    inexact: bool = False
    dtypes: set[str] = field(default_factory=set)
    big_integers: bool = False

    def add(self, piece: Piece) -> None:
        if piece.first_row > self.n_rows:
            self._add_missing(piece.first_row - self.n_rows)
        self.n_rows += len(piece.values)
        if self.inexact:
            return
        part = self._read(piece.values)
        if part is None:
            self.n_rows -= len(piece.values)
            self._add_missing(len(piece.values))
            return
        form = _form(part)
        if self.form is Texts and form is not Texts:
            part, form = _texts(piece.values, self.missing), Texts
        if self.form is not None and form is not self.form:
            self.inexact = True
        if self.inexact:
            self.parts.clear()
            return
        self.form = form
        if form is Numbers:
            self._watch(part)
        self.parts.append(part.dictionary_encode() if form is Texts else part)

    @property
    def must_read_again(self) -> bool:
        """Whether the values were written in a way that the numbers here do not keep."""
        return self.inexact or (self.big_integers and len(self.dtypes) > 1)

    def finish(self, n_rows: int) -> RawColumn:
        if n_rows > self.n_rows:
            self._add_missing(n_rows - self.n_rows)
        if self.form is Texts:
            return self._finish_texts()
        if self.form is Moments:
            return Moments(_joined(self.parts, lambda n: np.full(n, NO_MOMENT)))
        values = _joined(self.parts, lambda n: np.full(n, np.nan))
        bools = self.bools and self.form is Numbers
        return Numbers(values.astype(np.float64) if values.dtype == bool else values, bools)

    def _add_missing(self, count: int) -> None:
        self.n_rows += count
        self.dtypes.add("missing")
        if not self.inexact:
            self.parts.append(count)

    def _watch(self, part: npt.NDArray[Any]) -> None:
        self.dtypes.add(part.dtype.name)
        self.bools = self.bools and part.dtype == bool
        if part.dtype.kind in "iu" and part.dtype.itemsize == 8 and len(part):
            low, high = int(part.min()), int(part.max())
            self.big_integers |= low < -EXACT_IN_FLOAT64 or high > EXACT_IN_FLOAT64

    def _read(self, values: Any) -> Any:
        """A part: numbers (numpy), moments (numpy datetime64), texts (pyarrow), None: missing."""
        if self.as_text:
            texts = _texts(values, self.missing)
            return None if texts.null_count == len(texts) else texts
        if isinstance(values, np.ndarray):
            return values
        if values.null_count == len(values):
            return None
        kind = values.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._read_texts(values)
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            micro = pc.cast(values, pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
            whole = pc.fill_null(pc.cast(micro, pa.int64()), NO_MOMENT)
            return _plain(whole).view("datetime64[us]")
        if pa.types.is_boolean(kind) and values.null_count == 0:
            return _plain(values)
        if pa.types.is_integer(kind) and values.null_count == 0:
            return _plain(values)
        if pa.types.is_floating(kind):
            return _plain(values)
        return self._read_as_floats(values)

    def _read_texts(self, values: Any) -> Any:
        texts = _texts(values, self.missing)
        if texts.null_count == len(texts):
            return None
        numbers = parse_numbers(texts, self.decimal_comma)
        if numbers is None:
            return _without_padded_missing(texts, self.missing)
        with np.errstate(invalid="ignore"):
            if (np.abs(numbers) > EXACT_IN_FLOAT64).any():
                self.inexact |= bool((np.abs(numbers) < np.inf).any())
        return numbers

    def _read_as_floats(self, values: Any) -> npt.NDArray[np.float64]:
        """Integers or bools with nulls, decimals."""
        try:
            return _floats(pc.cast(values, pa.float64()))
        except pa.ArrowInvalid:  # whole numbers that float64 does not hold
            self.inexact = True
            return _floats(pc.cast(values, pa.float64(), safe=False))

    def _finish_texts(self) -> Texts:
        parts = [
            pa.nulls(part, pa.string()).dictionary_encode() if isinstance(part, int) else part
            for part in self.parts
        ]
        self.parts.clear()
        joined = pa.chunked_array(parts).unify_dictionaries()
        distinct = joined.chunk(0).dictionary
        codes = np.concatenate([_plain(pc.fill_null(c.indices, -1)) for c in joined.chunks])
        return Texts(codes.astype(np.int32, copy=False), distinct)


def _form(part: Any) -> type[RawColumn]:
    if not isinstance(part, np.ndarray):
        return Texts
    return Moments if part.dtype.kind == "M" else Numbers


def _joined(parts: list[Any], missing: Any) -> npt.NDArray[Any]:
    """One array; a single part is taken as it is, without a copy."""
    arrays = [missing(part) if isinstance(part, int) else part for part in parts]
    arrays = [a.view(np.int64) if a.dtype.kind == "M" else a for a in arrays]
    parts.clear()
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _texts(values: Any, missing: Any) -> Any:
    """Values as pyarrow strings with the missing ones null; whole floats without a fraction."""
    if isinstance(values, np.ndarray):
        values = pa.array(np.ascontiguousarray(values), from_pandas=True)
    if pa.types.is_floating(values.type):
        values = pc.cast(values, pa.float64())
        whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2.0**53))
        integers = pc.cast(pc.if_else(whole, values, None), pa.int64(), safe=False)
        texts = pc.coalesce(pc.cast(integers, pa.string()), pc.cast(values, pa.string()))
    else:
        texts = values if pa.types.is_string(values.type) else pc.cast(values, pa.string())
    if len(missing) == 0:
        return texts
    return pc.if_else(pc.is_in(texts, value_set=missing), pa.scalar(None, pa.string()), texts)


def _without_padded_missing(texts: Any, missing: Any) -> Any:
    """Texts where ' NA ' counts as missing too, the others untouched."""
    padded = pc.is_in(pc.utf8_trim_whitespace(texts), value_set=missing)
    return pc.if_else(padded, pa.scalar(None, pa.string()), texts)


def _plain(array: Any) -> npt.NDArray[Any]:
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _floats(array: Any) -> npt.NDArray[np.float64]:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)
