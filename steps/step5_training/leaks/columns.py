"""Find a column that gives the target away alone.

What is looked for is equality up to noise, not a good predictor. An honest cause that explains 98 %
of the target passes every rule here; each threshold lies well above it.
"""

from __future__ import annotations

import bisect

import numpy as np
import numpy.typing as npt

from steps.step5_training.correlation import mean_ranks, pearson
from steps.step5_training.leaks.finding import Floats, LeakFinding
from steps.step5_training.leaks.shapes import (
    TRIMMED_SHARE,
    beside,
    holds_without_extremes,
    r2_of,
    trimmed_correlation,
    trimmed_r2,
)

MIN_ROWS = 10
MIN_SHARE = 0.1

_MIN_CORRELATION = 0.999
_MIN_R2 = 0.998
# With the farthest 1 % of the rows left out, and with all of them.
_NEAR_COPY, _NEAR_COPY_ALL = 0.9999, 0.98
# Of ranks, one a function of the other. An honest power law of one cause with a few percent of
# noise reaches 0.9995.
_FUNCTION_R2 = 0.9999
_MADE_FROM_VALUES = 20
# Fewer rows than these can look like anything.
_SHAPE_ROWS = 50
_SCREEN_ROWS = 2000
_SCREEN_R2 = 0.9

_BINS = (5, 100)
_BINS_ROWS, _BINS_LEVEL_ROWS, _BINS_SHARE = 300, 5, 0.9
_BINS_R2 = 0.5
_BINS_OVERLAP = 0.001
# Of a target that was cut, neighbouring bins touch, and each is filled to its edges.
_BINS_GAP = 5.0
_BINS_EDGE_SHARE = 0.12


def numeric_leak(name: str, feature: Floats, y: Floats) -> LeakFinding | None:
    """A finding on a numeric or boolean column, NaN where missing; None if there is none."""
    known = ~np.isnan(feature)
    if not enough(known):
        return None
    feature, y = feature[known], y[known]
    correlation = abs(pearson(feature, y))
    if correlation > _MIN_CORRELATION and holds_without_extremes(feature, y):
        slope, shift = np.polyfit(feature, y, 1)
        spread = float(y.std())
        same = abs(slope - 1) < 0.01 and abs(shift + (slope - 1) * feature.mean()) < 0.01 * spread
        return LeakFinding((name,), "copy" if same else "affine", min(correlation, 1.0))
    feature_ranks, ranks = mean_ranks(feature), mean_ranks(y)
    together = abs(pearson(feature_ranks, ranks))
    if together > _MIN_CORRELATION:
        return LeakFinding((name,), "rank", min(together, 1.0))
    rest = trimmed_correlation(feature, y) if correlation > _NEAR_COPY_ALL else 0.0
    if rest > _NEAR_COPY and len(y) >= _SHAPE_ROWS:
        return LeakFinding((name,), "near_copy", min(rest, 1.0))
    if (binned := _bins(name, feature, y)) is not None:
        return binned
    # Rows that were copied, or joined to several others, would let any column with a value for
    # each of them tell the target: of equal value and target, one row.
    order = np.lexsort((y, feature))
    again = (np.diff(feature[order]) == 0) & (np.diff(y[order]) == 0)
    once = np.sort(order[np.append(True, ~again)])
    # Disturbed rows are seldom alike: as many are left out as if the others stood there too.
    trim = min(TRIMMED_SHARE * len(y) / len(once), 3 * TRIMMED_SHARE)
    return _by_shape(name, feature[once], y[once], feature_ranks[once], ranks[once], trim)


def categorical_leak(name: str, codes: Floats, y: Floats) -> LeakFinding | None:
    """R2 of the level means, adjusted for the number of levels; a missing level is one too."""
    codes = np.where(np.isnan(codes), -1.0, codes)
    level, counts, means = _level_means(codes, y)
    n_rows, n_levels = len(y), len(counts)
    if n_rows < MIN_ROWS or n_levels > n_rows / 5:
        return None
    total = float(((y - y.mean()) ** 2).sum())
    rest = float(((y - means[level]) ** 2).sum())
    r2 = 1 - (rest / (n_rows - n_levels)) / (total / (n_rows - 1)) if total else 0.0
    if r2 > _MIN_R2:
        return LeakFinding((name,), "categorical", r2)
    return _bins(name, codes, y)


def enough(known: npt.NDArray[np.bool_]) -> bool:
    """Whether enough rows have a value to say anything."""
    return int(known.sum()) >= max(MIN_ROWS, MIN_SHARE * len(known))


