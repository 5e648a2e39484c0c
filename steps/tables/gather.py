"""Gather the columns of any file, a piece at a time, each as numbers, texts or moments.

A column is what all its values are: numbers until a text turns up that is none, and then the file
is read once more for that column alone, so that no digit of the earlier rows is lost.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from steps.tables.bridge import (
    arrow_numbers,
    arrow_texts,
    missing_in,
    numpy_floats,
    numpy_values,
    without,
)
from steps.tables.columns import (
    EXACT_IN_FLOAT64,
    NO_MOMENT,
    Moments,
    Numbers,
    Piece,
    RawColumn,
    Source,
    Texts,
    parse_numbers,
)

_CHUNK_ROWS = 1 << 14
_MOST_CHUNK_ROWS = 1 << 20


def gather(
    source: Source, missing_values: Iterable[str], text_columns: frozenset[str]
) -> dict[str, RawColumn]:
    """Read a whole file; text_columns are kept as they are written. Columns in the file's order."""
    missing = arrow_texts(list(missing_values))

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


@dataclass(slots=True)
class _Builder:
    """One column while it is being read. parts: arrays, and counts of missing values."""

    as_text: bool
    missing: Any
    decimal_comma: bool
    n_rows: int = 0
    parts: list[Any] = field(default_factory=list)
    form: type[RawColumn] | None = None
    bools: bool = False
    inexact: bool = False
    chunk: npt.NDArray[Any] | None = None
    filled: int = 0
    dtypes: set[str] = field(default_factory=set)
    big_integers: bool = False

    def add(self, piece: Piece) -> None:
        if piece.first_row > self.n_rows:
            self._add_missing(piece.first_row - self.n_rows)
        part = None if self.inexact else self._read(piece.values)
        if part is None:
            self._add_missing(len(piece.values))
            return
        self.n_rows += len(piece.values)
        form = _form(part)
        if self.form is Texts and form is not Texts:
            part, form = _texts(piece.values, self.missing), Texts
        bools = form is Numbers and _are_bools(piece.values)
        if self.form is not None and (form is not self.form or bools != self.bools):
            self.inexact = True
        if self.inexact:
            self.parts.clear()
            self.chunk = None
            return
        self.form, self.bools = form, bools
        if form is Numbers:
            self._watch(part)
            self._append(part, borrowed=not isinstance(piece.values, np.ndarray))
        else:
            self.parts.append(part.dictionary_encode() if form is Texts else part)

    @property
    def must_read_again(self) -> bool:
        """Whether the values were written in a way that the numbers here do not keep."""
        return self.inexact or (self.big_integers and len(self.dtypes) > 1)

    def finish(self, n_rows: int) -> RawColumn:
        if n_rows > self.n_rows:
            self._add_missing(n_rows - self.n_rows)
        self._close_chunk()
        if self.form is Texts:
            return self._finish_texts()
        if self.form is Moments:
            return Moments(_joined(self.parts, lambda n: np.full(n, NO_MOMENT)))
        values = _joined(self.parts, lambda n: np.full(n, np.nan))
        return Numbers(values.astype(np.float64) if values.dtype == bool else values, self.bools)

    def _add_missing(self, count: int) -> None:
        self.n_rows += count
        self.dtypes.add("missing")
        if self.inexact:
            return
        if self.chunk is not None and self.chunk.dtype == np.float64:
            self._fill(np.full(count, np.nan))
            return
        self._close_chunk()
        self.parts.append(count)

    def _append(self, part: npt.NDArray[Any], *, borrowed: bool) -> None:
        """Keep numbers. Parts that a reader made are copied together: thousands of them, held
        between its short-lived buffers, would pin several times their own memory."""
        if not borrowed and len(part) >= _CHUNK_ROWS:
            self._close_chunk()
            self.parts.append(part)
            return
        if part.dtype.kind in "biu" and len(self.dtypes) > 1 and not self.big_integers:
            part = part.astype(np.float64)  # what the column will be in the end
        if self.chunk is not None and self.chunk.dtype != part.dtype:
            self._close_chunk()
        self._fill(part)

    def _fill(self, part: npt.NDArray[Any]) -> None:
        while len(part):
            if self.chunk is None:
                rows = min(max(_CHUNK_ROWS, self.n_rows), _MOST_CHUNK_ROWS)
                self.chunk = _fresh_memory(rows, part.dtype)
            room = self.chunk[self.filled : self.filled + len(part)]
            room[:] = part[: len(room)]
            self.filled += len(room)
            part = part[len(room) :]
            if self.filled == len(self.chunk):
                self._close_chunk()

    def _close_chunk(self) -> None:
        if self.chunk is not None:
            self.parts.append(self.chunk[: self.filled])
        self.chunk, self.filled = None, 0

    def _watch(self, part: npt.NDArray[Any]) -> None:
        self.dtypes.add(part.dtype.name)
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
            moments = numpy_values(micro).copy()
            missing = missing_in(micro)
            moments[slice(0) if missing is None else missing] = NO_MOMENT
            return moments.view("datetime64[us]")
        if pa.types.is_floating(kind):
            return numpy_floats(values)
        if values.null_count == 0 and (pa.types.is_boolean(kind) or pa.types.is_integer(kind)):
            return numpy_values(values)
        return self._read_as_floats(values)

    def _read_texts(self, values: Any) -> Any:
        texts = _texts(values, self.missing)
        if texts.null_count == len(texts):
            return None
        numbers = parse_numbers(texts, self.decimal_comma)
        if numbers is None:
            texts = _without_padded_missing(texts, self.missing)
            numbers = parse_numbers(texts, self.decimal_comma)
        if numbers is None:
            return texts
        with np.errstate(invalid="ignore"):
            if (np.abs(numbers) > EXACT_IN_FLOAT64).any():
                self.inexact |= bool((np.abs(numbers) < np.inf).any())
        return numbers

    def _read_as_floats(self, values: Any) -> npt.NDArray[np.float64]:
        """Integers or bools with nulls, decimals."""
        try:
            return numpy_floats(pc.cast(values, pa.float64()))
        except pa.ArrowInvalid:  # whole numbers that float64 does not hold
            self.inexact = True
            return numpy_floats(pc.cast(values, pa.float64(), safe=False))

    def _finish_texts(self) -> Texts:
        parts = [
            pa.nulls(part, pa.string()).dictionary_encode() if isinstance(part, int) else part
            for part in self.parts
        ]
        self.parts.clear()
        joined = pa.chunked_array(parts).unify_dictionaries()
        codes = np.empty(len(joined), np.int32)
        at = 0
        for chunk in joined.chunks:
            place = codes[at : at + len(chunk)]
            place[:] = numpy_values(chunk.indices)
            missing = missing_in(chunk.indices)
            place[slice(0) if missing is None else missing] = -1
            at += len(chunk)
        return Texts(codes, joined.chunk(0).dictionary)


