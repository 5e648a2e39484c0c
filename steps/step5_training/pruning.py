"""Derive the rule by which a worker stops a hopeless trial, from the trials so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpu.protocol import PruneRule

FEWEST_COMPLETE = 3
# Degrees of freedom that sigma must have at least: from fewer it is too often far too small.
FEWEST_FREE = 4
# In replays of recorded searches 1.5 changed the winner now and then and this never, for 3 % more
# folds (benchmarks/prune_rules.py).
FACTOR = 1.75
# In units of R2. Trials that agree by chance would otherwise stop one that is as good.
SMALLEST_SIGMA = 1e-3


def full_rule(coarse: Sequence[float]) -> PruneRule:
    """Stop the best trial at full resolution where it is behind itself. coarse: R2 on each fold.

    What it may gain is small beside what it costs, and never counts unless it is ahead.
    """
    return PruneRule(reference=tuple(coarse), sigma=SMALLEST_SIGMA, factor=FACTOR)


def prune_rule(complete: Sequence[Sequence[float]]) -> PruneRule | None:
    """complete: R2 of each trial on each fold, (n_trials, n_folds).

    None while they are too few, or where they have one fold only: nothing is left to be stopped.

    sigma is the residual standard deviation of score = trial effect + fold effect, estimated from
    the better half of the trials: failed experiments have wild folds and would hide the noise that
    matters near the best.
    """
    if len(complete) < FEWEST_COMPLETE or len(complete[0]) < 2:
        return None
    scores = np.asarray(complete, dtype=np.float64)
    means = scores.mean(axis=1)
    fewest = max(FEWEST_COMPLETE, 1 + -(-FEWEST_FREE // (scores.shape[1] - 1)))
    if len(scores) < fewest:
        return None
    keep = max(fewest, (len(scores) + 1) // 2)
    better = scores[np.argsort(-means, kind="stable")[:keep]]
    residuals = (
        better
        - better.mean(axis=1, keepdims=True)
        - better.mean(axis=0, keepdims=True)
        + better.mean()
    )
    freedom = (better.shape[0] - 1) * (better.shape[1] - 1)
    sigma = float(np.sqrt(np.sum(residuals**2) / freedom))
    best = scores[int(np.argmax(means))]
    return PruneRule(
        reference=tuple(float(r2) for r2 in best), sigma=max(sigma, SMALLEST_SIGMA), factor=FACTOR
    )
