"""Blend the families' out-of-fold predictions, to say whether together they know more."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from steps.contract import Note
from steps.step5_training.evaluate import Rows, Vector

SUM_WEIGHT = 1e3


def blend_weights(y: Vector, predictions: Mapping[str, Vector], rows: Rows) -> dict[str, float]:
    """Non-negative weights that sum to one, by least squares on out-of-fold predictions.

    Stacked regression of Breiman 1996; the sum is held by one heavy row of the least squares
    (Lawson and Hanson 1974, ch. 22), so no blend fits these rows worse than its best member.
    """
    # It takes most of a second to load, and a run with one family never needs it.
    from scipy.optimize import nnls

    names = list(predictions)
    centre, spread = float(y[rows].mean()), float(y[rows].std())
    matrix = np.stack([(predictions[name][rows] - centre) / spread for name in names], axis=1)
    target = (y[rows] - centre) / spread
    heavy = SUM_WEIGHT * np.sqrt(len(target)) * max(1.0, float(np.abs(matrix).max()))
    weights, _ = nnls(np.vstack([matrix, np.full(len(names), heavy)]), np.append(target, heavy))
    total = float(weights.sum())
    return {name: float(w) / total for name, w in zip(names, weights, strict=True)}


def compare_blend(
    winner: str,
    y: Vector,
    out_of_fold: Mapping[str, Vector],
    holdout: Mapping[str, Vector],
    holdout_rows: Rows,
) -> Note:
    """Say what the blend reaches on the holdout beside the winner; it is not published."""
    known = np.flatnonzero(np.all([np.isfinite(p) for p in out_of_fold.values()], axis=0))
    weights = blend_weights(y, out_of_fold, known)
    blended = np.sum([holdout[name] * weight for name, weight in weights.items()], axis=0)
    shares = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items() if weight > 0)
    message = (
        f"a blend ({shares}) reaches R2 {_r2(y, blended, holdout_rows):.4f} on the holdout, "
        f"{winner} alone {_r2(y, holdout[winner], holdout_rows):.4f}"
    )
    return Note(level="info", code="blend", message=message)


def _r2(y: Vector, predictions: Vector, rows: Rows) -> float:
    errors = y[rows] - predictions[rows]
    return float(1 - np.sum(errors**2) / np.sum((y[rows] - y[rows].mean()) ** 2))
