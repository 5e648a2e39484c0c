"""How long a job may take before it is taken to hang; all times in seconds."""

from __future__ import annotations

from collections.abc import Sequence

GRACE_S = 60.0
FACTOR = 20.0
# catboost with categories on one thread took 2e-7 s a cell and round; five times that.
FIRST_S, SLOWEST_S = 600.0, 1e-6
# Under a time budget a final fit that is late is waited for a little, one that hangs is not.
LATE_S, LATE_FACTOR = 10.0, 3.0


def first_limit_s(n_cells: int, n_folds: int, rounds: int) -> float:
    """For a trial of which nothing is known: many times the slowest that was ever measured.

    n_cells: rows x columns of the table. rounds: boosting rounds or epochs at most.
    """
    return FIRST_S + SLOWEST_S * n_cells * n_folds * rounds


def trial_limit_s(fold_s: Sequence[float], n_folds: int, first_s: float) -> float:
    """Many times what the slowest fold so far would make of a trial; first_s before the first."""
    return GRACE_S + FACTOR * n_folds * max(fold_s) if fold_s else first_s


def fit_limit_s(estimate_s: float, left_s: float | None) -> float:
    """Many times the estimate; with a time budget of which left_s is left, hardly over that."""
    limit = GRACE_S + FACTOR * estimate_s
    if left_s is None:
        return limit
    return min(limit, max(left_s, LATE_FACTOR * estimate_s + LATE_S))
