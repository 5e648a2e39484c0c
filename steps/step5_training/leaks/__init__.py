"""Find features that give the target away before anything is trained: alone, or two together.

What is looked for is equality up to noise, not a good predictor: what passes a rule here was made
from the target, or the target from it. Each rule stands with its threshold in columns, groups and
pairs; reconstruction looks once more when a model has been trained.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from steps.step5_training.leaks.columns import categorical_leak, numeric_leak
from steps.step5_training.leaks.finding import Floats, LeakFinding
from steps.step5_training.leaks.groups import group_mean_leak, may_be_group_mean
from steps.step5_training.leaks.pairs import PAIR_FEATURES, formula_leaks, sum_leaks
from steps.tables import Table

__all__ = ["LeakFinding", "find_leaks", "leak_sample", "unchecked_pair_features"]

SAMPLE_ROWS = 20_000
_SEED = 20


def find_leaks(table: Table) -> tuple[LeakFinding, ...]:
    """Every feature, and every pair of the others, that reproduces the target.

    Works on at most 20,000 rows drawn with a fixed seed; means over groups are looked for in all
    rows. Pairs are looked at among numeric and boolean features, at most the 500 that correlate
    best with the target. The target must be finite and must vary.
    """
    X, y = leak_sample(table)
    findings = []
    for place in range(table.n_features):
        finding = _alone(table, place, X[:, place], y)
        if finding is not None:
            findings.append(finding)
    found = {name for finding in findings for name in finding.features}
    others = [
        place
        for place, name in enumerate(table.feature_names)
        if name not in found and table.kinds[place] != "categorical"
    ]
    sums = sum_leaks(X, y, others, table.feature_names)
    paired = {name for finding in sums for name in finding.features}
    others = [place for place in others if table.feature_names[place] not in paired]
    return (*findings, *sums, *formula_leaks(X, y, others, table.feature_names))


def unchecked_pair_features(table: Table) -> int:
    """How many numeric and boolean features find_leaks leaves out of the pairs."""
    return max(sum(kind != "categorical" for kind in table.kinds) - PAIR_FEATURES, 0)


def leak_sample(table: Table) -> tuple[npt.NDArray[np.float32], Floats]:
    """Features and target of the rows that are looked at: (n_rows, n_features) and (n_rows,)."""
    if table.n_rows <= SAMPLE_ROWS:
        return table.X, table.y
    chosen = np.random.default_rng(_SEED).choice(table.n_rows, SAMPLE_ROWS, replace=False)
    rows = np.sort(chosen)
    return np.ascontiguousarray(table.X[rows]), table.y[rows]


def _alone(
    table: Table, place: int, column: npt.NDArray[np.float32], y: Floats
) -> LeakFinding | None:
    name, feature = table.feature_names[place], column.astype(np.float64)
    if table.kinds[place] == "categorical":
        return categorical_leak(name, feature, y)
    finding = numeric_leak(name, feature, y)
    if finding is None and may_be_group_mean(column, y):
        finding = group_mean_leak(name, np.ascontiguousarray(table.X[:, place]), table.y)
    return finding
