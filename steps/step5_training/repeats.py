"""Find rows that occur more than once, by a hash of their bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from steps.tables import Table

Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)


def repeated_rows(table: Table) -> tuple[Integers, Integers]:
    """Rows equal, target and all, to an earlier one, and that first one of each; from 0.

    All rows are looked at: by a hash of the bits, and those of equal hash by the bits themselves.
    """
    hashes = _hashed(table.X, (table.y + 0.0).view(np.uint64))
    order = np.argsort(hashes, kind="stable")  # stable: the first of equals is the earliest row
    ordered = hashes[order]
    starts = np.append(True, ordered[1:] != ordered[:-1])
    first_of = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    rows, firsts = order[~starts], first_of[~starts]
    equal = table.y[rows] == table.y[firsts]
    bits = table.X.view(np.uint32)
    for place in range(table.n_features):  # a column at a time: copies of all rows would be large
        equal &= bits[rows, place] == bits[firsts, place]
    rows, firsts = rows[equal], firsts[equal]
    by_row = np.argsort(rows)
    return rows[by_row], firsts[by_row]


def row_codes(X: npt.NDArray[np.float32], y: npt.NDArray[np.float64] | None = None) -> Integers:
    """int64 (n_rows,), equal for rows whose features are all equal, and y too where it is given.

    X: C-contiguous. By a 64-bit hash alone: of a million rows, two that differ share a code with a
    chance of 1 in 30 million.
    """
    start = np.zeros(len(X), np.uint64) if y is None else (y + 0.0).view(np.uint64)
    codes: Integers = np.unique(_hashed(X, start), return_inverse=True)[1].astype(np.int64)
    return codes


def _hashed(X: npt.NDArray[np.float32], start: Hashes) -> Hashes:
    """uint64 (n_rows,): equal for rows of equal bits; a multiply-and-mix over the columns."""
    hashes = start * _ODD  # -0.0 and 0.0 of a target are one value: callers add 0.0
    bits = X.view(np.uint32)
    for place in range(X.shape[1]):
        hashes ^= hashes >> np.uint64(29)
        hashes += bits[:, place]
        hashes *= _ODD
    return hashes ^ (hashes >> np.uint64(32))
