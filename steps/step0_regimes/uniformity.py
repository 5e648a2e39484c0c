"""Is every value as likely, and does no draw tell anything about the next? Few, sensible tests.

Each test looks at something of its own: single values, digits, the sessions against each other,
repeats at short distance, and pairs of neighbours by size and by remainder. A generator of good
quality passes all of them; what they find is a biased or a broken machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes a second to import

from steps.forensics.documents import HypothesisTest
from steps.forensics.wording import p_text
from steps.prng.mappings import Draws
from steps.step0_regimes.classes import (
    NOTHING,
    View,
    digits,
    low_order,
    pairs,
    range_sizes,
    ranges,
)

# Cochran 1954: the chi-square distribution holds where cells are expected this often.
EXPECTED = 5
FEWEST_DRAWS = 50
# By names of tests: what makes a history not uniform, where it is beyond chance.
OF_VALUES = ("values", "digits")
_MOST_PAIR_RANGES = 16
_MOST_REMAINDERS = 8
# Where the p-value of one test is that small, its sentence says which way the counts lean.
_WORTH_A_WORD = 0.05
_COUNTS = ("the counts are more even than chance", "the counts are further apart than chance")
_SESSIONS = ("the sessions are more alike than chance", "the sessions differ more than chance")
_PAIRS = ("neighbours are less tied than chance", "neighbours are tied more than chance")


def uniformity_tests(
    draws: Draws, modulus: int, sessions: Sequence[str]
) -> tuple[HypothesisTest, ...]:
    """Tests of a whole history; none with fewer than 50 draws. p_corrected is not set yet.

    draws: int64 (n,), -1 where one could not be read. sessions: of each draw. A test for which
    these draws leave nothing to compare is not made.
    """
    n = int(np.count_nonzero(draws >= 0))
    if n < FEWEST_DRAWS or modulus < 2:
        return ()
    tests: list[HypothesisTest | None] = [_values(draws, modulus, n)]
    if by_digit := digits(draws, modulus):
        tests.append(_digits(by_digit, n))
    if len(set(sessions)) > 1:
        tests.append(_sessions(draws, modulus, sessions, n))
    tests.append(_repeats(draws[draws >= 0], modulus))
    side = int((n / EXPECTED) ** 0.5)
    tests.append(_serial(ranges(draws, modulus, min(modulus, side, _MOST_PAIR_RANGES)), "size"))
    if (by_remainder := low_order(draws, modulus, min(side, _MOST_REMAINDERS))) is not None:
        tests.append(_serial(by_remainder, by_remainder.name))
    return tuple(test for test in tests if test is not None)


def _values(draws: Draws, modulus: int, n: int) -> HypothesisTest | None:
    """Pearson's chi-square of the values against equal chances; two-sided, as too even counts."""
    classes = max(2, min(modulus, n // EXPECTED))
    view = ranges(draws, modulus, classes)
    expected = n * range_sizes(modulus, classes) / modulus
    statistic = float(((view.counts() - expected) ** 2 / expected).sum())
    cells = f"{classes} values" if classes == modulus else f"{classes} ranges of values"
    return _of_chi2("values", statistic, classes - 1, f"{n} draws in {cells}", _COUNTS)


def _digits(by_digit: Sequence[View], n: int) -> HypothesisTest | None:
    """The sum of the chi-squares of all digits: in uniform draws digits are independent."""
    statistic = sum(float(((view.counts() - n / 10) ** 2 / (n / 10)).sum()) for view in by_digit)
    said = f"{n} draws by each of their {len(by_digit)} digits"
    return _of_chi2("digits", statistic, 9 * len(by_digit), said, _COUNTS)


def _sessions(draws: Draws, modulus: int, sessions: Sequence[str], n: int) -> HypothesisTest | None:
    """Do all sessions draw alike? Chi-square of homogeneity, by digits or by ranges of values."""
    names, of = np.unique(np.array(sessions), return_inverse=True)
    smallest = int(np.bincount(of[draws >= 0], minlength=names.size).min())
    if smallest < 2 * EXPECTED:
        return None
    views = digits(draws, modulus) if smallest >= 10 * EXPECTED else ()
    statistic, freedom = 0.0, 0
    for view in views or (ranges(draws, modulus, min(modulus, smallest // EXPECTED, 32)),):
        seen = view.of != NOTHING
        table = np.bincount(
            of[seen] * view.classes + view.of[seen], minlength=names.size * view.classes
        ).reshape(names.size, view.classes)
        value, degrees = _independence(table)
        statistic, freedom = statistic + value, freedom + degrees
    said = f"{n} draws of {names.size} sessions held against each other"
    return _of_chi2("sessions", statistic, freedom, said, _SESSIONS)


def _repeats(read: Draws, modulus: int) -> HypothesisTest | None:
    """Equal draws at short distance: the birthday count of disjoint blocks of 2 sqrt(M) draws.

    Held against the same draws in random order, so that it is a test of order alone. The count of
    pairs is nearly Poisson's, with a slightly smaller variance: the p-value errs upward. None
    where all draws are equal: then no order is another.
    """
    n = read.size
    if (read == read[0]).all():
        return None
    block = max(2, min(round(2 * modulus**0.5), n // 10))
    blocks = n // block
    in_blocks = read[: blocks * block] + modulus * np.repeat(np.arange(blocks), block)
    seen = _equal_pairs(in_blocks)
    compared = blocks * block * (block - 1) / 2
    chance = _equal_pairs(read) / (n * (n - 1) / 2)
    expected = compared * chance
    at_least = special.pdtrc(seen - 1, expected) if seen else 1.0
    tail = min(special.pdtr(seen, expected), at_least)
    p = min(1.0, 2 * float(tail))
    return HypothesisTest(
        name="repeats",
        statistic=float(seen),
        p_value=p,
        p_corrected=1.0,
        sentence=f"Within blocks of {block} draws {seen} pairs are equal, {expected:.1f} would be "
        f"if the same draws came in random order (p {p_text(p)}).",
    )


def _serial(view: View, by: str) -> HypothesisTest | None:
    """Does a draw depend on the one before? Chi-square of the table of transitions.

    As for a Markov chain (Anderson and Goodman 1957): also with pairs that share a draw it is
    distributed as chi-square if draws are independent, whatever their distribution.
    """
    both = pairs(view)
    statistic, freedom = _independence(both.counts().reshape(view.classes, view.classes))
    n = int(np.count_nonzero(both.of != NOTHING))
    said = f"{n} pairs of neighbours by {by}"
    return _of_chi2(f"pairs by {by}", statistic, freedom, said, _PAIRS)


def _independence(table: NDArray[np.int64]) -> tuple[float, int]:
    """Chi-square of independence and its degrees of freedom, of rows and columns not empty."""
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    if min(table.shape, default=0) < 2:
        return 0.0, 0
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(((table - expected) ** 2 / expected).sum()), freedom


def _of_chi2(
    name: str, statistic: float, freedom: int, said: str, sides: tuple[str, str]
) -> HypothesisTest | None:
    """sides: what a small statistic says, and a large one. None without degrees of freedom."""
    if freedom == 0:
        return None
    upper = float(special.chdtrc(freedom, statistic))
    p = min(1.0, 2 * min(upper, float(special.chdtr(freedom, statistic))))
    side = f"; {sides[statistic > freedom]}" if p <= _WORTH_A_WORD else ""
    return HypothesisTest(
        name=name,
        statistic=statistic,
        p_value=p,
        p_corrected=1.0,
        sentence=f"{said[0].upper()}{said[1:]}: chi-square {statistic:.1f} with {freedom} degrees "
        f"of freedom (p {p_text(p)}{side}).",
    )


def _equal_pairs(values: Draws) -> int:
    counted = np.unique(values, return_counts=True)[1]
    return int((counted * (counted - 1) // 2).sum())
