"""Foretell the draws held back by the simplest of rules, without any generator.

A rule is chosen by the draws learnt from alone, and tried on those held back, so that the choice
among many rules need not be paid for. Whatever was drawn before, a uniform draw is among k values
named beforehand with the chance k / M: the binomial tests are exact.
"""

from __future__ import annotations

import math

import numpy as np

from steps.forensics.binomial import upper_p
from steps.forensics.documents import HypothesisTest
from steps.prng.mappings import Draws
from steps.step6_prediction.known import Known

COMMONEST = "commonest values"
RECURRING = "recurring draws"
GUESSES = (COMMONEST, RECURRING)

# Of all values, the tenth that came most often.
_SHARE = 0.1
# A year of daily draws, and some.
_FARTHEST = 400


def guess_tests(known: Known, low: int) -> tuple[HypothesisTest, ...]:
    """The tests of both rules, not corrected yet; fewer where too little is known for a rule.

    low: what the history writes for 0.
    """
    train, holdout = known.draws[: known.held_from], known.draws[known.held_from :]
    modulus = known.train.facts.modulus
    tests = [_commonest(train, holdout, modulus, low), _recurring(known.draws, known, low)]
    return tuple(test for test in tests if test is not None)


def _commonest(train: Draws, holdout: Draws, modulus: int, low: int) -> HypothesisTest | None:
    """Those values come again that came most often; of equal ones the smaller."""
    trials = int(np.count_nonzero(holdout >= 0))
    counts = np.bincount(train[train >= 0], minlength=modulus)
    if not trials or not counts.any():
        return None
    size = math.ceil(_SHARE * modulus)
    chosen = np.argsort(-counts, kind="stable")[:size]
    hits = int(np.count_nonzero(np.isin(holdout, chosen)))
    which = (
        f"{chosen[0] + low}, the value drawn most often before"
        if size == 1
        else f"among the {size} values drawn most often before"
    )
    return _test(COMMONEST, hits, trials, size / modulus, which)


def _recurring(draws: Draws, known: Known, low: int) -> HypothesisTest | None:
    """Each draw is that of so many draws before, or the last one plus a constant, modulo M."""
    modulus = known.train.facts.modulus
    rule = _likeliest_rule(draws[: known.held_from], modulus)
    if rule is None:
        return None
    distance, step = rule
    now = np.arange(max(known.held_from, distance), draws.size)
    before = draws[now - distance]
    readable = (draws[now] >= 0) & (before >= 0)
    trials = int(np.count_nonzero(readable))
    if not trials:
        return None
    hits = int(np.count_nonzero(readable & (draws[now] == (before + step) % modulus)))
    of = "the draw before" if distance == 1 else f"the draw {distance} draws before"
    onward = f" plus {step}, and after {low + modulus - 1} comes {low}" if step else ""
    return _test(RECURRING, hits, trials, 1 / modulus, f"{of}{onward}")


def _likeliest_rule(train: Draws, modulus: int) -> tuple[int, int] | None:
    """Distance and constant with the most hits in train, in standard deviations; of equal ones the
    smallest distance. A constant beside 0 goes with the last draw alone: that is a counter. None
    where no two draws can be compared.
    """
    rule, best = None, -math.inf
    for distance in range(1, min(_FARTHEST, train.size // 2) + 1):
        now, before = train[distance:], train[:-distance]
        readable = (now >= 0) & (before >= 0)
        trials = int(np.count_nonzero(readable))
        if not trials:
            continue
        steps = (now - before)[readable] % modulus
        step = _commonest_of(steps) if distance == 1 else 0
        hits = int(np.count_nonzero(steps == step))
        deviation = math.sqrt(trials / modulus * (1 - 1 / modulus))
        beyond = (hits - trials / modulus) / deviation
        if beyond > best:
            rule, best = (distance, step), beyond
    return rule


def _commonest_of(numbers: Draws) -> int:
    values, counts = np.unique(numbers, return_counts=True)
    return int(values[counts.argmax()])


def _test(name: str, hits: int, trials: int, chance: float, which: str) -> HypothesisTest:
    p_value = upper_p(hits, trials, chance)
    are = "is" if hits == 1 else "are"
    return HypothesisTest(
        name=name,
        statistic=hits,
        p_value=p_value,
        p_corrected=p_value,
        sentence=f"{hits} of {trials} draws held back {are} {which}; chance gives "
        f"{trials * chance:.2g}",
    )
