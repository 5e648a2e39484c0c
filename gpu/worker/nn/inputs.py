"""Turn table rows into the network's inputs, with everything fitted on the training rows only.

Numbers are imputed by the training median, with an indicator column where training rows had gaps,
and standardised. A categorical of up to MAX_ONE_HOT levels becomes one column a level: the first
linear layer on such columns is a learned embedding of the level. One with more levels becomes its
smoothed target mean (Micci-Barreca 2001, m-estimate), computed for each training row from the
other inner folds, so that no row sees its own target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gpu.worker.trainers.base import Columns, FloatMatrix, FloatVector

MAX_ONE_HOT = 32
TARGET_PRIOR_ROWS = 20.0
INNER_FOLDS = 5
# Inputs further out than this many standard deviations are cut off: a network extrapolates badly.
CLIP_SD = 10.0


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumericInput(_Frozen):
    """A numeric or boolean column: (value - mean) / scale within +-clip, and a gap indicator."""

    column: int
    median: float
    mean: float
    scale: float
    clip: float | None
    indicator: bool


class OneHotInput(_Frozen):
    """A categorical column as one 0/1 column for each code in `codes`; -1 is a missing level."""

    column: int
    codes: tuple[int, ...]


class TargetMeanInput(_Frozen):
    """A categorical column as the standardised smoothed target mean of its level."""

    column: int
    means: tuple[float, ...]
    prior: float
    mean: float
    scale: float


class InputEncoding(_Frozen):
    """Everything needed to encode new rows; travels in the sidecar of the checkpoint."""

    inputs: tuple[NumericInput | OneHotInput | TargetMeanInput, ...]
    target_mean: float
    target_scale: float

    @property
    def width(self) -> int:
        """Number of columns that the network sees."""
        return sum(_width(item) for item in self.inputs)

    @property
    def sources(self) -> tuple[int, ...]:
        """The table's feature behind each column that the network sees, (width,)."""
        return tuple(item.column for item in self.inputs for _ in range(_width(item)))

    def encode(self, X: FloatMatrix) -> FloatMatrix:
        """X: float32 (n_rows, n_features) -> float32 (n_rows, width), finite."""
        out = np.empty((len(X), self.width), dtype=np.float32)
        at = 0
        for item in self.inputs:
            width = _width(item)
            block = out[:, at : at + width]
            column = X[:, item.column]
            match item:
                case NumericInput():
                    _numeric(column, item, block)
                case OneHotInput():
                    codes = _codes(column)
                    for position, code in enumerate(item.codes):
                        block[:, position] = codes == code
                case TargetMeanInput():
                    means = np.array([*item.means, item.prior])
                    codes = _codes(column)
                    codes[(codes < 0) | (codes >= len(item.means))] = len(item.means)
                    block[:, 0] = (means[codes] - item.mean) / item.scale
            at += width
        return out

    def scale_target(self, y: FloatVector) -> NDArray[np.float32]:
        """Target in standard units."""
        return ((y - self.target_mean) / self.target_scale).astype(np.float32)

    def unscale_target(self, y: NDArray[Any]) -> FloatVector:
        """Predictions back in units of the target."""
        return np.asarray(y, dtype=np.float64) * self.target_scale + self.target_mean


@dataclass(frozen=True, slots=True)
class FittedInputs:
    """The encoding and the encoded training rows (their target means are out of fold)."""

    encoding: InputEncoding
    X: FloatMatrix


