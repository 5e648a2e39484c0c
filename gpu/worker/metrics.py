"""Scores of predictions, as a worker reports them."""

from __future__ import annotations

import numpy as np

from gpu.worker.trainers.base import FloatVector


def mean_squared_error(y: FloatVector, predictions: FloatVector) -> float:
    """Mean of (y - prediction)^2, in squared units of the target."""
    return float(np.mean((y - predictions) ** 2))


def r2_score(y: FloatVector, predictions: FloatVector) -> float:
    """1 - SSE / SST against the mean of y, no unit. Raises ValueError when y is constant."""
    total = float(np.sum((y - y.mean()) ** 2))
    if total <= 0:
        raise ValueError(f"R2 is undefined: the target has one value in {len(y)} validation rows")
    return 1.0 - float(np.sum((y - predictions) ** 2)) / total
