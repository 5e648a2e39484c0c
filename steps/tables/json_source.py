"""JSON records, streamed: a list of flat records, survivors, or one record a line.

Python's own decoder takes one record at a time from a sliding buffer, because files written by
Python hold NaN and Infinity, which stricter parsers refuse.
"""

from __future__ import annotations

import codecs
import gzip
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from steps.contract import Note
from steps.tables.bridge import arrow_numbers, arrow_texts
from steps.tables.columns import Piece
from steps.tables.csv_source import is_gzip
from steps.tables.table import TableError, listed, shortened

Record = dict[str, Any]

_READ_BYTES = 1 << 20
# Half a record is told from a broken one by reading on, but not for ever.
_MOST_RECORD_CHARS = 1 << 26
_ROWS_A_PIECE = 500
_SPACE = re.compile(r"[ \t\r\n]*")
_INT64 = range(-(2**63), 2**63)


class _KeyTwiceError(ValueError):
    """An object holds a key twice; the argument is the key."""


class JsonSource:
    """A JSON file; see steps.tables.columns.Source. Raises TableError naming row and key."""

    default_target = "holdout_hits"
    decimal_comma = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[Note] = []
        first = next(self._records(), None)
        if first is None:
            raise TableError(f"{path.name}: it holds no records")
        self._survivors = isinstance(first.get("features"), dict)
        self.default_ids: tuple[str, ...] = ("seed",) if self._survivors else ()

    def pieces(self, only: frozenset[str] | None) -> Iterator[Piece]:
        """Columns in the order in which their keys turn up, in blocks of rows."""
        names: Counter[str] = Counter()
        self.notes.clear()
        first_row = 0
        rows: list[Record] = []
        for record in self._records():
            rows.append(self._flat(record, first_row + len(rows) + 1))
            if len(rows) == _ROWS_A_PIECE:
                yield from self._pieces(rows, first_row, names, only)
                first_row += len(rows)
                rows = []
        yield from self._pieces(rows, first_row, names, only)
        self._note_ragged(names, first_row + len(rows))

    def _pieces(
        self, rows: list[Record], first_row: int, names: Counter[str], only: frozenset[str] | None
    ) -> Iterator[Piece]:
        n_known = len(names)
        names.update(chain.from_iterable(rows))
        if not rows:
            return
        for name in list(names)[n_known:]:
            self._check_name(name, rows, first_row)
        keys = list(rows[0])
        if all(list(row) == keys for row in rows):
            columns = dict(
                zip(keys, zip(*(row.values() for row in rows), strict=True), strict=True)
            )
        else:
            columns = {name: tuple(row.get(name) for row in rows) for name in names}
        for name, values in columns.items():
            if only is None or name in only:
                yield Piece(name, first_row, self._column(values, name, first_row))

    def _column(self, values: Sequence[Any], name: str, first_row: int) -> Any:
        """Values of one key as an array: numbers, bools or texts, null where there is none."""
        kinds = set(map(type, values))
        if kinds <= {float}:
            return np.array(values)
        if kinds <= {int} and all(value in _INT64 for value in values):
            return np.array(values, np.int64)
        if kinds <= {bool, type(None)}:
            return _bools(values)
        if kinds <= {int, float, type(None)} and _are_exact(values):
            return np.array([math.nan if v is None else v for v in values], np.float64)
        for place, value in enumerate(values):
            if isinstance(value, dict | list):
                raise TableError(
                    f"{self.path.name}: row {first_row + place + 1}, key {name!r} holds a nested "
                    f"value {shortened(json.dumps(value))}; wanted a number, a text, true, false "
                    "or null"
                )
        texts = [_text(value) for value in values]
        try:
            return arrow_texts(texts)
        except UnicodeEncodeError as error:
            raise TableError(
                f"{self.path.name}: row {first_row + texts.index(error.object) + 1}, key {name!r} "
                f"holds half a character (a lone surrogate) {_near(error)}; wanted text that UTF-8 "
                "can hold; correct it"
            ) from None

    def _check_name(self, name: str, rows: list[Record], first_row: int) -> None:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            row = first_row + next(place for place, row in enumerate(rows, 1) if name in row)
            raise TableError(
                f"{self.path.name}: row {row} has a key with half a character (a lone surrogate) "
                f"{_near(error)}; wanted text that UTF-8 can hold; rename the key"
            ) from None

    def _flat(self, record: Record, row: int) -> Record:
        if not self._survivors:
            return record
        features = record.get("features")
        if not isinstance(features, dict):
            raise TableError(
                f"{self.path.name}: row {row} has no object under the key 'features', which the "
                "first row has"
            )
        flat = {name: value for name, value in record.items() if name != "features"}
        for name in features:
            if name in flat:
                raise TableError(
                    f"{self.path.name}: row {row} has the key {name!r} twice, beside and inside "
                    "'features'; rename one"
                )
        return {**flat, **features}

    def _note_ragged(self, names: Counter[str], n_rows: int) -> None:
        short = [f"{name} ({n_rows - count})" for name, count in names.items() if count < n_rows]
        if short:
            self.notes.append(
                Note(
                    level="warning",
                    code="ragged_records",
                    message=f"{self.path.name}: not every record has every key; rows without, "
                    f"taken as missing: {listed(short)}",
                )
            )

    def _records(self) -> Iterator[Record]:
        """Every record of the file in order."""
        decode = json.JSONDecoder(object_pairs_hook=_unique).raw_decode
        chunks = self._chunks()
        buffer = next(chunks, "").lstrip()
        in_list = buffer.startswith("[")
        at, row = int(in_list), 0
        ended = False
        while True:
            at = _skip_space(buffer, at)
            if at >= len(buffer):
                more = next(chunks, None)
                if more is None:
                    break
                buffer, at = more, 0
                continue
            if in_list and not ended and (buffer[at] == "]" or (row and buffer[at] == ",")):
                ended = buffer[at] == "]"
                at += 1
                continue
            if ended or buffer[at] != "{":
                raise self._not_a_record(buffer, at, row, ended)
            try:
                record, at = decode(buffer, at)
            except json.JSONDecodeError as error:
                buffer, at = self._longer(buffer[at:], chunks, error, row, at), 0
                continue
            except _KeyTwiceError as error:
                raise TableError(
                    f"{self.path.name}: row {row + 1} has the key {error.args[0]!r} twice; rename "
                    "or remove one"
                ) from None
            except RecursionError:
                raise TableError(f"{self.path.name}: row {row + 1} is nested too deeply") from None
            row += 1
            yield record
        if in_list and not ended:
            raise TableError(
                f"{self.path.name}: the list is cut off after row {row}: it has no closing ]; "
                "write the file again"
            )

    def _longer(
        self, rest: str, chunks: Iterator[str], error: json.JSONDecodeError, row: int, at: int
    ) -> str:
        """The unfinished record with more text behind it; raises if it is broken, not unfinished.

        The text doubles each time, so that a long record costs no more than reading it twice.
        """
        place = error.pos - at
        unfinished = place > len(rest) - 16 or "Unterminated" in error.msg
        parts = [rest]
        length = len(rest)
        if unfinished and length < _MOST_RECORD_CHARS:
            for chunk in chunks:
                parts.append(chunk)
                length += len(chunk)
                if length >= 2 * len(rest):
                    return "".join(parts)
        if unfinished and len(parts) > 1:
            return "".join(parts)
        cut_off = "is cut off" if unfinished else "is not valid JSON"
        raise TableError(
            f"{self.path.name}: row {row + 1} {cut_off} ({error.msg}) at "
            f"{shortened(rest[max(place - 20, 0) : place + 20])}; write the file again"
        ) from None

    def _not_a_record(self, buffer: str, at: int, row: int, ended: bool) -> TableError:
        found = shortened(buffer[at : at + 40])
        if ended:
            return TableError(f"{self.path.name}: after the closing ] stands {found}")
        return TableError(
            f"{self.path.name}: row {row + 1} is no record: wanted an object {{...}} in a list "
            f"[...] or on a line of its own, got {found}"
        )

    def _chunks(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        offset = 0
        try:
            with gzip.open(self.path) if is_gzip(self.path) else self.path.open("rb") as file:
                while chunk := file.read(_READ_BYTES):
                    yield decoder.decode(chunk)
                    offset += len(chunk)
                yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise TableError(
                f"{self.path.name}: not UTF-8 near byte {offset + error.start}; save it as UTF-8"
            ) from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TableError(f"{self.path.name}: the gzip data is damaged: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> Record:
    """An object whose keys are all different; else the last of two values would win unseen."""
    record = dict(pairs)
    if len(record) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise _KeyTwiceError(counts.most_common(1)[0][0])
    return record


def _near(error: UnicodeEncodeError) -> str:
    """The text around the fault, for a message."""
    return shortened(error.object[max(error.start - 20, 0) : error.start + 20])


def _skip_space(buffer: str, at: int) -> int:
    match = _SPACE.match(buffer, at)
    return match.end() if match else at


def _bools(values: Sequence[bool | None]) -> Any:
    missing = np.array([value is None for value in values], bool)
    return pc.cast(arrow_numbers(np.array(values, bool).view(np.uint8), missing), pa.bool_())


def _are_exact(values: Sequence[Any]) -> bool:
    """Whether float64 holds every whole number among the values."""
    return all(not isinstance(value, int) or abs(value) <= 2**53 for value in values)


def _text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case float() if math.isnan(value):
            return None
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case _:
            return str(value)
