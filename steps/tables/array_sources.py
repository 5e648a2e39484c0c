"""Parquet and NPZ: files that keep their columns as arrays, read one column at a time."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from steps.contract import Note
from steps.tables.bridge import arrow_texts, numpy_floats
from steps.tables.columns import Piece
from steps.tables.table import TableError, listed


class ParquetSource:
    """A Parquet file; see steps.tables.columns.Source. A struct column gives one a field."""

    default_target = "holdout_hits"
    decimal_comma = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[Note] = []
        try:
            with pq.ParquetFile(path) as file:
                names = list(file.schema_arrow.names)
                self._n_rows = file.metadata.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise TableError(f"{path.name}: not readable as Parquet: {error}") from None
        if self._n_rows == 0:
            raise TableError(f"{path.name}: it has columns ({listed(names)}) and no rows")
        for place, name in enumerate(names):
            if name in names[:place]:
                raise TableError(f"{path.name}: it has two columns {name!r}; rename or remove one")
        self._names = names
        self.default_ids: tuple[str, ...] = ("seed",) if "features" in names else ()

    def pieces(self, only: frozenset[str] | None) -> Iterator[Piece]:
        """One column after another."""
        try:
            with pq.ParquetFile(self.path, pre_buffer=False) as file:
                seen: set[str] = set()
                for column in self._names:
                    if (
                        only is not None
                        and column not in only
                        and not self._is_struct(file, column)
                    ):
                        continue
                    table = file.read(columns=[column], use_threads=False)
                    for name, chunks in self._flattened(table):
                        if name in seen:
                            raise TableError(
                                f"{self.path.name}: column {name!r} stands twice, once inside "
                                f"{column!r}; rename one"
                            )
                        seen.add(name)
                        if only is None or name in only:
                            yield from self._pieces(name, chunks)
        except (pa.ArrowInvalid, OSError) as error:
            raise TableError(f"{self.path.name}: not readable as Parquet: {error}") from None

    def _is_struct(self, file: Any, column: str) -> bool:
        return bool(pa.types.is_struct(file.schema_arrow.field(column).type))

    def _flattened(self, table: Any) -> Iterator[tuple[str, Any]]:
        name, chunks = table.column_names[0], table.column(0)
        if not pa.types.is_struct(chunks.type):
            yield name, chunks
            return
        for field, values in zip(chunks.type, chunks.flatten(), strict=True):
            yield field.name, values

    def _pieces(self, name: str, chunks: Any) -> Iterator[Piece]:
        first_row = 0
        for chunk in chunks.chunks:
            yield Piece(name, first_row, self._simple(name, chunk))
            first_row += len(chunk)

    def _simple(self, name: str, values: Any) -> Any:
        """Values as one of the types that steps.tables.columns knows."""
        kind = values.type
        if pa.types.is_dictionary(kind):
            return self._simple(name, values.dictionary_decode())
        if pa.types.is_time(kind):
            self._note_seconds(name, "a time of day")
            ticks = pc.cast(pc.cast(values, pa.time64("ns")), pa.int64())
            return numpy_floats(pc.cast(ticks, pa.float64(), safe=False)) / 1e9
        if pa.types.is_duration(kind):
            self._note_seconds(name, "a duration")
            ticks = pc.cast(pc.cast(values, pa.duration("us"), safe=False), pa.int64())
            return numpy_floats(pc.cast(ticks, pa.float64(), safe=False)) / 1e6
        if pa.types.is_nested(kind) or not _is_known(kind):
            raise TableError(
                f"{self.path.name}: column {name!r} holds {kind}; wanted numbers, texts, booleans "
                "or dates; leave the column out of the file"
            )
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return pc.cast(values, pa.string())
        return values

    def _note_seconds(self, name: str, what: str) -> None:
        message = f"{self.path.name}: column {name!r} is {what}; it is used as seconds"
        note = Note(level="info", code="seconds", message=message)
        if note not in self.notes:
            self.notes.append(note)


class NpzSource:
    """An NPZ file with X (rows, features) and y (rows,), or X_train and y_train.

    feature_names is optional (x0, x1, ...); target_name too ("y"). Nothing is ever unpickled.
    """

    decimal_comma = False
    default_ids: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[Note] = []
        keys = self._keys()
        self._x_key, self._y_key = ("X", "y") if "X" in keys else ("X_train", "y_train")
        if self._x_key not in keys:
            raise TableError(f"{path.name}: wanted the arrays X and y, got {listed(keys)}")
        self._has_target = self._y_key in keys
        target_names = self._texts("target_name") if "target_name" in keys else ["y"]
        if len(target_names) != 1:
            raise TableError(f"{path.name}: target_name must be one name, got {len(target_names)}")
        [self.default_target] = target_names
        self._feature_names = self._texts("feature_names") if "feature_names" in keys else None
        used = {self._x_key, self._y_key, "feature_names", "target_name"}
        if unused := [key for key in keys if key not in used]:
            message = f"{path.name}: arrays that are not used: {listed(unused)}"
            self.notes.append(Note(level="info", code="unused_arrays", message=message))

    def pieces(self, only: frozenset[str] | None) -> Iterator[Piece]:
        """Columns as views of X; the target first, so that X is let go last."""
        target = self._target()
        X = self._features()
        names = self._checked_names(X)
        if target is not None and len(target) != len(X):
            raise TableError(
                f"{self.path.name}: {self._x_key} has {len(X)} rows, "
                f"{self._y_key} has {len(target)}"
            )
        if target is not None and (only is None or self.default_target in only):
            yield Piece(self.default_target, 0, self._values(self.default_target, target))
        for place, name in enumerate(names):
            if only is None or name in only:
                yield Piece(name, 0, self._values(name, X[:, place]))

    def _texts(self, key: str) -> list[str]:
        array = self._array(key).ravel()
        try:
            texts = [_decoded(value) for value in array]
            arrow_texts(texts)
        except UnicodeError:
            raise TableError(
                f"{self.path.name}: {key}: wanted text that UTF-8 can hold, got {array.tolist()!r}"
            ) from None
        return texts

    def _values(self, name: str, column: npt.NDArray[Any]) -> Any:
        if column.dtype.kind not in "US":
            return column
        texts: list[str] = []
        try:
            for value in column:
                texts.append(_decoded(value))
            return arrow_texts(texts)
        except UnicodeDecodeError:
            row = len(texts) + 1
        except UnicodeEncodeError as error:
            row = texts.index(error.object) + 1
        raise TableError(
            f"{self.path.name}: column {name!r}, row {row}: wanted text that UTF-8 can hold, got "
            f"{column[row - 1]!r}; correct it"
        )

    def _features(self) -> npt.NDArray[Any]:
        X = self._array(self._x_key)
        if X.ndim != 2:
            raise TableError(
                f"{self.path.name}: {self._x_key} must be (rows, features), its shape is {X.shape}"
            )
        if len(X) == 0:
            raise TableError(f"{self.path.name}: {self._x_key} has no rows")
        return X

    def _target(self) -> npt.NDArray[Any] | None:
        if not self._has_target:
            return None
        y = self._array(self._y_key)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim != 1:
            raise TableError(
                f"{self.path.name}: {self._y_key} must be (rows,), its shape is {y.shape}"
            )
        return y

    def _checked_names(self, X: npt.NDArray[Any]) -> list[str]:
        names = self._feature_names
        if names is None:
            names = [f"x{place}" for place in range(X.shape[1])]
        if len(names) != X.shape[1]:
            raise TableError(
                f"{self.path.name}: feature_names has {len(names)} names, {self._x_key} has "
                f"{X.shape[1]} columns"
            )
        taken = [self.default_target] if self._has_target else []
        for place, name in enumerate(names):
            if name in names[:place] or name in taken:
                raise TableError(f"{self.path.name}: two columns are called {name!r}; rename one")
        return names

    def _keys(self) -> list[str]:
        # numpy would read other files too, or advise to unpickle them.
        if not zipfile.is_zipfile(self.path):
            raise TableError(
                f"{self.path.name}: not readable as NPZ: it is no zip file of arrays, as "
                "numpy.savez writes it, or it is cut off; write the file again"
            )
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return list(file.files)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile):
            raise TableError(
                f"{self.path.name}: not readable as NPZ: the zip file is damaged; write the file "
                "again"
            ) from None

    def _array(self, key: str) -> npt.NDArray[Any]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                array = np.asarray(file[key])
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
            raise TableError(
                f"{self.path.name}: array {key!r} is not readable: it is damaged, or holds "
                "Python objects; wanted numbers or texts as numpy.savez writes them"
            ) from None
        if array.dtype.kind not in "biufUS":
            raise TableError(
                f"{self.path.name}: array {key!r} holds {array.dtype}; wanted numbers or texts"
            )
        return array


def _is_known(kind: Any) -> bool:
    types = pa.types
    return bool(
        types.is_null(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_date(kind)
        or types.is_timestamp(kind)
    )


def _decoded(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
