"""Turn counts of matches into the features of a survivor, all of them from train alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.forensics.binomial import log_tails
from steps.forensics.documents import CandidateRecord
from steps.forensics.mixture import Belief
from steps.step3_scoring.count_kernel import (
    LATE,
    LONGEST,
    MATCHES,
    MOMENT,
    PARTS,
    SHIFTED,
    WEIGHTED,
    WEIGHTED_LANE,
)
from steps.step3_scoring.measure import Measured, Record, late_from, times_of, weights_of
from steps.step3_scoring.parts_of_draws import Parts

Floats = NDArray[np.float64]

# Correlations over this are of copies; the rest is rounding.
_COPY = 1 - 1e-9


@dataclass(frozen=True, eq=False)
class Features:
    """Columns by name, (n,) each, and why others were left out."""

    columns: dict[str, NDArray[Any]]
    dropped: dict[str, str]


def features_of(
    candidates: Sequence[CandidateRecord],
    measured: Measured,
    record: Record,
    parts: Parts,
    belief: Belief,
) -> dict[str, NDArray[Any]]:
    """All features of the candidates of one stream, in their order; see docs/chapter-03-scoring.md.

    z-scores are (k - n p) / sqrt(n p (1 - p)) of k matches in n draws against chance p.
    """
    train, n = record.train, record.compared
    matches = measured.counts[:, MATCHES]
    searched = np.array([c.log_hypotheses for c in candidates], np.float64)
    tails = log_tails(n, 1 / parts.modulus)[matches]
    columns: dict[str, NDArray[Any]] = {
        "log_ratio": _log_ratio(measured, train, belief),
        "tail_log10": -(tails + searched) / math.log(10),
    }
    for place, (name, values) in enumerate(zip(parts.names, parts.values, strict=True)):
        columns[f"{name}_z"] = z_score(measured.counts[:, PARTS + place], n, 1 / values)
    late = int(np.count_nonzero(train[late_from(train) :] >= 0))
    columns["longest_run"] = measured.counts[:, LONGEST]
    columns["late_rate"] = measured.counts[:, LATE] / max(late, 1)
    columns["slope_z"] = _slope(measured, train, n)
    columns["shifted_share"] = measured.counts[:, SHIFTED] / np.maximum(n - matches, 1)
    columns["gap"] = np.array([candidate.gap for candidate in candidates], np.int64)
    columns["offset"] = np.array(
        [math.nan if c.offset is None else c.offset for c in candidates], np.float64
    )
    columns["generator"] = np.array([candidate.generator for candidate in candidates], np.str_)
    columns["mapping"] = np.array([candidate.mapping for candidate in candidates], np.str_)
    return columns


def z_score(successes: NDArray[np.int64], trials: int, chance: float) -> Floats:
    """How many standard deviations (n,) successes lie over what chance gives; 0 without trials."""
    spread = math.sqrt(trials * chance * (1 - chance))
    return np.asarray((successes - trials * chance) / (spread if spread > 0 else 1.0), np.float64)


def useful(columns: Mapping[str, NDArray[Any]]) -> Features:
    """Leave out features that are constant over the rows, and copies of an earlier one.

    A copy is a number whose correlation with an earlier one is 1 or -1, or a text that has a value
    for each value of an earlier one and the other way round. NaN is a value like any other.
    """
    kept: dict[str, NDArray[Any]] = {}
    dropped: dict[str, str] = {}
    standard: dict[str, Floats] = {}
    for name, values in columns.items():
        codes = np.unique(values, return_inverse=True)[1]
        if codes.size == 0:
            return Features({}, {})
        if (codes == codes[0]).all():
            dropped[name] = "the same for all"
            continue
        if values.dtype.kind == "U":
            twin = next((other for other in kept if _alike(kept[other], codes)), None)
        else:
            standard[name] = own = _standard(values, codes)
            twin = next((o for o in kept if o in standard and _copies(standard[o], own)), None)
        if twin is None:
            kept[name] = values
        else:
            dropped[name] = f"a copy of {twin}"
    return Features(kept, dropped)


def _log_ratio(measured: Measured, train: NDArray[np.int64], belief: Belief) -> Floats:
    """Nats of the matches against uniform draws, weighted by recency, with the scorer's belief."""
    match, in_lane, miss = belief.log_ratios
    whole = float(weights_of(train, belief)[train >= 0].sum())
    matched = measured.sums[:, WEIGHTED]
    if belief.lane == 1:  # every draw is in the lane
        lane = np.full_like(matched, whole)
    elif belief.lane == belief.modulus:
        lane = matched
    else:
        lane = measured.sums[:, WEIGHTED_LANE]
    ratios: Floats = match * matched + in_lane * (lane - matched) + miss * (whole - lane)
    return ratios


def _slope(measured: Measured, train: NDArray[np.int64], n: int) -> Floats:
    """z of the trend of matches over time (Cochran and Armitage's test); 0 without a variance."""
    rate = measured.counts[:, MATCHES] / max(n, 1)
    squares = float((times_of(train >= 0) ** 2).sum())
    spread = np.sqrt(rate * (1 - rate) * squares)
    slopes: Floats = measured.sums[:, MOMENT] / np.where(spread > 0, spread, 1.0)
    return slopes


def _standard(values: NDArray[Any], codes: NDArray[np.intp]) -> Floats:
    """With mean 0 and length 1; a NaN stands beyond all numbers."""
    numbers = values.astype(np.float64)
    if np.isnan(numbers).any():
        numbers = codes.astype(np.float64)
    numbers = numbers - numbers.mean()
    standard: Floats = numbers / np.sqrt((numbers * numbers).sum())
    return standard


def _copies(first: Floats, second: Floats) -> bool:
    # Sums, not dot products: BLAS would wake its threads for each.
    return abs(float((first * second).sum())) > _COPY


def _alike(other: NDArray[Any], codes: NDArray[np.intp]) -> bool:
    """Whether the codes name the same groups of rows as the values of another text."""
    if other.dtype.kind != "U":
        return False
    others = np.unique(other, return_inverse=True)[1]
    pairs = np.unique(others * (codes.max() + 1) + codes).size
    return bool(pairs == others.max() + 1 == codes.max() + 1)
