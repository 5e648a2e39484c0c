"""Plan how candidates are sifted: at how many observations to look first, and what must match."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# A true candidate may be lost at a threshold as often as this; where the draws are what they are,
# as often as that.
_MISS = 5e-4
_MISS_AT_WORST = 2e-2
# Of wrong candidates so many may pass the first look.
MAY_PASS = 1 / 256
_MOST_LOOKS = 127
# Evidence asked of a candidate beyond that of the best wrong one, in nats.
_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class Looks:
    """looks: observations at first; floor: matches wanted there; total_floor: among all."""

    looks: int
    floor: int
    total_floor: int


@dataclass(frozen=True, slots=True)
class Odds:
    """Probabilities that an observation matches: of a wrong candidate (chance), of the true (hit).

    group: so many observations in a row are of one draw, and right or wrong together. sure: so
    many at first are of the draw that the candidate was taken from, and match if it is true. Raises
    ValueError unless 0 < chance < hit <= 1.
    """

    chance: float
    hit: float
    group: int = 1
    sure: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.chance < self.hit <= 1:
            raise ValueError(
                f"wanted 0 < chance < hit <= 1, got chance {self.chance} and hit {self.hit}"
            )

    def wrong_reaches(self, observations: int, floor: int) -> float:
        """Probability that a wrong candidate has `floor` matches or more."""
        return float(_tails(observations, self.chance)[floor])

    def true_reaches(self, observations: int, floor: int) -> float:
        """Probability that the true candidate has; where grouped, by its clean draws alone."""
        sure = min(self.sure, observations)
        groups = -(-(observations - sure) // self.group)
        wanted = -(-max(floor - sure, 0) // self.group)
        return float(_tails(groups, self.hit)[wanted])

    def matches_wanted(self, observations: int, evidence: float) -> int:
        """Fewest matches with that log-likelihood ratio (nats); may exceed the observations."""
        gain = math.log(self.hit / self.chance)
        if self.hit == 1:
            return max(observations, math.ceil(evidence / gain))
        loss = math.log((1 - self.hit) / (1 - self.chance))
        return max(math.ceil((evidence - observations * loss) / (gain - loss)), 0)


def plan_looks(
    observations: int, odds: Odds, log_candidates: float, may_pass: float = MAY_PASS
) -> Looks | None:
    """The cheapest plan that finds the true candidate; None where so few observations cannot.

    log_candidates: log of the number of candidates that are sifted. may_pass: share of the wrong
    ones that may pass the first look.
    """
    total_floor = _total_floor(observations, odds, log_candidates, _MISS_AT_WORST)
    if total_floor is None:
        return None
    looks, floor = 0, 0
    for looks in range(1, min(observations, _MOST_LOOKS) + 1):
        floor = looks
        while floor and odds.true_reaches(looks, floor) < 1 - _MISS:
            floor -= 1
        if floor and odds.wrong_reaches(looks, floor) <= may_pass:
            break
    return Looks(looks, floor, total_floor) if floor else None


def observations_wanted(odds: Odds, log_candidates: float) -> int:
    """The fewest observations with which the true candidate is next to never lost."""
    most = 1
    while _total_floor(most, odds, log_candidates, _MISS) is None:
        most *= 2
    fewest = most // 2
    while most - fewest > 1:
        middle = (fewest + most) // 2
        if _total_floor(middle, odds, log_candidates, _MISS) is None:
            fewest = middle
        else:
            most = middle
    return most


def tries_wanted(success: float) -> int:
    """How many independent tries, each a success with this probability, leave next to no doubt."""
    if success >= 1 - _MISS:
        return 1
    return math.ceil(math.log(_MISS) / math.log1p(-success))


def _total_floor(observations: int, odds: Odds, log_candidates: float, miss: float) -> int | None:
    """Matches that no wrong candidate has; None where the true one has not either."""
    floor = odds.matches_wanted(observations, log_candidates + _MARGIN)
    if floor > observations or odds.true_reaches(observations, floor) < 1 - miss:
        return None
    return floor


@lru_cache(maxsize=4096)
def _tails(observations: int, probability: float) -> NDArray[np.float64]:
    """P(Binomial(observations, probability) >= k) for k = 0..observations."""
    if probability == 1:
        return np.ones(observations + 1)
    counts = range(observations + 1)
    logs = [
        math.lgamma(observations + 1)
        - math.lgamma(count + 1)
        - math.lgamma(observations - count + 1)
        + count * math.log(probability)
        + (observations - count) * math.log1p(-probability)
        for count in counts
    ]
    return np.cumsum(np.exp(logs)[::-1])[::-1]
