"""Find where a machine changed: the place of greatest difference, judged by permutation.

A stretch of draws is cut into up to 64 disjoint blocks. For every place between two blocks the
draws before are held against those after; the statistic is the largest difference over all places
and views, and its null distribution is that of the same blocks in random order. So nothing is said
of how draws are distributed, and dependence at short distance does not look like a change. Where a
change is beyond chance, both parts are looked at in the same way (binary segmentation, Scott and
Knott 1974; the largest over places as in Andrews 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steps.prng.mappings import Draws
from steps.step0_regimes.classes import NOTHING, PAIR, View, digits, low_order, pairs, ranges

Kind = Literal["values", "pairs"]
KINDS: tuple[Kind, ...] = ("values", "pairs")

FEWEST_DRAWS = 200
# Where few permutations exceed the observed one, so many times as many are made.
MORE_PERMUTATIONS = 10
_WORTH_MORE = 0.05
_MOST_BLOCKS = 64
_FEWEST_IN_BLOCK = 10
_MOST_RANGES = 32
_PAIR_CLASSES = 4
# Each side of a place has this share of the draws at least: tests at the very ends have no power.
_TRIM = 0.05
_CELLS_AT_ONCE = 1 << 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """The likeliest place of a change in draws first..stop - 1, and whether it is beyond chance.

    at: the first draw after it. statistic: its largest difference, in standard deviations of what
    permutations give. places: how many places times views were looked at. view: where it is seen.
    """

    first: int
    stop: int
    kind: Kind
    view: str
    at: int
    statistic: float
    p_value: float
    places: int


def views_of(draws: Draws, modulus: int, kind: Kind) -> tuple[View, ...]:
    """The views in which a change of this kind would be seen; those with one class are left out."""
    by_remainder = low_order(draws, modulus, _PAIR_CLASSES)
    if kind == "values":
        by_digit = digits(draws, modulus)
        views = [ranges(draws, modulus, min(modulus, _MOST_RANGES)), *by_digit]
        if not by_digit and by_remainder is not None:
            views.append(by_remainder)
    else:
        views = [pairs(ranges(draws, modulus, min(modulus, _PAIR_CLASSES)))]
        if by_remainder is not None:
            views.append(pairs(by_remainder))
    return tuple(view for view in views if view.classes > 1)


def likeliest_change(
    draws: Draws,
    modulus: int,
    kind: Kind,
    first: int,
    stop: int,
    permutations: int,
    rng: np.random.Generator,
) -> Change | None:
    """The likeliest change in draws first..stop - 1; None where they are too few, or all equal.

    draws: int64 (n,), -1 where one could not be read. permutations: ten times as many
    (MORE_PERMUTATIONS) where few of them exceed what was observed.
    """
    part = draws[first:stop]
    read = part[part >= 0]
    if read.size < FEWEST_DRAWS or modulus < 2 or (read == read[0]).all():
        return None
    edges = _edges(part.size)
    blocks = edges.size - 1
    views = views_of(part, modulus, kind)
    counted = [_in_blocks(view, edges) for view in views]
    observed, places = _largest(counted, np.arange(blocks)[np.newaxis])
    random = _permuted(counted, blocks, permutations, rng)
    statistic, p, seen = _judged(observed, random)
    if p <= _WORTH_MORE:
        more = _permuted(counted, blocks, (MORE_PERMUTATIONS - 1) * permutations, rng)
        statistic, p, seen = _judged(observed, np.concatenate([random, more]))
    view, place = views[seen // 2], int(places[0, seen])
    at = _refined(view, int(edges[place - 1]), int(edges[place + 1]), seen % 2)
    looked_at = (blocks - 1) * observed.size
    return Change(first, stop, kind, view.name, first + at, statistic, p, looked_at)


def _edges(n: int) -> NDArray[np.int64]:
    """Where blocks begin, and the end, (blocks + 1,). Lengths differ by one draw at most."""
    blocks = min(_MOST_BLOCKS, n // _FEWEST_IN_BLOCK)
    return np.linspace(0, n, blocks + 1).astype(np.int64)


def _in_blocks(view: View, edges: NDArray[np.int64]) -> Floats:
    """Counts of cells in each block, (blocks, cells that occur). Pairs lie inside their block."""
    cells = view.of.copy()
    if view.name.startswith(PAIR):
        cells[edges[:-1]] = NOTHING
    block = np.repeat(np.arange(edges.size - 1), np.diff(edges))
    seen = cells != NOTHING
    counts = np.bincount(
        block[seen] * view.classes + cells[seen], minlength=(edges.size - 1) * view.classes
    ).reshape(-1, view.classes)
    return counts[:, counts.sum(0) > 0].astype(np.float64)


def _permuted(
    counted: Sequence[Floats], blocks: int, permutations: int, rng: np.random.Generator
) -> Floats:
    """The largest statistics (permutations, 2 * views) of blocks in random order."""
    most = max(1, _CELLS_AT_ONCE // (blocks * max(counts.shape[1] for counts in counted)))
    largest = []
    for done in range(0, permutations, most):
        orders = np.tile(np.arange(blocks), (min(most, permutations - done), 1))
        largest.append(_largest(counted, rng.permuted(orders, axis=1))[0])
    return np.concatenate(largest)


def _largest(
    counted: Sequence[Floats], orders: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.intp]]:
    """For orders (n, blocks): the largest statistics, two a view, and the places they are at.

    Both (n, 2 * views); place i lies before block i of the order.
    """
    largest, places = [], []
    for counts in counted:
        totals = counts.sum(0)
        in_block = counts.sum(1)
        # What a block has beyond its share: with these, sums over blocks need no more subtracting.
        beyond = counts - np.outer(in_block, totals / totals.sum())
        before = np.cumsum(beyond[orders[:, :-1]], axis=1)
        draws_before = np.cumsum(in_block[orders[:, :-1]], axis=1)
        for statistic in _differences(before, draws_before, totals):
            largest.append(statistic.max(axis=1))
            places.append(statistic.argmax(axis=1) + 1)
    return np.stack(largest, axis=1), np.stack(places, axis=1)


def _differences(before: Floats, draws_before: Floats, totals: Floats) -> tuple[Floats, Floats]:
    """How much the draws before a place differ from those after it; two statistics (...,).

    before: counts less what is expected, (..., cells); draws_before: (...,); totals: (cells,).
    Pearson's chi-square of the two-row table, made normal by its cube root (Wilson and Hilferty
    1931), for a change of many cells; and the largest difference of one cell in its standard
    deviations, for a change of one. 0 where either side is too short.
    """
    n = totals.sum()
    if totals.size < 2:
        return np.zeros_like(draws_before), np.zeros_like(draws_before)
    inside = np.minimum(draws_before, n - draws_before) >= max(1.0, _TRIM * n)
    scale = np.zeros_like(draws_before)
    np.divide(n * n, draws_before * (n - draws_before), out=scale, where=inside)
    squared = before * before
    freedom = totals.size - 1
    chi_square = scale * (squared @ (1 / totals))
    spread = 2 / (9 * freedom)
    normal = (np.cbrt(chi_square / freedom) - (1 - spread)) / spread**0.5
    squared *= 1 / (totals * (1 - totals / n))
    one_cell = np.sqrt(scale * squared.max(axis=-1))
    return np.where(inside, normal, 0.0), one_cell


def _judged(observed: Floats, random: Floats) -> tuple[float, float, int]:
    """The largest statistic of all, its p-value, and which it is.

    observed: (1, statistics); random: (permutations, statistics). Each is measured in its own
    standard deviations over all rows, the observed one too: so all rows are treated alike.
    """
    rows = np.concatenate([observed, random])
    deviations = rows - rows.mean(axis=0)
    spread = rows.std(axis=0)
    np.divide(deviations, spread, out=deviations, where=spread > 0)
    largest = deviations.max(axis=1)
    # The same blocks in another order may differ in the last bit.
    p = float(np.mean(largest >= largest[0] - 1e-9))
    return float(largest[0]), p, int(deviations[0].argmax())


def _refined(view: View, low: int, high: int, which: int) -> int:
    """The draw in low..high where the statistic that was largest is largest."""
    seen = view.of[view.of != NOTHING]
    totals = np.bincount(seen, minlength=view.classes).astype(np.float64)
    before_low = view.of[:low]
    left = np.bincount(before_low[before_low != NOTHING], minlength=view.classes)
    near = view.of[low:high, np.newaxis] == np.arange(view.classes)
    counts = np.concatenate([left[np.newaxis], left + np.cumsum(near, axis=0)]).astype(np.float64)
    counts, totals = counts[:, totals > 0], totals[totals > 0]
    draws_before = counts.sum(axis=1)
    beyond = counts - np.outer(draws_before, totals / totals.sum())
    return low + int(_differences(beyond, draws_before, totals)[which].argmax())
