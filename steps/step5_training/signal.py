"""Say whether there is anything to predict: strong, weak, none, or leaked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steps.contract import Note, Scores, Signal
from steps.step5_training.evaluate import Vector
from steps.step5_training.preflight import LeakFinding

# Below this share of the variance a score is of no use, however surely it is above zero.
SMALLEST_USEFUL_R2 = 0.001
STRONG_R2 = 0.1
TOO_GOOD_R2 = 0.999


def judge_signal(cv: Scores, holdout: Scores, leaks: Sequence[LeakFinding]) -> Signal:
    """The verdict on the winner.

    leaked: features that give the target away, or a holdout R2 over 0.999. none: the 95 %
    interval of R2 in cross-validation reaches zero, or the holdout contradicts it, or either R2 is
    under 0.001. The holdout's own interval need not exclude zero: a small table has few rows there.
    strong: both R2 are at least 0.1, and the holdout's interval is above zero too.
    """
    named = tuple(dict.fromkeys(name for leak in leaks for name in leak.features))
    if named:
        reason = f"{_listed(named)} alone gives the target away"
        return Signal(verdict="leaked", reasons=(reason,), leaked_features=named)
    if holdout.r2.value > TOO_GOOD_R2:
        reason = f"a holdout R2 of {holdout.r2.value:.5f} is too good to be true"
        return Signal(verdict="leaked", reasons=(reason,))
    failings = [
        _sentence(where, scores) + f" is under {SMALLEST_USEFUL_R2}"
        for where, scores in (("cross-validation", cv), ("the holdout", holdout))
        if scores.r2.value < SMALLEST_USEFUL_R2
    ]
    if not failings and cv.r2.ci95 is not None and cv.r2.ci95[0] <= 0:
        failings = [f"{_sentence('cross-validation', cv)} reaches zero"]
    if failings:
        return Signal(verdict="none", reasons=tuple(failings))
    reasons = (_sentence("cross-validation", cv), _sentence("the holdout", holdout))
    sure = holdout.r2.ci95 is not None and holdout.r2.ci95[0] > 0
    strong = sure and min(cv.r2.value, holdout.r2.value) >= STRONG_R2
    return Signal(verdict="strong" if strong else "weak", reasons=reasons)


def compare_winner(
    winner: str, r2_samples: Mapping[str, Vector], holdout: Mapping[str, Scores]
) -> Note:
    """Whether the winner is really better than the runner-up of cross-validation.

    Clear when the 95 % interval of their R2 difference over paired bootstrap resamples is above
    zero and the holdout, which took no part in the choice, says the same; else a tie.
    """
    others = {name: float(np.nanmean(s)) for name, s in r2_samples.items() if name != winner}
    second = max(others, key=lambda name: others[name])
    low, high = np.nanpercentile(r2_samples[winner] - r2_samples[second], [2.5, 97.5])
    held = holdout[winner].r2.value - holdout[second].r2.value
    evidence = (
        f"their R2 differs by {low:+.4f} to {high:+.4f} in cross-validation (95 % interval) "
        f"and by {held:+.4f} on the holdout"
    )
    if low > 0 and held > 0:
        message = f"{winner} is better than {second} beyond chance: {evidence}"
        return Note(level="info", code="clear_winner", message=message)
    return Note(level="info", code="tie", message=f"{winner} and {second} are tied: {evidence}")


def _sentence(where: str, scores: Scores) -> str:
    interval = scores.r2.ci95
    shown = f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
    return f"R2 in {where} {scores.r2.value:.4f}{shown}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
