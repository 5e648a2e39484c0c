"""Tell draws that a short cycle of fixed values explains, with no generator behind it.

There are M^p cycles of p values. Where these are fewer than a million, a cycle explains draws that
repeat it as well as one of the millions of states does that a search holds against them: among so
many there are some that count round in few values. That they do is no find.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from steps.prng.recovery.found import ALPHA, UNREAD, match_gain, miss_loss

_LONGEST = 20


def longest_cycle(modulus: int) -> int:
    """The most values of a cycle of which there are fewer than a million; 1 at least."""
    return max(1, min(_LONGEST, math.floor(-math.log(ALPHA) / math.log(modulus) + 1e-9)))


def cycle_of(made: NDArray[np.int64], modulus: int) -> int | None:
    """The values of the shortest such cycle that draws (n,) repeat from end to end; None if none.

    Draws that go round fewer than three times are none.
    """
    most = min(longest_cycle(modulus), made.shape[0] // 3)
    for values in range(1, most + 1):
        if (made[values:] == made[:-values]).all():
            return values
    return None


def repeats(
    draws: NDArray[np.int64], modulus: int, corruption: float
) -> tuple[int, int, int] | None:
    """(distance, draws that equal the one so far before, draws compared) of recorded draws (n,).

    The shortest distance at which they repeat far beyond chance, though a share `corruption` of
    them does not; None where there is none. -1 where a draw is unread.
    """
    # A draw is held against another one: either may be wrong.
    wrong = max(1 - (1 - corruption) ** 2, 1e-3)
    for values in range(1, min(longest_cycle(modulus), draws.shape[0] // 3) + 1):
        late, early = draws[values:], draws[:-values]
        read = (late != UNREAD) & (early != UNREAD)
        compared = int(np.count_nonzero(read))
        equal = int(np.count_nonzero(read & (late == early)))
        evidence = equal * match_gain(modulus, wrong) + (compared - equal) * miss_loss(wrong)
        if evidence >= -math.log(ALPHA) + math.log(longest_cycle(modulus)):
            return values, equal, compared
    return None
