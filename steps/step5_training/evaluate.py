"""Scores of all families with bootstrap intervals, from the same resamples for each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.contract import Estimate, Scores

Vector = NDArray[np.float64]
Rows = NDArray[np.integer]

MOST_RESAMPLES, FEWEST_RESAMPLES = 1000, 200
# Resamples x rows is kept under this, so that large tables take seconds, not minutes.
CELLS = 40_000_000
CHUNK = 32
# A sum of squares around the mean below this share of that around the group's mean is rounding.
SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True, slots=True)
class Evaluation:
    """scores by family; r2_samples: bootstrap R2 by family, (n_resamples,), paired by resample."""

    scores: dict[str, Scores]
    r2_samples: dict[str, Vector]


def evaluate(
    y: Vector, predictions: Mapping[str, Vector], groups: Sequence[Rows], seed: int
) -> Evaluation:
    """Score predictions on groups of rows: the validation rows of each fold, or the holdout alone.

    R2 is the mean over groups of 1 - SSE / SST (SST around the group's own mean), as the search
    sees it; RMSE and MAE pool all rows. Intervals: percentiles of a Poisson bootstrap over rows
    (Hanley and MacGibbon 2006), the same weights for every family.
    """
    names = list(predictions)
    rows = np.concatenate(list(groups))
    bounds = np.cumsum([0, *(len(group) for group in groups)])
    # Centred by group: the spread below is a difference of sums, which must not cancel.
    target = np.concatenate([y[group] - y[group].mean() for group in groups])
    errors = np.stack([y[rows] - predictions[name][rows] for name in names], axis=1)
    columns = np.concatenate(
        [np.ones((len(rows), 1)), target[:, None], target[:, None] ** 2, errors**2, np.abs(errors)],
        axis=1,
    )
    point = _metrics(_sums(np.ones((1, len(rows))), columns, bounds), len(names))
    count = int(np.clip(CELLS // len(rows), FEWEST_RESAMPLES, MOST_RESAMPLES))
    generator = np.random.default_rng([seed, len(rows)])
    parts = []
    for start in range(0, count, CHUNK):
        weights = generator.poisson(1.0, size=(min(CHUNK, count - start), len(rows)))
        parts.append(_sums(weights.astype(np.float64), columns, bounds))
    samples = _metrics(np.concatenate(parts), len(names))
    scores, r2_samples = {}, {}
    for i, name in enumerate(names):
        estimates = [
            Estimate(value=float(value[0, i]), ci95=_interval(sample[:, i]))
            for value, sample in zip(point, samples, strict=True)
        ]
        scores[name] = Scores(r2=estimates[0], rmse=estimates[1], mae=estimates[2])
        r2_samples[name] = samples[0][:, i]
    return Evaluation(scores, r2_samples)


def _sums(weights: Vector, columns: Vector, bounds: Vector) -> Vector:
    """Weighted column sums by group: (n_resamples, n_groups, n_columns)."""
    return np.stack(
        [
            weights[:, start:stop] @ columns[start:stop]
            for start, stop in itertools.pairwise(bounds)
        ],
        axis=1,
    )


def _metrics(sums: Vector, n_families: int) -> tuple[Vector, Vector, Vector]:
    """R2, RMSE, MAE, each (n_resamples, n_families)."""
    weight, total, squares = sums[:, :, 0], sums[:, :, 1], sums[:, :, 2]
    squared_errors = sums[:, :, 3 : 3 + n_families]
    absolute_errors = sums[:, :, 3 + n_families :]
    with np.errstate(divide="ignore", invalid="ignore"):
        # A resample of a small group may hold one value of the target: it says nothing of R2.
        spread = squares - total**2 / weight
        real = spread > SMALLEST_SPREAD * squares
        r2 = 1.0 - squared_errors / np.where(real, spread, np.nan)[:, :, None]
    pooled = weight.sum(axis=1)[:, None]
    rmse = np.sqrt(squared_errors.sum(axis=1) / pooled)
    mae = absolute_errors.sum(axis=1) / pooled
    scored = np.isfinite(r2).sum(axis=1)
    mean_r2 = np.nansum(r2, axis=1) / np.where(scored > 0, scored, np.nan)
    return mean_r2, rmse, mae


def _interval(samples: Vector) -> tuple[float, float]:
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(low), float(high)
