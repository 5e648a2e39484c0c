"""The face that all trainers share: fit one split, predict, save, load."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gpu.params import Family, Params
from gpu.protocol.observations import Importance, NetworkHealth

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


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean squared error after each round, float64 (rounds_run,), in squared units of the target.

    train: as the library knows it while it trains: of a network, the mean over an epoch's batches
    with dropout on; of catboost, with the ordered statistics of categories; of xgboost and lightgbm
    measured at some of the rounds (see train_losses). validation: None without early stopping.
    """

    train: FloatVector
    validation: FloatVector | None


@dataclass(slots=True)
class Watch:
    """What somebody wants to know of one fit. The trainer fills it in and trains as without it.

    health: whether a network is looked into after its epochs as well. peak_vram_mib: of the
    process, where the library tells. absent: what could not be observed, and why, in sentences.
    """

    health: bool = False
    losses: Losses | None = None
    network: NetworkHealth | None = None
    peak_vram_mib: float | None = None
    absent: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Contributions:
    """Predictions taken apart, in units of the target. values: float64 (n_rows, n_features).

    shap: base (n_rows,) plus the sum of a row's values is its prediction. gradient_x_input: base
    is None.
    """

    method: Literal["shap", "gradient_x_input"]
    base: FloatVector | None
    values: NDArray[np.float64]


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

    def importances(self, X: FloatMatrix) -> tuple[Importance, ...]:
        """How much the model uses each feature. X: training rows, for a measure that needs any."""
        ...

    def contributions(self, X: FloatMatrix) -> Contributions:
        """What each feature adds to the predictions of X, float32 (n_rows, n_features)."""
        ...


class Trainer(Protocol):
    """Trains one family with one library on one device."""

    family: Family
    device_name: str

    def fit(
        self,
        split: Split,
        params: Params,
        *,
        seed: int,
        rounds: int | None,
        watch: Watch | None = None,
    ) -> Fitted:
        """Train with early stopping on the validation set, or for exactly `rounds` if given.

        The model is the same to the last bit whether somebody watches or not. Raises Diverged when
        the result is not finite, MemoryError when memory runs out.
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
