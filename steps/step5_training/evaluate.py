"""Scores of all families with bootstrap intervals, from the same resamples for each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.contract import Estimate, Scores
from steps.step5_training.correlation import mean_ranks

Vector = NDArray[np.float64]
Rows = NDArray[np.integer]

MOST_RESAMPLES, FEWEST_RESAMPLES = 1000, 200
# Resamples x rows is kept under this, so that large tables take seconds, not minutes.
CELLS = 40_000_000
CHUNK = 32
# With fewer, resamples are too few to spread: an interval of one unit has no width.
LEAST_UNITS = 5
# A sum of squares around the mean below this share of that around the group's mean is rounding.
SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True, slots=True)
class Evaluation:
    """scores by family; r2_samples: bootstrap R2 by family, (n_resamples,), paired by resample.

    The samples say nothing where the scores have no interval.
    """

    scores: dict[str, Scores]
    r2_samples: dict[str, Vector]


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is summed of each row: (n_rows, n_columns), and where each quantity stands in it."""

    matrix: Vector
    places: Mapping[str, slice]


def evaluate(
    y: Vector,
    predictions: Mapping[str, Vector],
    groups: Sequence[Rows],
    seed: int,
    units: Rows | None = None,
) -> Evaluation:
    """Score predictions on groups of rows: the validation rows of each fold, or the holdout alone.

    R2 is the mean over groups of 1 - SSE / SST (SST around the group's own mean), as the search
    sees it; RMSE and MAE pool all rows. Spearman is the mean over groups of the correlation of
    ranks inside the group, 0 where all predictions of a group are equal.

    Intervals: percentiles of a Poisson bootstrap over rows (Hanley and MacGibbon 2006), the same
    weights for every family. Spearman's is that of the weighted correlation of the full sample's
    ranks: ranks are not drawn anew in a resample, which for an interval makes no difference that
    its width would show. units: int (n_rows,), rows of one unit are drawn together; None: each row
    alone. With under 5 units there is no interval: ci95 is None.
    """
    names = list(predictions)
    rows = np.concatenate(list(groups))
    bounds = np.cumsum([0, *(len(group) for group in groups)])
    columns = _columns(y, [predictions[name] for name in names], groups)
    point = _metrics(_sums(np.ones((1, len(rows))), columns.matrix, bounds), columns)
    count = int(np.clip(CELLS // len(rows), FEWEST_RESAMPLES, MOST_RESAMPLES))
    generator = np.random.default_rng([seed, len(rows)])
    unit = None if units is None else np.unique(units[rows], return_inverse=True)[1]
    drawn = len(rows) if unit is None else int(unit.max()) + 1
    parts = []
    for start in range(0, count, CHUNK):
        weights = generator.poisson(1.0, size=(min(CHUNK, count - start), drawn))
        weights = weights if unit is None else weights[:, unit]
        parts.append(_sums(weights.astype(np.float64), columns.matrix, bounds))
    samples = _metrics(np.concatenate(parts), columns)
    scores, r2_samples = {}, {}
    for i, name in enumerate(names):
        r2, rmse, mae, spearman = (
            Estimate(value=float(value[0, i]), ci95=_interval(sample[:, i], drawn))
            for value, sample in zip(point, samples, strict=True)
        )
        scores[name] = Scores(r2=r2, rmse=rmse, mae=mae, spearman=spearman)
        r2_samples[name] = samples[0][:, i]
    return Evaluation(scores, r2_samples)


def ranks_inside(values: Vector, groups: Sequence[Rows]) -> Vector:
    """Mean ranks inside each group, over its size and centred: (rows of all groups,)."""
    parts = []
    for group in groups:
        ranks = mean_ranks(values[group])
        parts.append((ranks - ranks.mean()) / len(group))
    return np.concatenate(parts)


def _columns(y: Vector, predictions: Sequence[Vector], groups: Sequence[Rows]) -> _Columns:
    rows = np.concatenate(list(groups))
    # Centred by group: the spreads below are differences of sums, which must not cancel.
    target = np.concatenate([y[group] - y[group].mean() for group in groups])
    errors = np.stack([y[rows] - predicted[rows] for predicted in predictions], axis=1)
    rank = ranks_inside(y, groups)
    guess = np.stack([ranks_inside(predicted, groups) for predicted in predictions], axis=1)
    blocks = {
        "weight": np.ones((len(rows), 1)),
        "target": target[:, None],
        "target2": target[:, None] ** 2,
        "error2": errors**2,
        "error": np.abs(errors),
        "rank": rank[:, None],
        "rank2": rank[:, None] ** 2,
        "guess": guess,
        "guess2": guess**2,
        "both": guess * rank[:, None],
    }
    ends = np.cumsum([0, *(block.shape[1] for block in blocks.values())])
    places = {
        name: slice(int(start), int(stop))
        for name, (start, stop) in zip(blocks, itertools.pairwise(ends), strict=True)
    }
    return _Columns(np.concatenate(list(blocks.values()), axis=1), places)


def _sums(weights: Vector, columns: Vector, bounds: Vector) -> Vector:
    """Weighted column sums by group: (n_resamples, n_groups, n_columns)."""
    return np.stack(
        [
            weights[:, start:stop] @ columns[start:stop]
            for start, stop in itertools.pairwise(bounds)
        ],
        axis=1,
    )


def _metrics(sums: Vector, columns: _Columns) -> tuple[Vector, Vector, Vector, Vector]:
    """R2, RMSE, MAE, Spearman, each (n_resamples, n_families)."""

    def part(name: str) -> Vector:
        return sums[:, :, columns.places[name]]

    weight = part("weight")
    # A resample of a small group may hold one value of the target: it says nothing of R2.
    spread = _spread(weight, part("target"), part("target2"))
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1.0 - part("error2") / np.where(spread > 0, spread, np.nan)
    pooled = weight.sum(axis=1)
    pooled = np.where(pooled > 0, pooled, np.nan)  # of few units a resample may draw none
    rmse = np.sqrt(part("error2").sum(axis=1) / pooled)
    mae = part("error").sum(axis=1) / pooled
    ranks = _spread(weight, part("rank"), part("rank2"))
    guesses = _spread(weight, part("guess"), part("guess2"))
    with np.errstate(divide="ignore", invalid="ignore"):
        together = part("both") - part("rank") * part("guess") / weight
        scale = np.sqrt(np.where(ranks > 0, ranks, np.nan) * guesses)
        spearman = np.where((guesses > 0) | np.isnan(scale), together / scale, 0.0)
    return _mean_known(r2), rmse, mae, _mean_known(spearman)


def _spread(weight: Vector, total: Vector, squares: Vector) -> Vector:
    """Weighted sum of squares around the mean; 0 where it is rounding, or no row has weight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = squares - total**2 / weight
    return np.where(spread > SMALLEST_SPREAD * squares, spread, 0.0)


def _mean_known(by_group: Vector) -> Vector:
    """The mean over groups of what is not NaN; NaN where all of it is."""
    known = np.isfinite(by_group).sum(axis=1)
    mean: Vector = np.nansum(by_group, axis=1) / np.where(known > 0, known, np.nan)
    return mean


def _interval(samples: Vector, n_units: int) -> tuple[float, float] | None:
    if n_units < LEAST_UNITS:
        return None
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(low), float(high)