def fit_inputs(
    X: FloatMatrix, y: FloatVector, columns: Columns, *, normalize: bool, seed: int
) -> FittedInputs:
    """Fit the encoding on training rows. X: float32 (n, n_features); y: float64 (n,)."""
    items: list[NumericInput | OneHotInput | TargetMeanInput] = []
    replaced: dict[int, FloatVector] = {}
    for i, kind in enumerate(columns.kinds):
        if kind != "categorical":
            items.append(_fit_numeric(i, X[:, i], normalize=normalize))
            continue
        codes = _codes(X[:, i])
        seen = np.unique(codes)
        if len(seen) <= MAX_ONE_HOT:
            items.append(OneHotInput(column=i, codes=tuple(int(c) for c in seen)))
        else:
            encoded_mean, own = _fit_target_mean(i, codes, y, columns.levels[i], seed)
            replaced[len(items)] = own
            items.append(encoded_mean)
    scale = float(y.std())
    encoding = InputEncoding(
        inputs=tuple(items), target_mean=float(y.mean()), target_scale=scale if scale > 0 else 1.0
    )
    encoded = encoding.encode(X)
    at = 0
    for position, item in enumerate(encoding.inputs):
        if position in replaced:
            encoded[:, at] = replaced[position]
        at += _width(item)
    return FittedInputs(encoding, encoded)


def _width(item: NumericInput | OneHotInput | TargetMeanInput) -> int:
    match item:
        case NumericInput():
            return 2 if item.indicator else 1
        case OneHotInput():
            return len(item.codes)
        case TargetMeanInput():
            return 1


def _fit_numeric(i: int, column: NDArray[np.float32], *, normalize: bool) -> NumericInput:
    finite = np.isfinite(column)
    present = column[finite].astype(np.float64)
    median = float(np.median(present)) if len(present) else 0.0
    mean, scale, clip = 0.0, 1.0, None
    if normalize:
        filled = np.where(finite, column, median).astype(np.float64)
        mean, spread = float(filled.mean()), float(filled.std())
        # A column that is constant inside this fold carries nothing, so it stays at zero outside.
        constant = spread <= 1e-12 * max(1.0, abs(mean))
        scale, clip = (1.0, 0.0) if constant else (spread, CLIP_SD)
    return NumericInput(
        column=i,
        median=median,
        mean=mean,
        scale=scale,
        clip=clip,
        indicator=len(present) < len(column),
    )


def _numeric(column: NDArray[np.float32], item: NumericInput, block: FloatMatrix) -> None:
    present = np.isfinite(column)
    values = np.where(present, column, item.median).astype(np.float64)
    values -= item.mean
    values /= item.scale
    if item.clip is not None:
        np.clip(values, -item.clip, item.clip, out=values)
    block[:, 0] = values
    if item.indicator:
        block[:, 1] = ~present


def _codes(column: NDArray[np.float32]) -> NDArray[np.int64]:
    """Codes as integers; a missing level is -1."""
    return np.where(np.isfinite(column), column, -1).astype(np.int64)


def _fit_target_mean(
    i: int, codes: NDArray[np.int64], y: FloatVector, levels: int, seed: int
) -> tuple[TargetMeanInput, FloatVector]:
    """The encoding of a many-level column, and its out-of-fold values for the training rows."""
    slots = np.where((codes < 0) | (codes >= levels), levels, codes)
    prior = float(y.mean())
    inner = np.random.default_rng([seed, i]).permutation(len(y)) % INNER_FOLDS
    own = np.empty(len(y))
    for fold in range(INNER_FOLDS):
        inside = inner == fold
        own[inside] = _smoothed(slots[~inside], y[~inside], levels, prior)[slots[inside]]
    mean, spread = float(own.mean()), float(own.std())
    scale = spread if spread > 0 else 1.0
    means = _smoothed(slots, y, levels, prior)[:levels]
    item = TargetMeanInput(
        column=i, means=tuple(float(m) for m in means), prior=prior, mean=mean, scale=scale
    )
    return item, (own - mean) / scale


def _smoothed(slots: NDArray[np.int64], y: FloatVector, levels: int, prior: float) -> FloatVector:
    counts = np.bincount(slots, minlength=levels + 1)
    sums = np.bincount(slots, weights=y, minlength=levels + 1)
    means: FloatVector = (sums + TARGET_PRIOR_ROWS * prior) / (counts + TARGET_PRIOR_ROWS)
    means[levels] = prior
    return means
