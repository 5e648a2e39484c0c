"""Find two columns that give the target away together: a weighted sum, or a formula of two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from steps.step5_training.correlation import pearson
from steps.step5_training.leaks.columns import MIN_ROWS, MIN_SHARE, enough
from steps.step5_training.leaks.finding import Floats, LeakFinding
from steps.step5_training.leaks.shapes import FORMULAS, Formula, holds_without_extremes

# The most features whose pairs are looked at.
PAIR_FEATURES = 500

_MIN_R2 = 0.998
# Cells of the sample for sums; rows of the first look at formulas, where each pair is a column.
_PAIR_CELLS = 8_000_000
_SCREEN_ROWS = 200
_SCREEN_CORRELATION = 0.98
_MOST_PAIRS = 20
_MOST_CANDIDATES = 200
# A law of two measured causes (voltage = current x resistance) with 1 % of noise correlates with
# its formula by 0.99995; a target that was taken apart into two columns by 1.
FORMULA_CORRELATION = 0.99998


def sum_leaks(
    X: npt.NDArray[np.float32], y: Floats, places: Sequence[int], names: Sequence[str]
) -> list[LeakFinding]:
    """Pairs whose least-squares sum explains more than 0.998, strongest first, at most 20.

    places: columns of X to pair, NaN where missing. From sums over rows that have both: with M the
    mask of present values and Z the standardised values (0 where missing), the products M'M, Z'M,
    (Z*Z)'M, Z'Z, (M*y)'M, (M*y*y)'M and (Z*y)'M hold every sum that a pair needs.
    """
    if len(places) < 2:
        return []
    few = evenly(len(y), max(_PAIR_CELLS // len(places), 2000))
    y = (y[few] - y[few].mean()) / (y[few].std() or 1.0)
    Z = X[few][:, places].astype(np.float64)
    M = (~np.isnan(Z)).astype(np.float64)
    count = M.sum(axis=0)
    Z[M == 0] = 0.0
    mean = Z.sum(axis=0) / np.maximum(count, 1)
    Z = (Z - mean) * M
    spread = np.sqrt((Z * Z).sum(axis=0) / np.maximum(count, 1))
    Z /= np.where(spread > 0, spread, 1.0)
    present = np.array([enough(M[:, place] > 0) for place in range(M.shape[1])])
    chosen = np.flatnonzero(present & (spread > 0))
    if len(chosen) > PAIR_FEATURES:
        strength = np.abs(Z[:, chosen].T @ y) / count[chosen]
        chosen = np.sort(chosen[np.argsort(-strength, kind="stable")[:PAIR_FEATURES]])
    Z, M = Z[:, chosen], M[:, chosen]
    r2 = _r2_of_pairs(Z, M, y)
    findings: list[LeakFinding] = []
    first, second = np.nonzero(np.triu(r2 > _MIN_R2, 1))
    for at in np.argsort(-r2[first, second], kind="stable"):
        i, j = first[at], second[at]
        known = (M[:, i] * M[:, j]) > 0
        if holds_without_extremes(fitted(Z[known][:, [i, j]], y[known]), y[known]):
            pair = tuple(names[places[chosen[k]]] for k in (i, j))
            findings.append(LeakFinding(pair, "pair", min(float(r2[i, j]), 1.0)))
        if len(findings) == _MOST_PAIRS:
            break
    return findings


def formula_leaks(
    X: npt.NDArray[np.float32], y: Floats, places: Sequence[int], names: Sequence[str]
) -> list[LeakFinding]:
    """Pairs whose product, ratio, smaller, larger or distance is the target on some scale.

    places as in sum_leaks; each pair is found once at most. All pairs are looked at on 200 rows,
    those that correlate there by 0.98 on all rows.
    """
    if len(places) < 2:
        return []
    few = evenly(len(y), _SCREEN_ROWS)
    some = X[few][:, places].astype(np.float64)
    if len(places) > PAIR_FEATURES:
        order = np.argsort(-np.abs(_correlations(some, y[few])), kind="stable")
        kept = np.sort(order[:PAIR_FEATURES])
        places, some = [places[k] for k in kept], some[:, kept]
    candidates: list[tuple[float, int, int, Formula]] = []
    for formula, make in FORMULAS.items():
        for i in range(len(places)):
            # A ratio has two directions; the others are the same both ways.
            others = np.arange(0 if formula == "ratio" else i + 1, len(places))
            others = others[others != i]
            if len(others) == 0:
                continue
            close = np.abs(_correlations(make(some[:, [i]], some[:, others]), y[few]))
            for at in np.flatnonzero(close > _SCREEN_CORRELATION):
                candidates.append((float(close[at]), i, int(others[at]), formula))
    candidates.sort(key=lambda candidate: -candidate[0])
    findings: dict[tuple[str, ...], LeakFinding] = {}
    for _, i, j, formula in candidates[:_MOST_CANDIDATES]:
        pair = (names[places[i]], names[places[j]])
        first, second = (X[:, places[k]].astype(np.float64) for k in (i, j))
        strength = formula_strength(formula, first, second, y)
        if strength > FORMULA_CORRELATION and tuple(sorted(pair)) not in findings:
            findings[tuple(sorted(pair))] = LeakFinding(pair, formula, min(strength, 1.0))
        if len(findings) == _MOST_PAIRS:
            break
    return list(findings.values())


def formula_strength(formula: Formula, first: Floats, second: Floats, y: Floats) -> float:
    """|correlation| of the formula with y over the rows that have it; 0 if a few rows make it."""
    made = FORMULAS[formula](first, second)
    known = np.isfinite(made)
    if not enough(known) or not holds_without_extremes(made[known], y[known]):
        return 0.0
    return abs(pearson(made[known], y[known]))


def fitted(features: Floats, y: Floats) -> Floats:
    """Least squares of y on (n_rows, n_features) and a constant: (n_rows,)."""
    design = np.column_stack([features, np.ones(len(y))])
    weights, *_ = np.linalg.lstsq(design, y, rcond=None)
    guess: Floats = design @ weights
    return guess


def evenly(n_rows: int, most: int) -> npt.NDArray[np.int64]:
    """Up to `most` row numbers, spread evenly, ascending."""
    if n_rows <= most:
        return np.arange(n_rows)
    return np.linspace(0, n_rows - 1, most).round().astype(np.int64)


def _correlations(values: Floats, y: Floats) -> Floats:
    """Correlation of each column with y over the rows it has: (n_columns,), 0 where too few."""
    mask = np.isfinite(values)
    present = mask.astype(np.float64)
    n = np.maximum(present.sum(axis=0), 1.0)
    filled = np.where(mask, values, 0.0)
    filled = np.where(mask, filled - filled.sum(axis=0) / n, 0.0)
    centred = np.where(mask, (y[:, None] - (y @ present) / n), 0.0)
    together = (filled * centred).sum(axis=0)
    scale = np.sqrt((filled**2).sum(axis=0) * (centred**2).sum(axis=0))
    usable = (n >= np.maximum(MIN_ROWS, MIN_SHARE * len(y))) & (scale > 0)
    correlations: Floats = np.where(usable, together / np.where(usable, scale, 1.0), 0.0)
    return correlations


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
    usable = (n >= np.maximum(MIN_ROWS, MIN_SHARE * len(y))) & apart & (var_y > 1e-12 * len(y))
    return np.where(usable & np.isfinite(r2), r2, 0.0)
