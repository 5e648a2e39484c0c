"""Find a column that is the target's own mean over groups: target encoding done wrong.

The mean over a group that counts the row's own target tells of that target. It is found without
knowing the groups: rows of one group share the column's value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steps.step5_training.correlation import pearson
from steps.step5_training.leaks.finding import Floats, LeakFinding

# The chance that one rule accuses one honest column.
_FALSE_ALARM = 1e-9
# Of chance's scatter, at most: in units of the target; and on any other scale, where the columns
# of a complete factorial design come close.
_MOST_SCATTER, _MOST_SCATTER_SCALED = 0.05, 0.001
_FEWEST_GROUPS = 3
_FEWEST_FREEDOM = 3
# The chance part of group means alone makes 1 of it.
_LEAST_BETWEEN = 0.2
_SAME_SIZE = 3
# Of means, summed in float64, and of a column of float32.
_ROUNDING, _ROUNDING_OF_VALUES = 1e-9, 1e-5
# Rows that are looked at where a table has many values; whole groups of them.
_MOST_ROWS = 400_000
_MANY_VALUES = 4000


@dataclass(frozen=True, slots=True)
class _Groups:
    """Rows of equal value. value, mean: of the column and of the target, both less the target's
    overall mean. size: rows. inside: pooled variance of the target inside groups."""

    value: Floats
    mean: Floats
    size: Floats
    inside: float


def group_mean_leak(name: str, column: npt.NDArray[np.float32], y: Floats) -> LeakFinding | None:
    """A finding on a column of the whole table, NaN where missing; None if there is none.

    Let groups g = 1..G be the rows of equal value v_g: m_g rows with mean target ybar_g; s2 the
    pooled variance of the target inside groups. If a column is honest, the means scatter around
    any curve f by chance at least: Q = sum m_g (ybar_g - f(v_g))^2 / s2 is chi-squared with
    d = G - k degrees of freedom, k the parameters of f, or larger where f is wrong (lack of fit,
    Fisher 1922). For a mean with the row itself, Q is rounding. A finding is Q / d under a limit
    that chi-squared falls under with a chance of at most 1e-9, and under 0.05.

    f is, in this order: v itself; v + c v / m + d / m, which is additive smoothing
    v = (m ybar + c mu) / (m + c); a + b v; and a_m + b_m v for each group size m, any smoothing
    that depends on the size. The last two, on a scale of their own, need Q / d under 0.001, groups
    of different sizes, and means that vary with v: else a complete factorial design or matched
    pairs would be accused.

    Each f gives groups of one size and one mean one value, and they would be one group. Two of them
    with different values clear the column: among counts that are mostly 0, groups without a scatter
    are no rarity, and chi-squared says nothing.
    """
    known = ~np.isnan(column)
    values, y = column[known], y[known]
    if len(y) > _MOST_ROWS:
        drawn = _drawn_groups(values, _MOST_ROWS / len(y))
        values, y = values[drawn], y[drawn]
    groups = _groups(values, y)
    if groups is None or _differ_without_cause(groups):
        return None
    found = _scatter(groups)
    return None if found is None else LeakFinding((name,), "group_mean", 1 - found)


def may_be_group_mean(column: npt.NDArray[np.float32], y: Floats) -> bool:
    """A cheap look at a sample of rows: values repeat, and go with the target or are near it.

    A mean over G groups of n rows in all correlates with the target by about sqrt(G / n) at
    least. Where that drowns in chance, the column itself lies as near to the sample's group means
    as these to the target's.
    """
    known = ~np.isnan(column)
    values, y = column[known], y[known]
    if len(values) < 10:
        return False
    value, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(value) > 0.995 * len(values):
        return False
    if abs(pearson(values.astype(np.float64), y)) > 1 / math.sqrt(len(values)):
        return True
    off = np.bincount(at, y) / counts - value
    return float((counts * off**2).mean()) < 3 * float(y.var())


def _groups(values: npt.NDArray[np.float32], y: Floats) -> _Groups | None:
    """None where too few rows share a value, or each value has its one target."""
    value, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    freedom = len(y) - len(value)
    if len(value) < _FEWEST_GROUPS or freedom < max(2, len(value) / 10):
        return None
    middle = float(y.mean())
    y = y - middle
    mean = np.bincount(at, y) / counts
    inside = float(((y - mean[at]) ** 2).sum()) / freedom
    if inside <= 1e-9 * float(y.var()):
        return None  # levels that tell the target: another rule's matter
    return _Groups(value.astype(np.float64) - middle, mean, counts.astype(np.float64), inside)


def _differ_without_cause(groups: _Groups) -> bool:
    """Whether two groups of one size and one mean have values that differ beyond rounding."""
    order = np.lexsort((groups.mean, groups.size))
    value, mean, size = groups.value[order], groups.mean[order], groups.size[order]
    alike = (np.diff(size) == 0) & (np.diff(mean) <= _ROUNDING * math.sqrt(groups.inside))
    return bool((alike & (np.abs(np.diff(value)) > _ROUNDING_OF_VALUES * np.ptp(value))).any())


def _scatter(groups: _Groups) -> float | None:
    """Q / d of the first curve that is under its limit; None if none is."""
    v, m = groups.value, groups.size
    one_size = m.min() == m.max()
    steps = np.diff(v)
    if not (one_size and steps.max() - steps.min() <= 1e-3 * steps.max()):
        own = np.stack([v / m, 1 / m], axis=1)
        for design in (np.empty((len(v), 0)), own):
            scatter, freedom, _ = _fit(groups, np.ones(len(v), bool), design, groups.mean - v)
            if _is_low(scatter, freedom, _MOST_SCATTER):
                return scatter / freedom
    if one_size:
        return None
    line = np.stack([np.ones(len(v)), v], axis=1)
    sizes, numbers = np.unique(m, return_counts=True)
    most_first = np.argsort(-numbers, kind="stable")
    alike = [m == sizes[k] for k in most_first if numbers[k] >= _SAME_SIZE]
    for parts in ([np.ones(len(v), bool)], alike):
        scatter, freedom, between, due = 0.0, 0, 0.0, 0.0
        for part in parts:
            q, d, explained = _fit(groups, part, line, groups.mean)
            scatter, freedom, between = scatter + q, freedom + d, between + explained
            due += _LEAST_BETWEEN * float(part.sum() - 1)
            if scatter > _MOST_SCATTER_SCALED * len(v):
                break  # no later part can make up for it
        if between >= due and _is_low(scatter, freedom, _MOST_SCATTER_SCALED):
            return scatter / freedom
    return None


def _fit(
    groups: _Groups, part: npt.NDArray[np.bool_], design: Floats, target: Floats
) -> tuple[float, int, float]:
    """Weighted least squares over groups: Q, its degrees of freedom, and what was explained."""
    root = np.sqrt(groups.size[part])
    wanted = target[part] * root
    rows = design[part] * root[:, None]
    # Columns on one scale, so that lstsq tells rounding from rank.
    rows = rows / np.where((norm := np.sqrt((rows**2).sum(axis=0))) > 0, norm, 1.0)
    weights, _, rank, _ = np.linalg.lstsq(rows, wanted, rcond=1e-10)
    guess = rows @ weights
    mean = float(guess @ root) / float(root @ root)
    scatter = float(((wanted - guess) ** 2).sum()) / groups.inside
    explained = float(((guess - mean * root) ** 2).sum()) / groups.inside
    return scatter, int(part.sum()) - int(rank), explained


def _is_low(scatter: float, freedom: int, most: float) -> bool:
    """Whether Q is under d * most, and under a value that chi-squared is under by 1e-9 at most.

    P(chi2_d < x) <= (x / 2)^(d / 2) / Gamma(d / 2 + 1).
    """
    if freedom < _FEWEST_FREEDOM:
        return False
    half = freedom / 2
    limit = 2 * math.exp((math.log(_FALSE_ALARM) + math.lgamma(half + 1)) / half)
    return scatter < min(limit, most * freedom)


def _drawn_groups(values: npt.NDArray[np.float32], share: float) -> npt.NDArray[np.bool_]:
    """Rows of whole groups, about that share of them; all rows where there are few values."""
    if len(np.unique(values[:: max(1, int(1 / share))])) < _MANY_VALUES:
        return np.ones(len(values), bool)
    hashed = values.view(np.uint32) * np.uint32(0x9E3779B1)
    return (hashed ^ (hashed >> np.uint32(15))) < np.uint32(share * (2**32 - 1))
