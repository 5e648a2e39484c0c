"""Cut a history into regimes where the machine changed beyond chance; one regime where it did not.

Holm's correction is over every test of the document: those of the whole history, and both kinds of
change in every part that was looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from steps.forensics.documents import Segment
from steps.forensics.multiplicity import holm
from steps.prng.mappings import Draws
from steps.step0_regimes.changes import KINDS, MORE_PERMUTATIONS, Change, likeliest_change


@dataclass(frozen=True, slots=True)
class Cuts:
    """changes: every one that was tested, in that order. made: those that stand."""

    changes: tuple[Change, ...]
    made: tuple[Change, ...]

    def segments(self, n: int) -> tuple[Segment, ...]:
        """Regimes of n draws, in order."""
        edges = [0, *sorted(change.at for change in self.made), n]
        return tuple(Segment(first=first, stop=stop) for first, stop in itertools.pairwise(edges))


def most_tests(alpha: float, permutations: int) -> int:
    """Tests of one document beyond which no p-value of a permutation could be small enough."""
    return int(alpha * (MORE_PERMUTATIONS * permutations + 1))


def find_cuts(
    draws: Draws,
    modulus: int,
    other_p_values: Sequence[float],
    *,
    alpha: float,
    permutations: int,
    seed: int,
    before_part: Callable[[int, int], None] = lambda _first, _stop: None,
) -> Cuts:
    """Cut draws (int64 (n,), -1 where unread) by binary segmentation.

    other_p_values: of the tests of the same document. before_part: told the draws first..stop - 1
    that are looked at next; may raise to end it.
    """
    changes: list[Change] = []
    likeliest: list[Change] = []
    waiting = [(0, draws.size)]
    while waiting:
        first, stop = waiting.pop(0)
        before_part(first, stop)
        here = [
            change
            for number, kind in enumerate(KINDS)
            if (
                change := likeliest_change(
                    draws,
                    modulus,
                    kind,
                    first,
                    stop,
                    permutations,
                    np.random.default_rng([seed, first, stop, number]),
                )
            )
        ]
        if not here:
            continue
        changes += here
        best = min(here, key=lambda change: (change.p_value, -change.statistic))
        likeliest.append(best)
        room = len(other_p_values) + len(changes) + 2 * len(KINDS)
        if room <= most_tests(alpha, permutations) and best in _beyond_chance(
            changes, other_p_values, alpha
        ):
            waiting += [(first, best.at), (best.at, stop)]
    # Tests that came later count for the earlier ones too.
    beyond = _beyond_chance(changes, other_p_values, alpha)
    return Cuts(tuple(changes), _standing(likeliest, beyond))


def _beyond_chance(
    changes: Sequence[Change], other_p_values: Sequence[float], alpha: float
) -> list[Change]:
    values = holm([*(change.p_value for change in changes), *other_p_values])
    return [c for c, value in zip(changes, values[: len(changes)], strict=True) if value <= alpha]


def _standing(likeliest: Sequence[Change], beyond: Sequence[Change]) -> tuple[Change, ...]:
    """The changes beyond chance whose part was itself made by changes that are."""
    edges = {likeliest[0].first, likeliest[0].stop} if likeliest else set()
    standing = []
    for change in likeliest:
        if change in beyond and {change.first, change.stop} <= edges:
            standing.append(change)
            edges.add(change.at)
    return tuple(standing)
