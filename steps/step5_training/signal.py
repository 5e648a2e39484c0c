"""Say whether there is anything to predict: strong, weak, none, or leaked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steps.contract import Estimate, Scores, Signal
from steps.step5_training.evaluate import LEAST_UNITS
from steps.step5_training.leaks.finding import LeakFinding, exclude_text

# Below this share of the variance a score is of no use, however surely it is above zero.
SMALLEST_USEFUL_R2 = 0.001
STRONG_R2 = 0.1
TOO_GOOD_R2 = 0.999
MOST_P = 0.05


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a family's tests against predicting the mean came to, and what they rest on.

    cv, holdout: its scores on the rows that were judged. holdout_p: corrected for the families;
    cv_p: corrected for the hypotheses, see permutation. left_out: rows that were not judged,
    because the model was trained on a row with the same features. too_few: so many that what is
    left says nothing; then scores and p-values are of all rows, and are no evidence.
    """

    cv: Scores
    holdout: Scores
    holdout_p: float
    cv_p: float
    families: int
    hypotheses: int
    left_out: int = 0
    too_few: bool = False


def judge_signal(
    evidence: Evidence, leaks: Sequence[LeakFinding], excluded: Sequence[str] = ()
) -> Signal:
    """The verdict on one family. excluded: features that the run was asked to leave out.

    leaked: features that give the target away, or a holdout R2 over 0.999. none: too few rows that
    are not copies of trained ones (this goes before the score of the holdout); either R2 is
    under 0.001; or neither the holdout's permutation test nor the corrected test of the
    out-of-fold predictions rejects chance at 0.05; or the 95 % interval of R2 in cross-validation
    reaches zero, and not both tests reject: that doubt takes two witnesses. The holdout's own
    interval need not exclude zero: a small table has few rows there. strong: both R2 are at least
    0.1, and both intervals are above zero. A part without an interval (under 5 groups of rows)
    counts as one that reaches zero.
    """
    p_value = evidence.holdout_p
    named = tuple(dict.fromkeys(name for leak in leaks for name in leak.features))
    if named:
        asked = tuple(dict.fromkeys([*excluded, *named]))
        gives = "give" if len(named) > 1 else "gives"
        reasons = [f"{', '.join(named)} alone {gives} the target away"]
        reasons += [f"{', '.join(leak.features)} {leak.told()}" for leak in leaks]
        reasons.append(
            "if that would not be known when predicting, run again with " + exclude_text(asked)
        )
        return Signal(
            verdict="leaked",
            reasons=tuple(dict.fromkeys(reasons)),
            leaked_features=named,
            exclude_features=asked,
            p_value=p_value,
        )
    if evidence.too_few:
        reasons = ["too few rows that are not copies of rows the models were trained on"]
        return Signal(verdict="none", reasons=(*reasons, _left_out(evidence)), p_value=None)
    if evidence.holdout.r2.value > TOO_GOOD_R2:
        reason = f"a holdout R2 of {evidence.holdout.r2.value:.5f} is too good to be true"
        return Signal(verdict="leaked", reasons=(reason,), p_value=p_value)
    told = _told(evidence)
    failings = _failings(evidence)
    if failings:
        return Signal(verdict="none", reasons=(*failings, *told), p_value=p_value)
    cv, holdout = evidence.cv.r2, evidence.holdout.r2
    sure = _above_zero(cv) and _above_zero(holdout)
    strong = sure and min(cv.value, holdout.value) >= STRONG_R2
    reasons = [_scored("cross-validation", evidence.cv), _scored("the holdout", evidence.holdout)]
    return Signal(
        verdict="strong" if strong else "weak", reasons=(*reasons, *told), p_value=p_value
    )


def _failings(evidence: Evidence) -> list[str]:
    parts = (("cross-validation", evidence.cv), ("the holdout", evidence.holdout))
    failings = [
        f"{_scored(where, scores)} is under {SMALLEST_USEFUL_R2}"
        for where, scores in parts
        if scores.r2.value < SMALLEST_USEFUL_R2
    ]
    p_values = (evidence.holdout_p, evidence.cv_p)
    if not failings and min(p_values) > MOST_P:
        failings = [f"what is predicted may be chance: {_scored('cross-validation', evidence.cv)}"]
    if not failings and not _above_zero(evidence.cv.r2) and max(p_values) > MOST_P:
        reaches = " reaches zero" if evidence.cv.r2.ci95 else ", and one of the tests allows chance"
        failings = [f"{_scored('cross-validation', evidence.cv)}{reaches}"]
    return failings


def _above_zero(r2: Estimate) -> bool:
    return r2.ci95 is not None and r2.ci95[0] > 0


def _told(evidence: Evidence) -> list[str]:
    """The tests in words."""
    families = "1 family" if evidence.families == 1 else f"{evidence.families} families"
    said = [
        f"chance alone does as well on the holdout with probability {evidence.holdout_p:.2g} "
        f"(permutation test, corrected for {families})",
        f"and in cross-validation with probability {evidence.cv_p:.2g} "
        f"(corrected for {evidence.hypotheses} hypotheses)",
    ]
    if evidence.left_out:
        said.append(_left_out(evidence))
    return said


def _left_out(evidence: Evidence) -> str:
    return (
        f"{evidence.left_out} rows were not judged: the models were trained on rows with the "
        "same features"
    )


def _scored(where: str, scores: Scores) -> str:
    interval = scores.r2.ci95
    if interval is None:
        shown = f" (no interval: too few groups of rows, under {LEAST_UNITS})"
    else:
        shown = f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})"
    return f"R2 in {where} {scores.r2.value:.4f}{shown}"
