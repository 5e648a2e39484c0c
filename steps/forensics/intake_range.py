"""The range of a game's draws: what a person says it is, else what the draws make plausible."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from steps.contract import Note
from steps.forensics.intake_draws import ReadDraws, named_rows
from steps.prng.mappings import Draws
from steps.tables.table import TableError

_LARGEST_MODULUS = 1_000_000
# A range whose edges the draws should have shown by these odds is not assumed.
_IMPLAUSIBLE = 1e-6
# Below this share of a power of ten, the highest draw does not speak for it.
_NEARLY = 0.9
# More draws than these in a far place are no slips.
_MOST_APART = 3
# So likely that the highest value of the game has not been drawn yet: say so louder.
_UNSURE = 0.01


@dataclass(frozen=True, slots=True)
class DrawRange:
    """Draws are low..low + modulus - 1."""

    low: int
    modulus: int
    notes: tuple[Note, ...]


def range_of(
    file: str, column: str, draws: ReadDraws, least: int | None, greatest: int | None
) -> DrawRange:
    """The range of the draws; least, greatest: what a person has set.

    What is not set is inferred. The draws are of 0..10^k - 1 where their highest is at least 90 %
    of 10^k and n uniform draws would leave such edges unseen with odds of over one in a million:
    (1 - unseen / 10^k)^n, by the law of independent draws. Otherwise they end at the highest one
    seen, and begin at 0 where it was drawn, at 1 where that is as plausible, else at the lowest.
    Raises TableError for a draw outside what is set, a negative one where draw_min is not, fewer
    than 2 or more than 1,000,000 values, and up to three draws that stand so far above or below all
    others that the range would rest on what are likely slips of the pen.
    """
    seen = draws.values[~draws.unread]
    _check(file, column, draws, least, greatest)
    if least is None and (lowest := int(seen.min())) < 0:
        row = int(np.argmax((draws.values == lowest) & ~draws.unread))
        raise TableError(
            f"{file}: column {column!r}, row {row + 1}: draws begin at 0 or 1 unless draw_min says "
            f"otherwise, got {lowest}"
        )
    low, high = _inferred(seen, least, greatest)
    if greatest is None:
        _check_tail(file, column, draws, high - low + 1, "above")
    if least is None:
        _check_tail(file, column, draws, high - low + 1, "below")
    modulus = high - low + 1
    if not 2 <= modulus <= _LARGEST_MODULUS:
        raise TableError(
            f"{file}: column {column!r}: a game must have 2 to {_LARGEST_MODULUS:,} values, got "
            f"{modulus:,} ({low} to {high}); set draw_min and draw_max"
        )
    return DrawRange(low, modulus, _notes(file, seen, low, high, least, greatest))


def _check(
    file: str, column: str, draws: ReadDraws, least: int | None, greatest: int | None
) -> None:
    if least is not None and greatest is not None and least >= greatest:
        raise TableError(
            f"draw_min must be less than draw_max, got draw_min {least} and draw_max {greatest}"
        )
    outside = np.zeros(draws.values.shape, np.bool_)
    if least is not None:
        outside |= draws.values < least
    if greatest is not None:
        outside |= draws.values > greatest
    rows = np.flatnonzero(outside & ~draws.unread)
    if rows.size:
        wanted = f"{'any' if least is None else least} to {'any' if greatest is None else greatest}"
        more = f"; out of range are rows {named_rows(rows)}" if rows.size > 1 else ""
        raise TableError(
            f"{file}: column {column!r}, row {rows[0] + 1}: a draw must be {wanted} (draw_min, "
            f"draw_max), got {draws.values[rows[0]]}{more}"
        )


def _check_tail(
    file: str, column: str, draws: ReadDraws, modulus: int, side: Literal["above", "below"]
) -> None:
    """Refuse up to three draws beyond a hole that n uniform ones leave once in a million times.

    The chance: (n choose k) ways to say which k draws stand apart, times (1 - hole / M)^(n - k).
    """
    rows = np.flatnonzero(~draws.unread)
    values = draws.values[rows] if side == "above" else -draws.values[rows]
    order = np.argsort(-values, kind="stable")
    for apart in range(min(_MOST_APART, rows.size - 1), 0, -1):
        nearest, next_one = int(values[order[apart - 1]]), int(values[order[apart]])
        rest = rows.size - apart
        hole = max(nearest - next_one - 1, 0) / modulus
        if math.comb(rows.size, apart) * (1 - hole) ** rest < _IMPLAUSIBLE / (2 * _MOST_APART):
            bound, sign = ("draw_max", 1) if side == "above" else ("draw_min", -1)
            far, own = sign * int(values[order[0]]), np.sort(rows[order[:apart]])
            which = f"row {own[0] + 1}" if apart == 1 else f"rows {named_rows(own)}"
            raise TableError(
                f"{file}: column {column!r}, {which}: {draws.values[own[0]]} is so far {side} the "
                f"other {rest} draws, {sign * next_one} the next of them, that uniform draws would "
                "leave such a hole less than once in a million times; mend or remove what is wrong "
                f"there, or set {bound} to {far} if the game goes so far"
            )


def _inferred(seen: Draws, least: int | None, greatest: int | None) -> tuple[int, int]:
    if least is not None and greatest is not None:
        return least, greatest
    lowest, highest = int(seen.min()), int(seen.max())
    if greatest is not None:
        if lowest == 0 or _is_power_of_ten(greatest + 1):
            return 0, greatest
        return _low(seen.size, lowest, greatest), greatest
    power = 10
    while power <= highest:
        power *= 10
    if least in (None, 0) and highest >= _NEARLY * power:
        unseen = power - 1 - highest + (lowest if least is None else 0)
        if _plausible(unseen, power, seen.size):
            return 0, power - 1
    return (_low(seen.size, lowest, highest) if least is None else least), highest


def _low(count: int, lowest: int, highest: int) -> int:
    if lowest <= 1:
        return lowest
    return 1 if _plausible(lowest - 1, highest, count) else lowest


def _plausible(unseen: int, values: int, count: int) -> bool:
    return bool((1 - unseen / values) ** count >= _IMPLAUSIBLE)


def _is_power_of_ten(value: int) -> bool:
    return value >= 10 and set(str(value)[1:]) == {"0"} and str(value)[0] == "1"


def _notes(
    file: str, seen: Draws, low: int, high: int, least: int | None, greatest: int | None
) -> tuple[Note, ...]:
    if least is not None and greatest is not None:
        return ()
    modulus = high - low + 1
    may_be_more = greatest is None and (1 - 1 / modulus) ** seen.size > _UNSURE
    doubt = (
        f"; {seen.size} draws are few to tell it from, and a wrong range hides a generator"
        if may_be_more
        else ""
    )
    return (
        Note(
            level="warning" if may_be_more else "info",
            code="assumed_range",
            message=f"{file}: draws are taken to be {low} to {high}, {modulus} values (seen: "
            f"{seen.min()} to {seen.max()}){doubt}; set draw_min and draw_max where that is wrong",
        ),
    )
