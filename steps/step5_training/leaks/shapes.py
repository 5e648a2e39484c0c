"""How well one column, or two in a formula, gives the target back; nothing is fitted to a row
that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from steps.step5_training.correlation import pearson
from steps.step5_training.leaks.finding import Floats

Formula = Literal["product", "ratio", "smaller", "larger", "distance"]

# Rows farthest off that a few disturbed rows may account for.
TRIMMED_SHARE = 0.01
_LEFT_SPREAD = 0.5


def beside(feature: Floats, y: Floats) -> Floats:
    """Each row's y from the other rows near it in the feature: (n_rows,); no NaN, two values or
    more in the feature.

    Where rows share its value, the mean of the others; else a straight line between the mean y
    of the next value below and of the next above; at the ends, the mean of the next value.
    """
    values, at, counts = np.unique(feature, return_inverse=True, return_counts=True)
    sums = np.bincount(at, y)
    means = sums / counts
    between = np.empty(len(values))
    between[0], between[-1] = means[1], means[-2]
    if len(values) > 2:
        share = (values[1:-1] - values[:-2]) / (values[2:] - values[:-2])
        between[1:-1] = means[:-2] * (1 - share) + means[2:] * share
    shared = counts[at] > 1
    others = (sums[at] - y) / np.where(shared, counts[at] - 1, 1)
    return np.where(shared, others, between[at])


def r2_of(y: Floats, guess: Floats) -> float:
    """1 - SSE / SST; 0 where y is constant."""
    total = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - guess) ** 2).sum()) / total if total > 0 else 0.0


def trimmed_r2(y: Floats, guess: Floats, share: float = TRIMMED_SHARE) -> float:
    """R2 without the share of rows that is farthest off; 0 where a few other rows make it."""
    kept = _nearest(np.abs(y - guess), share)
    if not _is_spread(y, kept) or not holds_without_extremes(guess[kept], y[kept]):
        return 0.0
    return r2_of(y[kept], guess[kept])


def trimmed_correlation(feature: Floats, y: Floats) -> float:
    """|correlation| without the 1 % of rows farthest from the straight line through the others.

    Least trimmed squares by three concentration steps (Rousseeuw and Van Driessen 2006) from the
    fit of all rows; 0 where a few other rows make it.
    """
    kept: npt.NDArray[np.intp] = np.arange(len(y))
    for _ in range(3):
        x, t = feature[kept], y[kept]
        spread = float(x.var())
        if spread == 0:
            return 0.0
        slope = float(((x - x.mean()) * (t - t.mean())).mean()) / spread
        kept = _nearest(np.abs(y - t.mean() - slope * (feature - x.mean())))
    if not _is_spread(y, kept) or not holds_without_extremes(feature[kept], y[kept]):
        return 0.0
    return abs(pearson(feature[kept], y[kept]))


def holds_without_extremes(feature: Floats, y: Floats, least: float = 0.99) -> bool:
    """Whether |correlation| stays when the 0.1 % most unusual targets are left out.

    A few rows far from the rest can make any correlation 1.
    """
    distance = np.abs(y - np.median(y))
    n_left = len(y) - max(1, round(len(y) * 0.001))
    left = np.argsort(distance, kind="stable")[:n_left]
    return abs(pearson(feature[left], y[left])) > least


def _ratio(first: Floats, second: Floats) -> Floats:
    """NaN where it is divided by zero."""
    quotient: Floats = first / np.where(second == 0, np.nan, second)
    return quotient


# Of two arrays that broadcast; each makes one candidate for the target.
FORMULAS: dict[Formula, Callable[[Floats, Floats], Floats]] = {
    "product": np.multiply,
    "ratio": _ratio,
    "smaller": np.minimum,
    "larger": np.maximum,
    "distance": lambda first, second: np.abs(first - second),
}


def _nearest(off: Floats, share: float = TRIMMED_SHARE) -> npt.NDArray[np.intp]:
    """Places of all rows but the share (one at least) that is farthest off."""
    n_kept = len(off) - max(1, round(len(off) * share))
    return np.argpartition(off, n_kept - 1)[:n_kept]


def _is_spread(y: Floats, kept: npt.NDArray[np.intp]) -> bool:
    """Whether the kept rows vary half as much as all: else the others were the whole matter."""
    left, before = float(y[kept].var()), float(y.var())
    return left >= _LEFT_SPREAD * before > 0
