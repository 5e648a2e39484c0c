"""Read a table to learn from, or new rows to score, from any of the formats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from steps.contract import Note
from steps.tables.array_sources import NpzSource, ParquetSource
from steps.tables.columns import Source
from steps.tables.csv_source import CsvSource
from steps.tables.encode import encode
from steps.tables.gather import gather
from steps.tables.intake import Intake, identifiers
from steps.tables.json_source import JsonSource
from steps.tables.schema import (
    BooleanEncoding,
    CategoricalEncoding,
    TableSchema,
)
from steps.tables.table import (
    EncodedRows,
    Floats32,
    Table,
    TableError,
    TableOptions,
    fingerprint,
    listed,
    nearest,
)

_SOURCES: dict[str, type[Source]] = {
    ".csv": CsvSource,
    ".tsv": CsvSource,
    ".txt": CsvSource,
    ".parquet": ParquetSource,
    ".pq": ParquetSource,
    ".npz": NpzSource,
    ".json": JsonSource,
    ".jsonl": JsonSource,
    ".ndjson": JsonSource,
}
_GZIPPED = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")


def read_table(path: Path, options: TableOptions) -> Table:
    """Read, work out what each column is, encode. Raises TableError; see there for the message.

    Peak memory is about three times the float32 size of the table.
    """
    source = open_source(path)
    target = options.target if options.target is not None else source.default_target
    _check_conflicts(path, target, options)
    ids = {*options.id_columns, *(set(source.default_ids) - {*options.keep_features, target})}
    texts = {*options.categorical_features, *ids, options.group_column}
    columns = gather(source, options.missing_values, frozenset(filter(None, texts)) - {target})
    _check_names(path, target, list(columns), options)
    intake = Intake(path.name, options, target, frozenset(ids), source.decimal_comma)
    for name in list(columns):
        intake.take(name, columns.pop(name))
    y = intake.y
    schema = TableSchema(
        target=target, missing_values=options.missing_values, columns=tuple(intake.columns)
    )
    X = _side_by_side(intake.features, len(y))
    return Table(
        path=path,
        target=target,
        X=X,
        y=y,
        ids=intake.ids,
        feature_names=schema.feature_names,
        kinds=schema.kinds,
        levels=schema.levels,
        schema=schema,
        fingerprint=fingerprint(X, y, schema.feature_names, schema.kinds, schema.levels),
        group=intake.group,
        time=intake.time,
        notes=(*source.notes, *intake.all_notes()),
    )


def encode_rows(path: Path, schema: TableSchema) -> EncodedRows:
    """Encode new rows as the schema says; nothing is worked out anew, no target is wanted.

    Raises TableError naming all feature columns that the file lacks, or file, column, row and
    text of a value that does not fit its column.
    """
    source = open_source(path)
    used = {column.name: column for column in schema.columns if column.features}
    ids = schema.names_of("identifier")
    texts = {
        name
        for name, column in used.items()
        if isinstance(column.encoding, CategoricalEncoding | BooleanEncoding)
    }
    columns = gather(source, schema.missing_values, frozenset({*texts, *ids}))
    n_rows = len(next(iter(columns.values())))
    if lacking := [name for name in used if name not in columns]:
        raise TableError(
            f"{path.name}: the model needs columns that the file lacks: {listed(lacking)}; it has "
            f"{listed(list(columns))}"
        )
    notes = list(source.notes)
    known = {column.name for column in schema.columns}
    if extra := [name for name in columns if name not in known]:
        message = f"{path.name}: columns that the model does not know, left out: {listed(extra)}"
        notes.append(Note(level="info", code="extra_columns", message=message))
    row_ids = {name: identifiers(columns[name]) for name in ids if name in columns}
    features: list[Floats32] = []
    for name, column in used.items():
        encoded = encode(columns.pop(name), column, path.name, source.decimal_comma)
        features.extend(encoded.features)
        notes.extend(encoded.notes)
    columns.clear()
    return EncodedRows(path, _side_by_side(features, n_rows), row_ids, n_rows, tuple(notes))


def open_source(path: Path) -> Source:
    """The reader for a file, chosen by its name. Raises TableError if there is none."""
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "there is no such file"
        raise TableError(f"{path}: {what}")
    if path.stat().st_size == 0:
        raise TableError(f"{path.name}: the file is empty")
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    zipped = bool(suffixes) and suffixes[-1] == ".gz"
    suffix = (suffixes[:-1] if zipped else suffixes)[-1:]
    kind = _SOURCES.get(suffix[0]) if suffix else None
    if kind is None or (zipped and suffix[0] not in _GZIPPED):
        raise TableError(
            f"{path.name}: not a format known by its name; wanted {', '.join(_SOURCES)} "
            f"(or {', '.join(f'{name}.gz' for name in _GZIPPED)})"
        )
    return kind(path)  # type: ignore[call-arg]  # a Protocol says nothing of constructors


def _side_by_side(features: list[Floats32], n_rows: int) -> Floats32:
    """float32 (n_rows, n_features), C-contiguous. Empties the list, so that memory is let go."""
    X = np.empty((n_rows, len(features)), np.float32)
    for place in reversed(range(len(features))):
        X[:, place] = features.pop()
    return X


def _check_conflicts(path: Path, target: str, options: TableOptions) -> None:
    """One column cannot be two things."""
    lists: dict[str, Iterable[str]] = {
        "categorical_features": options.categorical_features,
        "id_columns": options.id_columns,
        "exclude_features": options.exclude_features,
        "keep_features": options.keep_features,
        "time_column": filter(None, [options.time_column]),
        "group_column": filter(None, [options.group_column]),
    }
    named = {key: set(names) for key, names in lists.items()}
    for key, names in named.items():
        if target in names:
            raise TableError(f"{path.name}: {target!r} is the target and named in {key} too")
    against = ("keep_features", "categorical_features", "time_column", "group_column")
    for first in ("exclude_features", "id_columns"):
        for second in against:
            if both := named[first] & named[second]:
                raise TableError(
                    f"{path.name}: named in {first} and in {second}: {listed(sorted(both))}"
                )


def _check_names(path: Path, target: str, columns: list[str], options: TableOptions) -> None:
    """Every name in the options must be a column of the file."""
    if target not in columns:
        if options.target is None:
            raise TableError(
                f"{path.name}: no target is named and there is no column {target!r}; name the "
                f"column to predict as target; it has {listed(columns)}"
            )
        hint = nearest(target, columns)
        also = "" if hint.startswith("it has") else f"; it has {listed(columns)}"
        raise TableError(f"{path.name}: there is no target column {target!r}; {hint}{also}")
    parts = {f"{column}.{part}" for column in columns for part in _DATE_PARTS}
    wanted = {
        "categorical_features": options.categorical_features,
        "id_columns": options.id_columns,
        "exclude_features": [name for name in options.exclude_features if name not in parts],
        "keep_features": options.keep_features,
        "time_column": list(filter(None, [options.time_column])),
        "group_column": list(filter(None, [options.group_column])),
    }
    for key, names in wanted.items():
        for name in names:
            if name not in columns:
                raise TableError(
                    f"{path.name}: {key} names {name!r}, which is no column; "
                    f"{nearest(name, columns)}"
                )


_DATE_PARTS = ("days", "weekday", "dayofyear", "hour")
