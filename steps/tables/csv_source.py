"""CSV as it is found in the world: any of four delimiters, quotes, gzip; no row lost or bent.

The file is cut into pieces of whole rows here and parsed by pyarrow, a piece at a time. (pyarrow's
own streaming reader holds 32 blocks at once, which is more than the whole table should take.)
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pv

from steps.contract import Note
from steps.tables.columns import Piece
from steps.tables.table import TableError, listed, shortened

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_READ_BYTES = 1 << 20
# Half a row is told from a quote that is never closed by reading on, but not for ever.
_MOST_ROW_BYTES = 1 << 26
_UTF8_BOM = b"\xef\xbb\xbf"
_BLANK_LINES = re.compile(rb"(?: *[\r\n])+")


class CsvSource:
    """A CSV file; see steps.tables.columns.Source. Raises TableError for a file that is not one."""

    default_target = "holdout_hits"
    default_ids: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[Note] = []
        self._gzipped = is_gzip(path)
        head = self._head()
        self._newline = b"\n" if b"\n" in head else b"\r"
        blank = _BLANK_LINES.match(head)
        begin = blank.end() if blank else 0
        end = _row_end(head, self._newline, begin)
        header = self._decoded_header(head[begin:end])
        # Where the first row of data starts in the decompressed text, and after how many lines.
        self._start = end + 1 + (len(_UTF8_BOM) if self._has_bom else 0)
        self._lines = head.count(self._newline, 0, end) + 1
        if skipped := head.count(self._newline, 0, begin):
            message = f"{path.name}: blank lines before the header, left out: {skipped}"
            self._note("blank_lines", message)
        self._delimiter = _sniffed(header)
        self._quoted = re.compile(
            rb'(?<![^\r\n%s])"(?:[^"]|"")*(?:"|\Z)' % re.escape(self._delimiter.encode())
        )
        self.decimal_comma = self._delimiter == ";"
        if self._delimiter != ",":
            name = _DELIMITERS[self._delimiter]
            comma = "; 3,14 is read as 3.14" if self.decimal_comma else ""
            self._note("delimiter", f"{path.name}: columns are separated by {name}{comma}")
        self._names = self._checked_names(header)

    def pieces(self, only: frozenset[str] | None) -> Iterator[Piece]:
        """Every value as text, in blocks of rows."""
        names = [name for name in self._names if only is None or name in only]
        done = _Done(rows=0, lines=self._lines, text_bytes=self._start)
        for block in self._blocks(done):
            table = self._parsed(block, names, done)
            for name in names if table.num_rows else ():
                for chunk in table.column(name).chunks:
                    yield Piece(name, done.rows, chunk)
            done.add(block, table.num_rows, self._newline)
        if done.rows == 0:
            raise TableError(f"{self.path.name}: it has a header and no rows")

    def _blocks(self, done: _Done) -> Iterator[bytes]:
        """The bytes after the header in blocks of whole rows."""
        rest = b""
        wanted = _READ_BYTES
        try:
            with self._open() as file:
                file.seek(self._start)
                while chunk := file.read(wanted):
                    block = rest + chunk
                    end = self._last_row_end(block, done)
                    if end == 0:
                        self._refuse_endless(block, done)
                        rest, wanted = block, len(block)  # doubled each time
                        continue
                    yield block[:end]
                    rest, wanted = block[end:], _READ_BYTES
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._damaged(error) from None
        if rest:
            if rest.count(b'"') % 2:
                self._last_row_end(rest + self._newline, done, at_end=True)
            yield rest

    def _last_row_end(self, block: bytes, done: _Done, *, at_end: bool = False) -> int:
        """Where the last whole row of a block ends, 0 if none does.

        A newline inside quotes ends no row; an even number of quotes before it says it is outside.
        """
        end = block.rfind(self._newline) + 1
        if end == 0 or block.count(b'"', 0, end) % 2 == 0:
            return end
        end = last = 0
        for match in self._quoted.finditer(block):
            end = block.rfind(self._newline, last, match.start()) + 1 or end
            last = match.end()
            closed = last < len(block)
            if last == len(block) and not at_end:
                return end
            if not closed or block[last : last + 1] not in (b"\r", b"\n", self._delimiter.encode()):
                raise self._open_quote(block, match.start(), done)
        return block.rfind(self._newline, last) + 1 or end

    def _parsed(self, block: bytes, names: list[str], done: _Done) -> Any:
        ragged: list[Any] = []

        def refuse(row: Any) -> str:
            ragged.append(row)
            return "error"

        try:
            return pv.read_csv(
                pa.BufferReader(block),
                read_options=pv.ReadOptions(
                    use_threads=False, block_size=len(block) + 1, column_names=self._names
                ),
                parse_options=pv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=refuse,
                ),
                convert_options=pv.ConvertOptions(
                    column_types={name: pa.string() for name in self._names},
                    include_columns=names,
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            name = self.path.name
            if ragged:
                row = ragged[0]
                raise TableError(
                    f"{name}: row {done.rows + row.number} has {row.actual_columns} values, the "
                    f"header has {row.expected_columns}: {shortened(row.text, 120)}; mend the row, "
                    "or put quotes around values that hold the delimiter and close them"
                ) from None
            if not block.strip():
                return pa.table({name: pa.nulls(0, pa.string()) for name in names})
            self._refuse_bad_bytes(block, done)
            raise TableError(f"{name}: after row {done.rows}: not CSV: {error}") from None

    def _refuse_bad_bytes(self, block: bytes, done: _Done) -> None:
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            line = done.lines + block.count(self._newline, 0, error.start) + 1
            near = block[max(error.start - 10, 0) : error.start + 10]
            raise TableError(
                f"{self.path.name}: line {line}, byte {done.text_bytes + error.start}, is not "
                f"UTF-8: {near!r}; save the file as UTF-8"
            ) from None

    def _refuse_endless(self, block: bytes, done: _Done) -> None:
        if len(block) > _MOST_ROW_BYTES:
            raise TableError(
                f"{self.path.name}: row {done.rows + 1} is longer than {_MOST_ROW_BYTES >> 20} MB; "
                "a quote in it may never be closed"
            )

    def _open_quote(self, block: bytes, at: int, done: _Done) -> TableError:
        line = done.lines + block.count(self._newline, 0, at) + 1
        return TableError(
            f"{self.path.name}: line {line}: a quote is opened that is never closed, or not at the "
            f"end of a value: {shortened(block[at : at + 60].decode('utf-8', 'replace'))}; close "
            "it, or double the quotes inside the value"
        )

    def _head(self) -> bytes:
        """The first bytes of the text, without a byte order mark."""
        try:
            with self._open() as file:
                head = file.read(_READ_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._damaged(error) from None
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise TableError(f"{self.path.name}: it is UTF-16; save the file as UTF-8")
        self._has_bom = head.startswith(_UTF8_BOM)
        head = head.removeprefix(_UTF8_BOM)
        if not head.strip():
            raise TableError(f"{self.path.name}: the file is empty")
        if b"\0" in head:
            raise TableError(f"{self.path.name}: it holds zero bytes, so it is no CSV text")
        return head

    def _decoded_header(self, header: bytes) -> str:
        try:
            return header.decode("utf-8")
        except UnicodeDecodeError as error:
            raise TableError(
                f"{self.path.name}: the header is not UTF-8 at byte {error.start}; save the file "
                "as UTF-8"
            ) from None

    def _checked_names(self, header: str) -> list[str]:
        written = next(csv.reader([header], delimiter=self._delimiter), [])
        names = [name.strip() for name in written]
        padded = [repr(name) for name in written if name != name.strip()]
        if padded:
            self._note(
                "column_names_stripped",
                f"{self.path.name}: spaces around column names are left out: {listed(padded)}",
            )
        # A column of row numbers is often written without a name.
        names = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
        for place, name in enumerate(names):
            if name in names[:place]:
                raise TableError(
                    f"{self.path.name}: column {name!r} stands twice in the header, at places "
                    f"{names.index(name) + 1} and {place + 1}; rename or remove one"
                )
        return names

    def _damaged(self, error: Exception) -> TableError:
        return TableError(f"{self.path.name}: the gzip data is damaged or cut off: {error}")

    def _open(self) -> gzip.GzipFile | BufferedReader:
        return gzip.open(self.path, "rb") if self._gzipped else self.path.open("rb")

    def _note(self, code: str, message: str) -> None:
        self.notes.append(Note(level="info", code=code, message=message))


@dataclass(slots=True)
class _Done:
    """How far the reading has come: rows of data, lines and bytes of text."""

    rows: int
    lines: int
    text_bytes: int

    def add(self, block: bytes, n_rows: int, newline: bytes) -> None:
        self.rows += n_rows
        self.lines += block.count(newline)
        self.text_bytes += len(block)


def is_gzip(path: Path) -> bool:
    """Whether the content, not the name, says gzip."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _row_end(head: bytes, newline: bytes, begin: int) -> int:
    """Where the row that begins there ends: at the first newline outside quotes."""
    end = head.find(newline, begin)
    while end >= 0 and head.count(b'"', 0, end) % 2:
        end = head.find(newline, end + 1)
    return len(head) if end < 0 else end


def _sniffed(header: str) -> str:
    """The delimiter that stands most often outside quotes in the header; a comma if none does."""
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)