def _by_shape(
    name: str, feature: Floats, y: Floats, feature_ranks: Floats, ranks: Floats, trim: float
) -> LeakFinding | None:
    """The target as any function of the column, or the column as any function of the target."""
    if len(y) < _SHAPE_ROWS:
        return None
    # Ranks for the first look: a far tail says nothing in a small sample.
    few = slice(None, None, max(1, len(y) // _SCREEN_ROWS))
    if _r2_beside(feature[few], ranks[few]) > _SCREEN_R2:
        guess = beside(feature, y)
        r2 = r2_of(y, guess)
        if r2 > _MIN_R2 and holds_without_extremes(guess, y):
            return LeakFinding((name,), "function", r2)
        if (rest := _ranked(feature, ranks, trim)) > _FUNCTION_R2:
            return LeakFinding((name,), "function", rest)
    many = len(np.unique(feature)) >= _MADE_FROM_VALUES
    screened = many and _r2_beside(y[few], feature_ranks[few]) > _SCREEN_R2
    if screened and (rest := _ranked(y, feature_ranks, trim)) > _FUNCTION_R2:
        return LeakFinding((name,), "made_from", rest)
    return None


def _ranked(by: Floats, ranks: Floats, trim: float) -> float:
    """R2 of ranks without that share of the rows; 0 where these cost more than twice the share.

    Of ranks, for in the tails of a square, say, the rows are few and far apart.
    """
    guess = beside(by, ranks)
    return trimmed_r2(ranks, guess, trim) if r2_of(ranks, guess) > 1 - 2 * trim else 0.0


def _r2_beside(by: Floats, values: Floats) -> float:
    return r2_of(values, beside(by, values)) if len(by) and by.min() < by.max() else 0.0


def _bins(name: str, codes: Floats, y: Floats) -> LeakFinding | None:
    """Whether the levels are ranges of the target, as cutting it into bins makes them.

    Five levels or more, of five rows or more, that explain R2 >= 0.5, whose ranges do not overlap
    but for 0.1 % of the rows, that touch (the gap between neighbours is at most 5 times the spacing
    of the target's values around it, in the median), and that are filled to their edges: 12 % of
    the rows of inner levels at least lie in the outer tenths of their level's range, where a
    uniform spread has 20 % and a bell under 7 %. An honest cause with few values and little noise
    fails the last two; under 300 rows these say too little, and nothing is looked for.
    """
    level, counts, means = _level_means(codes, y)
    if not _BINS[0] <= len(counts) <= _BINS[1] or len(y) < _BINS_ROWS:
        return None
    large = counts[level] >= _BINS_LEVEL_ROWS
    if large.sum() < _BINS_SHARE * len(y) or (counts >= _BINS_LEVEL_ROWS).sum() < _BINS[0]:
        return None
    level, y = level[large], y[large]
    r2 = r2_of(y, means[level])
    if r2 < _BINS_R2:
        return None
    place = np.argsort(np.argsort(means, kind="stable"), kind="stable")[level]
    order = np.lexsort((place, y))
    kept = order[_longest_rise(place[order])]
    if len(kept) < len(y) - int(_BINS_OVERLAP * len(y)):
        return None
    if len(np.unique(place[kept])) < _BINS[0] or not _touch_and_fill(place[kept], y[kept]):
        return None
    return LeakFinding((name,), "bins", r2)


def _touch_and_fill(place: npt.NDArray[np.int64], y: Floats) -> bool:
    """place, y: (n_rows,), both rising."""
    values = np.unique(y)
    starts = np.flatnonzero(place[1:] != place[:-1]) + 1
    at = np.searchsorted(values, y[starts])
    below, above = np.maximum(at - 6, 0), np.minimum(at + 5, len(values) - 1)
    # Around the gap, without it.
    gap = y[starts] - y[starts - 1]
    around = (values[above] - values[below] - gap) / np.maximum(above - below - 1, 1)
    if float(np.median(gap / np.where(around > 0, around, np.inf))) > _BINS_GAP:
        return False
    outer = rows = 0
    for inner in np.split(y, starts)[1:-1]:
        low, high = inner[0], inner[-1]
        if high > low:
            away = np.minimum(inner - low, high - inner) / (high - low)
            # Each end belongs to the range by definition.
            outer += int((away <= 0.1).sum()) - 2
            rows += len(inner) - 2
    return rows <= 0 or outer >= _BINS_EDGE_SHARE * rows


def _longest_rise(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Places of the longest subsequence that never falls (Fredman 1975)."""
    tails: list[int] = []
    ends: list[int] = []
    before = np.full(len(values), -1)
    for i, value in enumerate(values.tolist()):
        at = bisect.bisect_right(tails, value)
        if at == len(tails):
            tails.append(value)
            ends.append(i)
        else:
            tails[at], ends[at] = value, i
        before[i] = ends[at - 1] if at else -1
    chain = []
    last = ends[-1]
    while last >= 0:
        chain.append(last)
        last = int(before[last])
    return np.array(chain[::-1])


def _level_means(
    codes: Floats, y: Floats
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """Of each row its level, of each level its rows and its mean y."""
    level = np.unique(codes, return_inverse=True)[1]
    counts = np.bincount(level)
    return level, counts, np.bincount(level, y) / counts
