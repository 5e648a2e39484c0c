"""Bring an extreme target into a range that the tree libraries can hold, and back.

xgboost, lightgbm and catboost store the target in float32 and compare gains, which are in squared
units of the target, with fixed thresholds (xgboost: 1e-6). A target of 1e9 with a spread of 1 loses
its digits there, and one of spread 1e-5 is never split. Such a target is standardised by its
training rows; any other is left as it is, so that the checkpoint speaks in its units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gpu.worker.trainers.base import FloatVector

SMALLEST_SPREAD, LARGEST_SPREAD = 0.05, 1e9
# float32 has 24 binary digits: an offset of this many spreads still leaves over 10 of them.
LARGEST_OFFSET = 4096.0


class TargetScale(BaseModel):
    """The checkpoint predicts (target - mean) / scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    scale: float

    def apply(self, y: FloatVector) -> FloatVector:
        """Targets as the library sees them, (n_rows,)."""
        return (y - self.mean) / self.scale

    def undo(self, predictions: NDArray[np.float64]) -> FloatVector:
        """Predictions in units of the target, (n_rows,)."""
        return predictions * self.scale + self.mean

    def undo_squared(self, errors: Sequence[float] | NDArray[np.float64]) -> FloatVector:
        """Squared errors in squared units of the target, (n,)."""
        return np.asarray(errors, dtype=np.float64) * self.scale**2


def fit_target(y: FloatVector) -> TargetScale:
    """The scale for training targets y, (n_rows,); mean 0 and scale 1 where none is needed."""
    centre = float(np.median(y))
    spread = float((y - centre).std())
    if SMALLEST_SPREAD <= spread <= LARGEST_SPREAD and abs(centre) <= LARGEST_OFFSET * spread:
        return TargetScale(mean=0.0, scale=1.0)
    return TargetScale(mean=centre, scale=spread if spread > 0 else 1.0)
