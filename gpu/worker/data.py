"""Open the shared table that a job refers to; every worker maps the same read-only files.

A table folder holds X.npy (float32 (n_rows, n_features), C order), y.npy (float64 (n_rows,)),
search_rows.npy, holdout_rows.npy, and train_<k>.npy, val_<k>.npy for each fold: row numbers,
int32 ascending. columns.json holds {"kinds": [...], "levels": [...]}.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu.worker.trainers.base import Columns, FloatMatrix, FloatVector, Split


class SharedTable:
    """A table folder, mapped read-only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.X: NDArray[np.float32] = np.load(folder / "X.npy", mmap_mode="r")
        self.y: NDArray[np.float64] = np.load(folder / "y.npy", mmap_mode="r")
        spec = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
        self.columns = Columns(tuple(spec["kinds"]), tuple(spec["levels"]))

    def fold(self, index: int) -> Split:
        """Training and validation rows of one fold, copied out of the map."""
        X_train, y_train = self._rows(f"train_{index}")
        X_val, y_val = self._rows(f"val_{index}")
        return Split(X_train, y_train, X_val, y_val, self.columns, key=(str(self._folder), index))

    def validation_rows(self, index: int) -> NDArray[np.int64]:
        """Row numbers that fold `index` validates on."""
        rows: NDArray[np.int64] = np.load(self._folder / f"val_{index}.npy")
        return rows

    def search(self) -> Split:
        """All rows that the search may see, without a validation set."""
        X, y = self._rows("search_rows")
        return Split(X, y, None, None, self.columns)

    def holdout_numbers(self) -> NDArray[np.int64]:
        """Row numbers of the holdout."""
        rows: NDArray[np.int64] = np.load(self._folder / "holdout_rows.npy")
        return rows

    def holdout(self) -> tuple[FloatMatrix, FloatVector]:
        """Rows that nothing but the last report sees."""
        return self._rows("holdout_rows")

    def _rows(self, name: str) -> tuple[FloatMatrix, FloatVector]:
        rows = np.load(self._folder / f"{name}.npy")
        return self.X[rows], self.y[rows]


def open_shell_split(path: Path) -> Split:
    """Read an .npz with X_train, y_train, X_val, y_val; raises ValueError naming what is wrong."""
    if not path.is_file():
        raise ValueError(f"X_train_path: no such file: {path}")
    arrays: dict[str, NDArray[Any]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for name in ("X_train", "y_train", "X_val", "y_val"):
            if name not in stored.files:
                raise ValueError(f"{path}: has no array {name}; it has {', '.join(stored.files)}")
            arrays[name] = stored[name]
    for part in ("train", "val"):
        X, y = arrays[f"X_{part}"], arrays[f"y_{part}"].reshape(-1)
        if X.ndim != 2 or len(X) != len(y):
            raise ValueError(
                f"{path}: X_{part} must be (n_rows, n_features) with a target for each row, "
                f"got X_{part} {X.shape} and y_{part} {y.shape}"
            )
        if len(X) < 2:
            raise ValueError(f"{path}: X_{part} has {len(X)} rows, at least 2 are needed")
        bad = np.flatnonzero(~np.isfinite(y.astype(np.float64)))
        if len(bad):
            raise ValueError(f"{path}: y_{part} is not finite in row {bad[0] + 1}")
    if arrays["X_train"].shape[1] != arrays["X_val"].shape[1]:
        raise ValueError(f"{path}: X_train and X_val have different numbers of columns")
    X_train = arrays["X_train"].astype(np.float32)
    return Split(
        X_train,
        arrays["y_train"].astype(np.float64).reshape(-1),
        arrays["X_val"].astype(np.float32),
        arrays["y_val"].astype(np.float64).reshape(-1),
        Columns.all_numeric(X_train.shape[1]),
    )
