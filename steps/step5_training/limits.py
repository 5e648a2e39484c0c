"""How long a job may take before it is taken to hang; all times in seconds."""

from __future__ import annotations

from collections.abc import Sequence

GRACE_S = 60.0
FACTOR = 20.0
# Under a time budget a final fit that is late is waited for a little, one that hangs is not.
LATE_S, LATE_FACTOR = 10.0, 3.0


def trial_limit_s(fold_s: Sequence[float], n_folds: int) -> float | None:
    """Many times what the slowest fold so far would make of a trial; None while none is known."""
    return GRACE_S + FACTOR * n_folds * max(fold_s) if fold_s else None


def fit_limit_s(estimate_s: float, left_s: float | None) -> float:
    """Many times the estimate; with a time budget of which left_s is left, hardly over that."""
    limit = GRACE_S + FACTOR * estimate_s
    if left_s is None:
        return limit
    return min(limit, max(left_s, LATE_FACTOR * estimate_s + LATE_S))
