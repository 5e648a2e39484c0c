"""After training: do one or two features give the target away, though no rule saw it before?

Where a model is almost perfect, the features it rests on are asked whether they alone, in a simple
form, are the target; where nothing was observed of the model, every feature is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt

from gpu.protocol.observations import Importance
from steps.step5_training.correlation import mean_ranks, pearson
from steps.step5_training.evaluate import Vector
from steps.step5_training.leaks import leak_sample
from steps.step5_training.leaks.columns import MIN_ROWS, enough
from steps.step5_training.leaks.finding import Floats, LeakFinding
from steps.step5_training.leaks.pairs import (
    FORMULA_CORRELATION,
    evenly,
    fitted,
    formula_leaks,
    formula_strength,
    sum_leaks,
)
from steps.step5_training.leaks.shapes import FORMULAS, beside, holds_without_extremes, r2_of
from steps.step5_training.signal import TOO_GOOD_R2
from steps.tables import Table

# Measures of how much a model's predictions owe to a feature; split and weight count its uses only.
SHARES = ("gain", "PredictionValuesChange", "input_gradient")
MOST_NAMED = 2
CONCENTRATED = 0.98
GOOD_R2 = 0.95
ONE_R2 = 0.995
SUM_CORRELATION = 0.999
# Of the features that are looked at alone, and in pairs, and the rows of the choice.
MOST_ALONE, MOST_PAIRED, CHOICE_ROWS = 500, 50, 2000


def leaks_of_model(
    table: Table,
    importances: Sequence[Importance],
    holdout_r2: float,
    known: Collection[str] = (),
) -> tuple[LeakFinding, ...]:
    """What gives the target away, judged by the best family's model.

    Looked for where its holdout R2 is over 0.95. First at the one feature, or the two, that have
    98 % of the importance. One is named if the target can be read off it alone: from the rows
    beside each row in the feature, with an R2 over 0.995. Two are named if their least-squares sum
    correlates with the target by 0.999, or their product, ratio, smaller, larger or distance by
    0.99998. With a holdout R2 over 0.999 they are named without that.

    Where no importances were observed: every feature alone (at most 500), then the strongest pair
    of the 50 whose ranks correlate best with the target, by the same bounds. known: features that
    were found before training; they are not looked at again here.
    """
    if holdout_r2 <= GOOD_R2:
        return ()
    X, y = leak_sample(table)
    if not importances:
        return _of_all(table, X, y, known)
    named = concentrated(importances)
    return () if named is None else _of_named(table, X, y, *named, holdout_r2)


def _of_named(
    table: Table,
    X: npt.NDArray[np.float32],
    y: Floats,
    places: tuple[int, ...],
    share: float,
    holdout_r2: float,
) -> tuple[LeakFinding, ...]:
    names = tuple(table.feature_names[place] for place in places)
    columns = [X[:, place].astype(np.float64) for place in places]
    known = np.all([~np.isnan(column) for column in columns], axis=0)
    found = None
    if known.sum() > 1 and y[known].min() < y[known].max():
        columns, seen = [column[known] for column in columns], y[known]
        found = _one(names, columns[0], seen) if len(names) == 1 else _two(names, columns, seen)
    if found is None and holdout_r2 > TOO_GOOD_R2:
        found = LeakFinding(names, "model", share)
    return () if found is None else (found,)


def _of_all(
    table: Table, X: npt.NDArray[np.float32], y: Floats, known: Collection[str]
) -> tuple[LeakFinding, ...]:
    names = table.feature_names
    few = evenly(len(y), CHOICE_ROWS)
    places = [place for place, name in enumerate(names) if name not in known]
    if len(places) > MOST_PAIRED:
        places.sort(key=lambda place: -_rank_correlation(X[few, place], y[few]))
    alone = []
    for place in places[:MOST_ALONE]:
        column = X[:, place].astype(np.float64)
        here = ~np.isnan(column)
        if enough(here) and (found := _one((names[place],), column[here], y[here])):
            alone.append(found)
    if alone:
        return tuple(alone)
    paired = sorted(places[:MOST_PAIRED])
    return tuple((*sum_leaks(X, y, paired, names), *formula_leaks(X, y, paired, names))[:1])


def _rank_correlation(column: npt.NDArray[np.float32], y: Floats) -> float:
    """Absolute, over the rows that have a value."""
    here = ~np.isnan(column)
    if here.sum() < 2:
        return 0.0
    return abs(pearson(mean_ranks(column[here].astype(np.float64)), mean_ranks(y[here])))


def concentrated(importances: Sequence[Importance]) -> tuple[tuple[int, ...], float] | None:
    """The one feature, or the two, that have 98 % of the importance, and their share of it."""
    values = next((np.array(i.values) for i in importances if i.kind in SHARES), None)
    if values is None or values.sum() <= 0:
        return None
    order = np.argsort(-values, kind="stable")
    shares = np.cumsum(values[order]) / values.sum()
    for count in range(1, min(MOST_NAMED, len(values)) + 1):
        if shares[count - 1] >= CONCENTRATED:
            return tuple(int(place) for place in order[:count]), float(shares[count - 1])
    return None


def _one(names: tuple[str, ...], feature: Floats, y: Vector) -> LeakFinding | None:
    # Copied rows would let any column with a value for each tell the target: of equals, one row.
    feature, y = np.unique(np.stack([feature, y]), axis=1)
    if len(y) < MIN_ROWS or feature.min() == feature.max():
        return None
    guess = beside(feature, y)
    r2 = r2_of(y, guess)
    if r2 > ONE_R2 and holds_without_extremes(guess, y):
        return LeakFinding(names, "function", r2)
    return None


def _two(names: tuple[str, ...], columns: list[Floats], y: Vector) -> LeakFinding | None:
    together = fitted(np.stack(columns, axis=1), y)
    strength = abs(pearson(together, y))
    if strength > SUM_CORRELATION and holds_without_extremes(together, y):
        return LeakFinding(names, "pair", min(strength**2, 1.0))
    for formula in FORMULAS:
        for first, second in permutations(columns):
            strength = formula_strength(formula, first, second, y)
            if strength > FORMULA_CORRELATION:
                return LeakFinding(names, formula, min(strength, 1.0))
    return None
