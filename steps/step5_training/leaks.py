"""Find features that give the target away: alone, or two of them in a sum.

What is looked for is equality up to noise, not a good predictor: an R2 above 0.998 from a single
column or a plain sum means that the column was made from the target, or the target from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from steps.tables import Table

How = Literal["copy", "affine", "rank", "categorical", "pair"]
Floats = npt.NDArray[np.float64]

_MIN_CORRELATION = 0.999
_MIN_R2 = 0.998
_SAMPLE_ROWS = 20_000
# Cells of the sample for the pairs, and the most features whose pairs are looked at.
_PAIR_CELLS = 8_000_000
_PAIR_FEATURES = 500
_MOST_PAIRS = 20
_MIN_ROWS = 10
_MIN_SHARE = 0.1
# A few rows far from the rest can make any correlation 1; it must hold without them.
_EXTREME_SHARE = 0.001
_SEED = 20


@dataclass(frozen=True, slots=True)
class LeakFinding:
    """Features that reproduce the target.

    how: "copy" equals it, "affine" is a + b * target, "rank" rises or falls with it, "categorical"
    has a level for each of its values, "pair": a * first + b * second + c. strength: |correlation|
    or |rank correlation| for the first three, R2 for the others; each up to 1.
    """

    features: tuple[str, ...]
    how: How
    strength: float


def find_leaks(table: Table) -> tuple[LeakFinding, ...]:
    """Every feature, and every pair of the others, that reproduces the target.

    Works on at most 20,000 rows drawn with a fixed seed. Pairs are looked at among numeric and
    boolean features, at most the 500 that correlate best with the target. The target must be
    finite and must vary.
    """
    rows = _sample(table.n_rows, _SAMPLE_ROWS)
    X, y = table.X[rows], table.y[rows]
    findings = []
    for place, name in enumerate(table.feature_names):
        feature = X[:, place].astype(np.float64)
        if table.kinds[place] == "categorical":
            finding = _by_level(name, feature, y)
        else:
            finding = _alone(name, feature, y)
        if finding is not None:
            findings.append(finding)
    found = {name for finding in findings for name in finding.features}
    others = [
        place
        for place, name in enumerate(table.feature_names)
        if name not in found and table.kinds[place] != "categorical"
    ]
    findings.extend(_pairs(X, y, others, table.feature_names))
    return tuple(findings)


def unchecked_pair_features(table: Table) -> int:
    """How many numeric and boolean features find_leaks leaves out of the pairs."""
    return max(sum(kind != "categorical" for kind in table.kinds) - _PAIR_FEATURES, 0)


def _sample(n_rows: int, most: int) -> npt.NDArray[np.int64]:
    if n_rows <= most:
        return np.arange(n_rows)
    chosen = np.random.default_rng(_SEED).choice(n_rows, most, replace=False)
    return np.sort(chosen)


def _alone(name: str, feature: Floats, y: Floats) -> LeakFinding | None:
    known = ~np.isnan(feature)
    if not _enough(known):
        return None
    feature, y = feature[known], y[known]
    correlation = abs(_pearson(feature, y))
    if correlation > _MIN_CORRELATION and _holds_without_extremes(feature, y):
        slope, shift = np.polyfit(feature, y, 1)
        spread = float(y.std())
        same = abs(slope - 1) < 0.01 and abs(shift + (slope - 1) * feature.mean()) < 0.01 * spread
        return LeakFinding((name,), "copy" if same else "affine", min(correlation, 1.0))
    ranks = abs(_pearson(_ranks(feature), _ranks(y)))
    if ranks > _MIN_CORRELATION:
        return LeakFinding((name,), "rank", min(ranks, 1.0))
    return None


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, equal values sharing their mean rank; scipy.stats takes a second to import."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return ranks


def _by_level(name: str, codes: Floats, y: Floats) -> LeakFinding | None:
    """R2 of the level means, adjusted for the number of levels; a missing level is one too."""
    _, level = np.unique(np.where(np.isnan(codes), -1.0, codes), return_inverse=True)
    counts = np.bincount(level)
    n_rows, n_levels = len(y), len(counts)
    if n_rows < _MIN_ROWS or n_levels > n_rows / 5:
        return None
    means = np.bincount(level, y) / counts
    total = float(((y - y.mean()) ** 2).sum())
    rest = float(((y - means[level]) ** 2).sum())
    r2 = 1 - (rest / (n_rows - n_levels)) / (total / (n_rows - 1)) if total else 0.0
    return LeakFinding((name,), "categorical", r2) if r2 > _MIN_R2 else None


def _pairs(
    X: npt.NDArray[np.float32], y: Floats, places: list[int], names: tuple[str, ...]
) -> list[LeakFinding]:
    """R2 of the least-squares fit of y on each two features, from sums over rows that have both.

    With M the mask of present values and Z the standardised values (0 where missing), the products
    M'M, Z'M, (Z*Z)'M, Z'Z, (M*y)'M, (M*y*y)'M and (Z*y)'M hold every sum that a pair needs.
    """
    if len(places) < 2:
        return []
    few = _sample(len(y), max(_PAIR_CELLS // len(places), 2000))
    y = (y[few] - y[few].mean()) / (y[few].std() or 1.0)
    Z = X[few][:, places].astype(np.float64)
    M = (~np.isnan(Z)).astype(np.float64)
    count = M.sum(axis=0)
    enough = np.array([_enough(M[:, place] > 0) for place in range(M.shape[1])])
    Z[M == 0] = 0.0
    mean = Z.sum(axis=0) / np.maximum(count, 1)
    Z = (Z - mean) * M
    spread = np.sqrt((Z * Z).sum(axis=0) / np.maximum(count, 1))
    Z /= np.where(spread > 0, spread, 1.0)
    chosen = np.flatnonzero(enough & (spread > 0))
    if len(chosen) > _PAIR_FEATURES:
        strength = np.abs(Z[:, chosen].T @ y) / count[chosen]
        chosen = np.sort(chosen[np.argsort(-strength, kind="stable")[:_PAIR_FEATURES]])
    Z, M = Z[:, chosen], M[:, chosen]
    r2 = _r2_of_pairs(Z, M, y)
    findings = []
    first, second = np.nonzero(np.triu(r2 > _MIN_R2, 1))
    strongest = np.argsort(-r2[first, second], kind="stable")
    for at in strongest:
        i, j = first[at], second[at]
        known = (M[:, i] * M[:, j]) > 0
        fitted = _fitted(Z[known][:, [i, j]], y[known])
        if _holds_without_extremes(fitted, y[known]):
            pair = tuple(names[places[chosen[k]]] for k in (i, j))
            findings.append(LeakFinding(pair, "pair", min(float(r2[i, j]), 1.0)))
        if len(findings) == _MOST_PAIRS:
            break
    return findings


def _r2_of_pairs(Z: Floats, M: Floats, y: Floats) -> Floats:
    """(n_features, n_features); 0 where too few rows have both, or both are the same line."""
    n = np.maximum(M.T @ M, 1.0)
    y_column = y[:, None]
    sum_a = Z.T @ M  # [i, j]: sum of feature i over the rows that have j too
    sum_y = (M * y_column).T @ M
    var_a = (Z * Z).T @ M - sum_a**2 / n
    var_y = (M * y_column**2).T @ M - sum_y**2 / n
    cov_ab = Z.T @ Z - sum_a * sum_a.T / n
    cov_ay = (Z * y_column).T @ M - sum_a * sum_y / n
    var_b, cov_by = var_a.T, cov_ay.T
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = var_a * var_b - cov_ab**2
        explained = cov_ay**2 * var_b - 2 * cov_ay * cov_by * cov_ab + cov_by**2 * var_a
        r2 = explained / (determinant * var_y)
        apart = determinant > 1e-9 * var_a * var_b
    enough = np.maximum(_MIN_ROWS, _MIN_SHARE * len(y))
    usable = (n >= enough) & apart & (var_y > 1e-12 * len(y)) & np.isfinite(r2)
    return np.where(usable, r2, 0.0)


def _fitted(features: Floats, y: Floats) -> Floats:
    design = np.column_stack([features, np.ones(len(y))])
    weights, *_ = np.linalg.lstsq(design, y, rcond=None)
    fitted: Floats = design @ weights
    return fitted


def _holds_without_extremes(feature: Floats, y: Floats) -> bool:
    """Whether the correlation stays when the rows with the most unusual targets are left out."""
    distance = np.abs(y - np.median(y))
    n_left = len(y) - max(1, round(len(y) * _EXTREME_SHARE))
    left = np.argsort(distance, kind="stable")[:n_left]
    return abs(_pearson(feature[left], y[left])) > 0.99


def _pearson(first: Floats, second: Floats) -> float:
    """0 where one of them is constant."""
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 else 0.0


def _enough(known: npt.NDArray[np.bool_]) -> bool:
    return int(known.sum()) >= max(_MIN_ROWS, _MIN_SHARE * len(known))
