"""Sort draws into few classes, so that each class is expected often enough to be counted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steps.prng.mappings import Draws

# As a cell, or as one member of a pair: nothing to count here.
NOTHING = -1
# How the names of views of pairs begin.
PAIR = "pair"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One way of looking at draws. of: int64 (n,), 0..classes - 1, NOTHING where there is none."""

    name: str
    of: NDArray[np.int64] = field(repr=False)
    classes: int

    def counts(self) -> NDArray[np.int64]:
        """How often each class occurs, (classes,)."""
        counted: NDArray[np.int64] = np.bincount(
            self.of[self.of != NOTHING], minlength=self.classes
        )
        return counted


def ranges(draws: Draws, modulus: int, classes: int) -> View:
    """Draws by equal ranges of values, as nearly as the modulus allows. classes: 1..modulus."""
    sorted_in = np.where(draws < 0, NOTHING, draws * classes // modulus)
    return View("value" if classes == modulus else "range of values", sorted_in, classes)


def range_sizes(modulus: int, classes: int) -> NDArray[np.int64]:
    """How many values each range of `ranges` has, (classes,)."""
    sizes: NDArray[np.int64] = np.bincount(np.arange(modulus) * classes // modulus)
    return sizes


def digits(draws: Draws, modulus: int) -> tuple[View, ...]:
    """Draws by each decimal digit, the first one first; none unless the modulus is 100, 1000..."""
    places = len(str(modulus)) - 1
    if modulus != 10**places or places < 2:
        return ()
    return tuple(
        View(
            f"digit {places - power}",
            np.where(draws < 0, NOTHING, draws // 10**power % 10),
            10,
        )
        for power in range(places - 1, -1, -1)
    )


def low_order(draws: Draws, modulus: int, most: int) -> View | None:
    """Draws by their remainder; None where no divisor of the modulus up to `most` says less.

    The divisor is the largest power of two, since generators are weakest in their lowest bits;
    else the smallest odd number.
    """
    divisors = [d for d in range(2, min(most, modulus - 1) + 1) if modulus % d == 0]
    if not divisors:
        return None
    powers = [d for d in divisors if d & (d - 1) == 0]
    divisor = powers[-1] if powers else divisors[0]
    sorted_in = np.where(draws < 0, NOTHING, draws % divisor)
    return View(f"remainder by {divisor}", sorted_in, divisor)


def pairs(view: View) -> View:
    """Each draw together with the one before it: classes squared cells.

    NOTHING for the first draw, and where either of the two has no class.
    """
    before, now = view.of[:-1], view.of[1:]
    cells = np.full(view.of.shape, NOTHING, np.int64)
    cells[1:] = np.where((before < 0) | (now < 0), NOTHING, before * view.classes + now)
    return View(f"{PAIR} by {view.name}", cells, view.classes**2)
