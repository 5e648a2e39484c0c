"""Is the best family really better than another, or are they tied?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from steps.contract import Estimate, Note
from steps.contract.diagnostics import PairComparison
from steps.step5_training.evaluate import Evaluation, Rows, Vector
from steps.step5_training.permutation import upper_tail

MOST_P = 0.05
MOST_FLIPS, FEWEST_FLIPS = 9999, 999
# Flips x rows, in all and at a time.
CELLS, CHUNK_CELLS = 40_000_000, 2_000_000


def compare_families(
    best: str,
    y: Vector,
    predictions: Mapping[str, Vector],
    rows: Rows,
    cv: Evaluation,
    holdout: Evaluation,
    seed: int,
    units: Rows | None = None,
) -> tuple[PairComparison, ...]:
    """The best family of cross-validation against each other one, the closest first.

    predictions: (n_rows,) by family, looked at on the holdout's rows. Intervals: of the difference
    of R2 over the same bootstrap resamples. p_value: the holdout's squared errors, other less
    best, change their signs at random; the share of draws whose mean is as large, one-sided,
    corrected for the number of comparisons (Holm 1979). units: rows that change sign together.

    better: the interval of cross-validation is above zero, the holdout says the same, and both
    together reject chance at 0.05: q (1 - ln q) <= 0.05, q the product of the holdout's p and that
    of cross-validation, from the normal approximation of its bootstrap, by Holm as well (Fisher
    1925, section 21.1; the holdout took no part in the choice, so the two are independent). So a
    lead that is plain in cross-validation needs no more of a small holdout than that it agrees;
    one that only just passes there, after the best of many trials was taken, needs its support.
    """
    others = sorted(
        (name for name in predictions if name != best),
        key=lambda name: -cv.scores[name].r2.value,
    )
    if not others:
        return ()
    squares = {name: (y[rows] - predicted[rows]) ** 2 for name, predicted in predictions.items()}
    losses = np.stack([squares[name] - squares[best] for name in others], axis=1)
    generator = np.random.default_rng([seed, len(rows), len(others)])
    held_p = holm(sign_flip_p(losses, generator, None if units is None else units[rows]))
    cv_leads = [_difference(cv, best, name) for name in others]
    held_leads = [_difference(holdout, best, name) for name in others]
    cv_p = holm([_bootstrap_p(cv, best, name) for name in others])
    return tuple(
        PairComparison(
            best=best,
            other=name,
            cv_r2=cv_leads[i],
            holdout_r2=held_leads[i],
            p_value=held_p[i],
            verdict="better"
            if _above_zero(cv_leads[i])
            and held_leads[i].value > 0
            and fisher(cv_p[i], held_p[i]) <= MOST_P
            else "tie",
        )
        for i, name in enumerate(others)
    )


def comparison_note(comparisons: Sequence[PairComparison]) -> Note:
    """Whether the winner is really better than the runner-up of cross-validation."""
    closest = comparisons[0]
    if closest.cv_r2.ci95 is None:
        lead = f"{closest.cv_r2.value:+.4f} in cross-validation (no interval: under 5 groups)"
    else:
        low, high = closest.cv_r2.ci95
        lead = f"{low:+.4f} to {high:+.4f} in cross-validation (95 % interval)"
    evidence = (
        f"their R2 differs by {lead} "
        f"and by {closest.holdout_r2.value:+.4f} on the holdout (p {closest.p_value:.2g})"
    )
    if closest.verdict == "better":
        message = f"{closest.best} is better than {closest.other} beyond chance: {evidence}"
        return Note(level="info", code="clear_winner", message=message)
    message = f"{closest.best} and {closest.other} are tied: {evidence}"
    return Note(level="info", code="tie", message=message)


def sign_flip_p(
    losses: Vector, generator: np.random.Generator, units: Rows | None = None
) -> list[float]:
    """p of each column of (n_rows, n_columns): its sum, under random signs of rows or units.

    (1 + b) / (1 + B), one-sided, B between 999 and 9999; the same signs for all columns. Columns
    of zeros have p = 1.
    """
    if units is not None:
        at = np.unique(units, return_inverse=True)[1]
        summed = np.zeros((int(at.max()) + 1, losses.shape[1]))
        np.add.at(summed, at, losses)
        losses = summed
    n_rows = len(losses)
    scale = np.abs(losses).sum(axis=0)
    losses = losses / np.where(scale > 0, scale, 1.0)
    observed = losses.sum(axis=0)
    count = int(np.clip(CELLS // n_rows, FEWEST_FLIPS, MOST_FLIPS))
    at_once = max(1, CHUNK_CELLS // n_rows)
    reached = np.zeros(losses.shape[1])
    for start in range(0, count, at_once):
        bits = generator.integers(0, 2, size=(min(at_once, count - start), n_rows), dtype=np.int8)
        sums = (2.0 * bits - 1.0) @ losses
        reached += (sums >= observed - 1e-12).sum(axis=0)
    return [float(p) for p in (1 + reached) / (1 + count)]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given."""
    corrected = [0.0] * len(p_values)
    least = 0.0
    for done, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - done) * p_values[i]))
        corrected[i] = least
    return corrected


def fisher(first: float, second: float) -> float:
    """Two independent p-values as one: the tail of chi-squared with 4 degrees of freedom."""
    product = first * second
    return product * (1 - math.log(product)) if product > 0 else 0.0


def _difference(evaluation: Evaluation, best: str, other: str) -> Estimate:
    value = evaluation.scores[best].r2.value - evaluation.scores[other].r2.value
    if evaluation.scores[best].r2.ci95 is None:
        return Estimate(value=value)
    samples = evaluation.r2_samples[best] - evaluation.r2_samples[other]
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return Estimate(value=value, ci95=(float(low), float(high)))


def _bootstrap_p(evaluation: Evaluation, best: str, other: str) -> float:
    """One-sided, from the normal approximation: that of a percentile has no tail to speak of.

    1 where there are too few units for an interval.
    """
    if evaluation.scores[best].r2.ci95 is None:
        return 1.0
    lead = evaluation.scores[best].r2.value - evaluation.scores[other].r2.value
    spread = float(np.nanstd(evaluation.r2_samples[best] - evaluation.r2_samples[other]))
    return upper_tail(lead / spread) if spread > 0 else float(lead <= 0)


def _above_zero(lead: Estimate) -> bool:
    return lead.ci95 is not None and lead.ci95[0] > 0
