"""Could these predictions have come about by chance? Tests against predicting the mean.

Of a fixed set of predictions, R2 rises with the sum of products of centred target and centred
prediction: permuting one against the other shows what chance alone reaches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from steps.step5_training.evaluate import Rows, Vector, ranks_inside

MOST_PERMUTATIONS, FEWEST_PERMUTATIONS = 4999, 999
# Permutations x rows, in all and at a time.
CELLS, CHUNK_CELLS = 40_000_000, 2_000_000
# Sums of the same numbers in another order.
ROUNDING = 1e-12


def holdout_test(
    y: Vector,
    predictions: Mapping[str, Vector],
    rows: Rows,
    seed: int,
    units: Rows | None = None,
) -> dict[str, float]:
    """p-value by family: predictions of these rows and the target have nothing in common.

    The largest correlation over the families, of each permutation of the target, is what a
    family's own correlation is held against: so p is corrected for the number of families, and
    for how alike they are (Westfall and Young 1993, single-step maxT). p = (1 + b) / (1 + B), B
    between 999 and 4999. One-sided: a negative correlation is no signal. A family that predicts
    one value everywhere has p = 1.

    units: int (n_rows,), rows that may depend on each other. Then the sums of products of whole
    units change their signs at random instead (a wild cluster bootstrap, Cameron, Gelbach and
    Miller 2008), and p cannot be under 2^-units.
    """
    target = y[rows] - y[rows].mean()
    target /= np.sqrt(target @ target)
    columns = np.stack([predicted[rows] for predicted in predictions.values()], axis=1)
    columns -= columns.mean(axis=0)
    norms = np.sqrt((columns**2).sum(axis=0))
    flat = norms <= ROUNDING * np.abs(np.stack([p[rows] for p in predictions.values()])).max(axis=1)
    columns /= np.where(flat, 1.0, norms)
    columns[:, flat] = 0.0
    generator = np.random.default_rng([seed, len(rows)])
    if units is None:
        observed = target @ columns
        largest = _by_permutation(target, columns, generator)
    else:
        sums = _by_unit(target[:, None] * columns, units[rows])
        scale = np.sqrt((sums**2).sum(axis=0))
        sums /= np.where(scale > 0, scale, 1.0)
        observed = sums.sum(axis=0)
        largest = _by_signs(sums, generator)
    reached = (largest[:, None] >= observed - ROUNDING).sum(axis=0)
    p = np.where(flat, 1.0, (1 + reached) / (1 + len(largest)))
    return {name: float(value) for name, value in zip(predictions, p, strict=True)}


def out_of_fold_test(
    y: Vector,
    predictions: Mapping[str, Vector],
    folds: Sequence[Rows],
    hypotheses: int,
    units: Rows | None = None,
    *,
    mutual: bool,
) -> dict[str, float]:
    """p-value by family: out-of-fold predictions and the target have nothing in common.

    The statistic is the sum over folds of the products of ranks inside the fold, of target and
    prediction. Ranks, for their sum is close to normal under permutations inside folds whatever
    tails the target has; mean 0, variance sum of SS(target) * SS(prediction) / (n - 1) (Pitman
    1937). With units (n_rows,), a t-test of the units' sums takes its place.

    mutual: each fold's rows train the models of the others, as with random folds. Then the terms
    of two folds depend on each other; by Cauchy and Schwarz that can double the variance at most,
    and it is doubled. p is multiplied by the number of hypotheses (Bonferroni): these predictions
    are the best of so many.
    """
    rows = np.concatenate(list(folds))
    target = ranks_inside(y, folds)
    part = np.repeat(np.arange(len(folds)), [len(fold) for fold in folds])
    size = np.bincount(part)
    found = {}
    for name, predicted in predictions.items():
        guess = ranks_inside(predicted, folds)
        products = target * guess
        if units is None:
            spread = np.bincount(part, target**2) * np.bincount(part, guess**2)
            variance = float((spread / np.maximum(size - 1, 1)).sum())
            z = _ratio(float(products.sum()), variance, mutual=mutual)
        else:
            sums = _by_unit(products[:, None], units[rows])[:, 0]
            freedom = len(sums) - 1
            variance = len(sums) * float(sums.var(ddof=1)) if freedom > 0 else 0.0
            z = _normal_of_t(_ratio(float(sums.sum()), variance, mutual=mutual), freedom)
        found[name] = min(1.0, upper_tail(z) * hypotheses)
    return found


def upper_tail(z: float) -> float:
    """P(Z > z) of a standard normal Z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def _ratio(total: float, variance: float, *, mutual: bool) -> float:
    """The total in its standard deviations; -inf where nothing varies."""
    spread = math.sqrt(2 * variance if mutual else variance)
    return total / spread if spread > 0 else -math.inf


def _normal_of_t(t: float, freedom: int) -> float:
    """The normal deviate of the same tail as Student's t (Wallace 1959, formula 3)."""
    if not math.isfinite(t) or freedom < 1:
        return -math.inf
    shrunk = math.sqrt(freedom * math.log1p(t * t / freedom))
    return math.copysign(shrunk * (8 * freedom + 1) / (8 * freedom + 3), t)


def _by_permutation(target: Vector, columns: Vector, generator: np.random.Generator) -> Vector:
    """The largest correlation over the columns of each permutation: (n_permutations,)."""
    n_rows = len(target)
    count = int(np.clip(CELLS // n_rows, FEWEST_PERMUTATIONS, MOST_PERMUTATIONS))
    at_once = max(1, CHUNK_CELLS // n_rows)
    parts = []
    for start in range(0, count, at_once):
        tiled = np.tile(target, (min(at_once, count - start), 1))
        parts.append((generator.permuted(tiled, axis=1, out=tiled) @ columns).max(axis=1))
    return np.concatenate(parts)


def _by_signs(sums: Vector, generator: np.random.Generator) -> Vector:
    """The largest sum over the columns for each draw of signs: (n_draws,)."""
    at_once = max(1, CHUNK_CELLS // len(sums))
    parts = []
    for start in range(0, MOST_PERMUTATIONS, at_once):
        size = (min(at_once, MOST_PERMUTATIONS - start), len(sums))
        parts.append((generator.choice((-1.0, 1.0), size=size) @ sums).max(axis=1))
    return np.concatenate(parts)


def _by_unit(values: Vector, units: Rows) -> Vector:
    """Sums of (n_rows, n_columns) by unit: (n_units, n_columns)."""
    at = np.unique(units, return_inverse=True)[1]
    sums = np.zeros((int(at.max()) + 1, values.shape[1]))
    np.add.at(sums, at, values)
    return sums
