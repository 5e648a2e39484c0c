"""Correlation and ranks without scipy.stats, which takes a second to import."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def pearson(first: Floats, second: Floats) -> float:
    """Pearson's correlation of two (n,); 0 where one of them is constant."""
    first, second = first - first.mean(), second - second.mean()
    # Sums, not dot products: BLAS would wake its threads for each, on a machine that is busy.
    scale = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / scale if scale > 0 else 0.0


def mean_ranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing their mean rank: (n,), no NaN."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return ranks
