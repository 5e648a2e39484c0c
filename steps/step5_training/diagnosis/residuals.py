"""Compare predictions with targets: a sample of rows to look at, all rows in bins."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steps.contract.diagnostics import Histogram, Residuals

Vector = NDArray[np.float64]
Rows = NDArray[np.integer]

SHOWN_ROWS = 1000
BINS = 40
TENTHS = 10
# Numbers are for the eye: this share of the targets' standard deviation is not seen any more.
_FINEST = 1e-5


def compare(
    part: Literal["holdout", "out_of_fold"], y: Vector, predictions: Vector, rows: Rows, seed: int
) -> Residuals | None:
    """Residuals of those `rows` that have a prediction; None where none has.

    y, predictions: (n_rows,), NaN where nothing was predicted. The sample of at most 1,000 rows is
    drawn with `seed`. The error of a row is its target minus its prediction.
    """
    known = np.asarray(rows)[np.isfinite(predictions[rows])]
    if len(known) == 0:
        return None
    sample = known
    if len(known) > SHOWN_ROWS:
        sample = np.random.default_rng(seed).choice(known, SHOWN_ROWS, replace=False)
    sample = np.sort(sample)
    decimals = shown_decimals(y[known])
    return Residuals(
        part=part,
        rows=tuple(int(row) for row in sample),
        targets=_shown(y[sample], decimals),
        predictions=_shown(predictions[sample], decimals),
        errors=histogram(y[known] - predictions[known]),
        calibration=_calibration(y[known], predictions[known], decimals),
    )


def histogram(values: Vector) -> Histogram:
    """Equally wide bins from the smallest value to the largest; one where floats lie too close."""
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, BINS + 1)
    if not np.all(np.diff(edges) > 0):
        edges = np.array([low, high])
    counts, _ = np.histogram(values, bins=edges)
    return Histogram(
        edges=tuple(float(edge) for edge in edges), counts=tuple(int(count) for count in counts)
    )


def shown_decimals(values: Vector) -> int:
    """Decimals with which numbers of this spread are written; negative for very large ones."""
    spread = float(np.std(values))
    if not math.isfinite(spread) or spread <= 0:
        spread = max(float(np.max(np.abs(values))), 1.0)
    return math.ceil(-math.log10(_FINEST * spread))


def _calibration(y: Vector, predictions: Vector, decimals: int) -> tuple[tuple[float, float], ...]:
    order = np.argsort(predictions, kind="stable")
    tenths = [part for part in np.array_split(order, TENTHS) if len(part)]
    means = np.array([[predictions[part].mean(), y[part].mean()] for part in tenths])
    return tuple((float(p), float(t)) for p, t in np.round(means, decimals))


def _shown(values: Vector, decimals: int) -> tuple[float, ...]:
    return tuple(float(value) for value in np.round(values, decimals))
