"""Measure the loss on the training rows now and then while trees grow.

After every round it would cost up to a tenth of the training of a small table. Losses fall ever
more slowly, so the rounds in between lie near a straight line.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpu.worker.absence import noted
from gpu.worker.trainers.base import FloatVector

# The next round that is measured is so many times as far from the start.
GROWTH = 1.15


class TrainLosses:
    """Losses of the rounds that are due, of at most `rounds`; the first and the last always are.

    absent: where a fault is noted; nothing is measured after it.
    """

    def __init__(self, rounds: int, absent: list[str]) -> None:
        self._absent = absent
        self._due = due_rounds(rounds)
        self._found: dict[int, float] = {}
        self._measuring = True

    def after_round(self, number: int, measure: Callable[[], float]) -> None:
        """Measure where it is due. number: 1-based; measure: the loss as the trees stand now."""
        if number in self._due:
            self.at_end(number, measure)

    def at_end(self, number: int, measure: Callable[[], float]) -> None:
        """Measure the last round, if that has not been done."""
        if number in self._found or not self._measuring:
            return
        self._measuring = False
        with noted(self._absent, f"the training loss from round {number} on"):
            self._found[number] = measure()
            self._measuring = True

    def curve(self, rounds_run: int) -> FloatVector:
        """A loss for each round, (rounds_run,): between measured rounds on a straight line."""
        if not self._measuring:
            raise ValueError("the training rows were not measured to the end")
        return np.interp(
            np.arange(1, rounds_run + 1), list(self._found), list(self._found.values())
        )


def due_rounds(rounds: int) -> frozenset[int]:
    """1, 2, 3, ... and then ever more seldom, up to `rounds`."""
    due: list[int] = []
    number = 1
    while number <= rounds:
        due.append(number)
        number = max(number + 1, round(number * GROWTH))
    return frozenset(due)
