"""Say what the searches would have caught: how many draws each generator wants, and were there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steps.forensics.documents import PowerRow
from steps.forensics.history import ALL
from steps.step1_window.needs import algebra_need, seeds_need
from steps.step1_window.planned import Planned

CORRUPTIONS = (0.0, 0.05, 0.1, 0.25)
_OFTEN = 0.95


def power_rows(
    plan: Sequence[Planned], modulus: int, draws: int, assumed: float, alpha: float
) -> tuple[PowerRow, ...]:
    """A row for each generator, mapping, method and share of wrong draws; assumed: one more share.

    draws: readable ones of stream "all". alpha: of one search. Of several searches the widest
    counts; draws_wanted is None where none is made that bears so many wrong draws.
    """
    rows = []
    for (generator, mapping, method), searches in _by_law(plan).items():
        for corruption in sorted({*CORRUPTIONS, assumed}):
            able = [search for search in searches if _bears(search, modulus, corruption, alpha)]
            widest = max(
                able, key=lambda search: (len(search.seeds), len(search.gaps)), default=None
            )
            wanted = None if widest is None else _wanted(widest, modulus, corruption, alpha)
            rows.append(
                PowerRow(
                    generator=generator,
                    mapping=mapping,
                    method="algebra" if method == "algebra" else "seeds",
                    corruption=corruption,
                    largest_gap=0 if widest is None else widest.gaps[-1],
                    draws_wanted=wanted,
                    enough=wanted is not None and wanted <= draws,
                    seeds=None if widest is None or method == "algebra" else len(widest.seeds),
                )
            )
    return tuple(rows)


def fewest_draws(rows: Sequence[PowerRow], corruption: float) -> PowerRow | None:
    """The row that wants the fewest draws at this share of wrong ones."""
    known = [row for row in rows if row.draws_wanted is not None and row.corruption == corruption]
    return min(known, key=lambda row: row.draws_wanted or 0, default=None)


def _by_law(plan: Sequence[Planned]) -> dict[tuple[str, str, str], list[Planned]]:
    """The searches of whole stream "all" by generator, mapping and method."""
    made: dict[tuple[str, str, str], list[Planned]] = {}
    for search in plan:
        if search.stream == ALL and search.first == 0:
            made.setdefault((search.generator, search.mapping, search.method), []).append(search)
    return made


def _bears(search: Planned, modulus: int, corruption: float, alpha: float) -> bool:
    """Whether this search is made, and finds the generator behind so many wrong draws."""
    if search.left_out is not None:
        return False
    if corruption <= search.corruption:
        return True
    starts = search.starts or 1
    if search.method == "seeds" or search.corruption or starts == 1:
        return False
    # One of the starts must be without a wrong or missing draw.
    return _tries(search, modulus, corruption, alpha) <= starts


def _wanted(search: Planned, modulus: int, corruption: float, alpha: float) -> int | None:
    gaps = len(search.gaps)
    if search.method == "seeds":
        assert search.seeding is not None  # noqa: S101
        passes = gaps * len(search.offsets)
        return seeds_need(
            search.generator,
            search.mapping,
            modulus,
            search.seeding,
            search.seeds,
            passes,
            corruption,
            alpha,
        ).draws
    need = algebra_need(search.generator, search.mapping, modulus, gaps, corruption, alpha)
    if need.draws is not None or search.corruption:
        return need.draws
    clean = algebra_need(search.generator, search.mapping, modulus, gaps, 0.0, alpha)
    if clean.draws is None or clean.window is None:
        return None
    return max(clean.draws, clean.window * _tries(search, modulus, corruption, alpha))


def _tries(search: Planned, modulus: int, corruption: float, alpha: float) -> int:
    """Starts until one is without a wrong or missing draw, in nineteen cases of twenty."""
    need = algebra_need(search.generator, search.mapping, modulus, 1, 0.0, alpha)
    if need.window is None:
        return 1 << 31
    clean = ((1 - corruption) * (1 - search.missing_rate)) ** (need.window - 1)
    return 1 if clean >= _OFTEN else math.ceil(math.log(1 - _OFTEN) / math.log1p(-clean))
