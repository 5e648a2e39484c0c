"""Turn what was observed of a family into numbers that the policy's bounds can judge.

Each function returns metrics by name and leaves out what it cannot know; every value is finite.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from gpu.protocol import FoldScore
from gpu.protocol.observations import Importance, NetworkHealth

# A ratio whose lower part is zero is no number; this one is over every bound.
RATIO_CAP = 1e9
# Under this mean R2 the spread over folds is compared with it: a mean near zero says nothing.
SMALLEST_MEAN_R2 = 0.05
# An input whose gradient is below this share of the largest is as good as unused.
UNUSED_GRADIENT = 1e-3


def fold_metrics(scores: Sequence[FoldScore], most_rounds: int) -> dict[str, float]:
    """overfit_ratio, early_stop_ratio, fold_instability, cv_r2 of the best trial's folds.

    most_rounds: rounds or epochs after which a fold ends, stopped early or not. overfit_ratio: mean
    over folds of validation MSE / training MSE. early_stop_ratio: median of best round / rounds run
    over the folds that stopped early, 1 where none did. fold_instability: sample standard deviation
    of the folds' R2 / max(|their mean|, 0.05); none for a single fold.
    """
    if not scores:
        return {}
    mean_r2 = statistics.fmean(score.r2 for score in scores)
    early = [
        score.best_round / score.rounds_run for score in scores if score.rounds_run < most_rounds
    ]
    metrics = {
        "overfit_ratio": statistics.fmean(ratio(s.val_mse, s.train_mse) for s in scores),
        "early_stop_ratio": statistics.median(early) if early else 1.0,
        "cv_r2": mean_r2,
    }
    if len(scores) > 1:
        spread = statistics.stdev(score.r2 for score in scores)
        metrics["fold_instability"] = ratio(spread, max(abs(mean_r2), SMALLEST_MEAN_R2))
    return metrics


def train_r2(scores: Sequence[FoldScore], variances: Sequence[float]) -> dict[str, float]:
    """train_r2: mean over folds of 1 - training MSE / variance of the fold's training targets."""
    if not scores or any(variance <= 0 for variance in variances):
        return {}
    pairs = zip(scores, variances, strict=True)
    return {"train_r2": statistics.fmean(1 - score.train_mse / var for score, var in pairs)}


def importance_metrics(importances: Sequence[Importance]) -> dict[str, float]:
    """unused_feature_pct: share of the features that the model does not use, percent.

    Trees: gain or PredictionValuesChange is 0. Network: its input gradient is under a thousandth of
    the largest one.
    """
    for importance in importances:
        if importance.kind in {"split", "weight"} or not importance.values:
            continue
        least = 0.0
        if importance.kind == "input_gradient":
            least = UNUSED_GRADIENT * max(importance.values)
        # "<=" and not "<": where all are zero, all are unused.
        unused = sum(value <= least for value in importance.values)
        return {"unused_feature_pct": 100 * unused / len(importance.values)}
    return {}


def network_metrics(network: NetworkHealth | None) -> dict[str, float]:
    """What the gradients and the activations of a network's final fit say.

    nn_dead_neuron_pct: hidden units that were dead in the last watched epoch, percent of all; 100
    where a whole layer is.
    nn_gradient_spread_ratio: largest / median of the features' first-layer gradients; features
    without any (constants) are left out.
    nn_gradient_growth: largest total gradient norm of an epoch / that of the first watched (0:
    before training).
    nn_gradient_decay: median over epochs of output layer's / first layer's gradient norm, each
    divided by the square root of its number of weights.
    """
    if network is None or not network.epochs or not network.layers:
        return {}
    return {**_dead_units(network), **_spread(network), **_growth(network), **_decay(network)}


def diverged_metrics(diverged: int, finished: int) -> dict[str, float]:
    """diverged_trial_pct: share of the finished trials that diverged, percent."""
    return {"diverged_trial_pct": 100 * diverged / finished} if finished else {}


def ratio(upper: float, lower: float) -> float:
    """upper / lower, both not negative, at most RATIO_CAP; 1 where both are zero."""
    if upper <= 0 and lower <= 0:
        return 1.0
    return min(upper / lower, RATIO_CAP) if lower > upper / RATIO_CAP else RATIO_CAP


def _dead_units(network: NetworkHealth) -> dict[str, float]:
    hidden = [(layer.units, layer.dead_pct[-1]) for layer in network.layers if layer.dead_pct]
    units = sum(units for units, _ in hidden)
    if not units:
        return {}
    if any(dead >= 100 for _, dead in hidden):
        return {"nn_dead_neuron_pct": 100.0}  # nothing passes: the others have nobody to reach
    return {"nn_dead_neuron_pct": sum(units * dead for units, dead in hidden) / units}


def _spread(network: NetworkHealth) -> dict[str, float]:
    moved = [gradient for gradient in network.feature_gradients if gradient > 0]
    if not moved:
        return {}
    return {"nn_gradient_spread_ratio": ratio(max(moved), statistics.median(moved))}


def _growth(network: NetworkHealth) -> dict[str, float]:
    norms = [
        math.hypot(*(layer.gradient_norm[epoch] for layer in network.layers))
        for epoch in range(len(network.epochs))
    ]
    return {"nn_gradient_growth": ratio(max(norms), norms[0])}


def _decay(network: NetworkHealth) -> dict[str, float]:
    first, last = network.layers[0], network.layers[-1]
    # The histogram counts every weight of a layer.
    n_first, n_last = sum(first.weight_counts), sum(last.weight_counts)
    if first is last or not n_first or not n_last:
        return {}
    decays = [
        ratio(end / math.sqrt(n_last), start / math.sqrt(n_first))
        for start, end in zip(first.gradient_norm, last.gradient_norm, strict=True)
    ]
    return {"nn_gradient_decay": statistics.median(decays)}
