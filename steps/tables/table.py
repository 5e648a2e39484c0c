"""What a table is once it has been read: numbers in rows, with the story of each column."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.contract import Note
from steps.tables.schema import DEFAULT_MISSING_VALUES, Kind, TableSchema

Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class TableError(ValueError):
    """A table that cannot be used; the message names file, column and row, and what to do."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What a person says about the columns. Empty means: work it out.

    target: None means holdout_hits, or y in an NPZ file. missing_values: texts, in any format,
    that stand for a missing value. keep_features: used although they look like identifiers.
    exclude_features: columns, or single features made of a date column ("sold.weekday").
    """

    target: str | None = None
    categorical_features: tuple[str, ...] = ()
    id_columns: tuple[str, ...] = ()
    exclude_features: tuple[str, ...] = ()
    keep_features: tuple[str, ...] = ()
    missing_values: tuple[str, ...] = DEFAULT_MISSING_VALUES
    time_column: str | None = None
    group_column: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table ready to train on.

    X: float32 (n_rows, n_features), C-contiguous, NaN = missing, a level's position for a
    categorical. y: float64 (n_rows,), may hold NaN or inf (preflight refuses them). ids: pyarrow
    arrays (n_rows,) of the identifier columns. levels: number of levels a categorical feature has,
    0 for others. group: int64 codes (n_rows,). time: sortable int64 or float64 (n_rows,), int64
    microseconds since 1970 for dates. fingerprint: SHA-256 of X, y, names, kinds and levels.
    """

    path: Path
    target: str
    X: Floats32
    y: Floats64
    ids: dict[str, Any]
    feature_names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    levels: tuple[int, ...]
    schema: TableSchema
    fingerprint: str
    group: Integers | None
    time: Integers | Floats64 | None
    notes: tuple[Note, ...]

    @property
    def n_rows(self) -> int:
        """Rows of X and y."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return int(self.X.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRows:
    """New rows, encoded as a schema says. X: float32 (n_rows, n_features), C-contiguous.

    row_ids: pyarrow arrays (n_rows,) of those identifier columns that the file has.
    """

    path: Path
    X: Floats32
    row_ids: dict[str, Any]
    n_rows: int
    notes: tuple[Note, ...]


def fingerprint(
    X: Floats32,
    y: Floats64,
    feature_names: Sequence[str],
    kinds: Sequence[str],
    levels: Sequence[int],
) -> str:
    """SHA-256, hexadecimal, of what training can see. X and y must be C-contiguous."""
    digest = hashlib.sha256(repr((X.shape, *feature_names, *kinds, *levels)).encode())
    digest.update(X.data)
    digest.update(y.data)
    return digest.hexdigest()


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint for an error: the name that was probably meant, else all there are."""
    known = list(names)
    folded = {known_name.casefold(): known_name for known_name in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f"did you mean {folded[close[0]]!r}?" if close else f"it has {listed(known)}"


def listed(names: Sequence[object], most: int = 40) -> str:
    """Names for a message, in order, cut off with a count."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def shortened(text: str, most: int = 60) -> str:
    """A value for a message: quoted, newlines escaped, never longer than a line."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")
