"""Exact tails of the binomial distribution, as logarithms, so that no tail is too small."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def log_tails(trials: int, chance: float) -> Floats:
    """Natural logs of P(X >= k) for k = 0..trials, float (trials + 1,), of X ~ Bin(trials, chance).

    Raises ValueError unless trials >= 0 and 0 < chance < 1.
    """
    if trials < 0 or not 0 < chance < 1:
        raise ValueError(
            f"wanted 0 or more trials and 0 < chance < 1, got {trials} trials and chance {chance}"
        )
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    successes = np.arange(trials + 1)
    pmf = logs[-1] - logs - logs[::-1]
    pmf += successes * math.log(chance) + successes[::-1] * math.log1p(-chance)
    tails: Floats = np.logaddexp.accumulate(pmf[::-1])[::-1]
    return np.minimum(tails, 0.0)


def upper_p(successes: int, trials: int, chance: float) -> float:
    """P(X >= successes), the exact one-sided test of more successes than chance gives."""
    return math.exp(log_tails(trials, chance)[successes])
