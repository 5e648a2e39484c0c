"""The face that all trainers share: fit one split, predict, save, load."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpu.params import Family, Params

FloatMatrix = NDArray[np.float32]
FloatVector = NDArray[np.float64]


class Diverged(ArithmeticError):
    """Training produced a loss or predictions that are not finite numbers."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of X mean. kinds: "numeric" | "boolean" | "categorical", one a column.

    levels: number of levels of a categorical column (codes 0..levels-1), 0 for the others.
    """

    kinds: tuple[str, ...]
    levels: tuple[int, ...]

    @property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the categorical columns."""
        return tuple(i for i, kind in enumerate(self.kinds) if kind == "categorical")

    @classmethod
    def all_numeric(cls, n_features: int) -> Columns:
        """Columns of a plain matrix."""
        return cls(("numeric",) * n_features, (0,) * n_features)


@dataclass(frozen=True, slots=True)
class Split:
    """One training set and, for early stopping, one validation set.

    X: float32 (n_rows, n_features), NaN = missing; y: float64 (n_rows,). key: table folder and
    fold, where equal keys mean equal rows; None for rows that will not come again.
    """

    X_train: FloatMatrix
    y_train: FloatVector
    X_val: FloatMatrix | None
    y_val: FloatVector | None
    columns: Columns
    key: tuple[str, int] | None = None


class Predictor(Protocol):
    """A model that scores rows."""

    def predict(self, X: FloatMatrix) -> FloatVector:
        """X: float32 (n_rows, n_features) -> float64 (n_rows,), in units of the target."""
        ...


class Fitted(Predictor, Protocol):
    """A model that has just been trained. best_round is 1-based."""

    best_round: int
    rounds_run: int

    def save(self, path: Path) -> None:
        """Write the checkpoint in the library's own format."""
        ...

    def preprocessing(self) -> dict[str, Any]:
        """What was fitted on the data beside the model itself, JSON-able."""
        ...


class Trainer(Protocol):
    """Trains one family with one library on one device."""

    family: Family
    device_name: str

    def fit(self, split: Split, params: Params, *, seed: int, rounds: int | None) -> Fitted:
        """Train with early stopping on the validation set, or for exactly `rounds` if given.

        Raises Diverged when the result is not finite, MemoryError when memory runs out.
        """
        ...

    def load(self, blob: bytes, preprocessing: dict[str, Any], columns: Columns) -> Predictor:
        """Read a checkpoint from its bytes; nothing in it is ever executed."""
        ...

    def version(self) -> str:
        """Version of the library."""
        ...


def hide_modules(names: Iterable[str]) -> None:
    """Keep optional imports of a library out of this process.

    xgboost, lightgbm and catboost import pandas, scikit-learn and plotting when these are
    installed; a worker uses none of them, and they are most of its start-up time.
    """
    for name in names:
        if name not in sys.modules and importlib.util.find_spec(name) is not None:
            sys.modules[name] = None  # type: ignore[assignment]  # the import system's own mark


def finite(predictions: NDArray[Any]) -> FloatVector:
    """Predictions as float64 (n_rows,); raises Diverged if any is not a finite number."""
    values = np.asarray(predictions, dtype=np.float64).reshape(-1)
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise Diverged(f"{bad} of {len(values)} predictions are not finite")
    return values