def _fresh_memory(rows: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array straight from the system: what is not filled costs nothing, and letting it go
    gives it back at once, which malloc does not promise."""
    kind = np.dtype(dtype)
    return np.frombuffer(mmap.mmap(-1, rows * kind.itemsize), kind)


def _are_bools(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return bool(values.dtype == bool)
    return bool(pa.types.is_boolean(values.type))


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
        values = _arrow(values)
    if pa.types.is_floating(values.type):
        values = pc.cast(values, pa.float64())
        floats = numpy_floats(values)
        with np.errstate(invalid="ignore"):
            whole = (floats == np.floor(floats)) & (np.abs(floats) <= EXACT_IN_FLOAT64)
        integers = np.where(whole, floats, 0).astype(np.int64)
        as_integers = pc.cast(arrow_numbers(integers, ~whole), pa.string())
        texts = pc.coalesce(as_integers, pc.cast(values, pa.string()))
    else:
        texts = values if pa.types.is_string(values.type) else pc.cast(values, pa.string())
    return without(texts, pc.is_in(texts, value_set=missing)) if len(missing) else texts


def _without_padded_missing(texts: Any, missing: Any) -> Any:
    """Texts where ' NA ' counts as missing too, the others untouched."""
    return without(texts, pc.is_in(pc.utf8_trim_whitespace(texts), value_set=missing))


def _arrow(values: npt.NDArray[Any]) -> Any:
    if values.dtype == bool:
        return pc.cast(arrow_numbers(values.view(np.uint8)), pa.bool_())
    if values.dtype.kind != "f":
        return arrow_numbers(values)
    values = values.astype(np.float64)
    return arrow_numbers(values, np.isnan(values))
