"""What the searches would have caught, in a few sentences, and how many draws others want."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steps.forensics.documents import PowerRow, SearchRecord, WindowConfig
from steps.forensics.history import ALL

Method = Literal["algebra", "seeds"]
_Law = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a search reaches: with so many draws wrong, up to this gap; seeds: None for all
    states.
    """

    corruption: float
    largest_gap: int
    seeds: int | None


def power_sentences(window: WindowConfig) -> tuple[str, ...]:
    """Which generators would have been caught, behind how many wrong draws and up to what gap, and
    which not.

    What algebra catches it catches in any state; a search of seeds, among the seeds tried alone.
    Only searches of the whole history that were made count, whatever was planned.
    """
    made = [search for search in window.searches if _of_the_whole(search)]
    said = []
    caught: dict[_Law, _Reach] = {}
    methods: tuple[Method, ...] = ("algebra", "seeds")
    for method in methods:
        reached = {
            law: reach for law, reach in _reached(window, made, method).items() if law not in caught
        }
        caught |= reached
        for share in sorted({reach.corruption for reach in reached.values()}, reverse=True):
            own = {law: reach for law, reach in reached.items() if reach.corruption == share}
            wrong = f" with up to {share:.0%} of the draws wrong" if share else ""
            said.append(f"It would have caught{wrong}, {_groups(own)}.")
    missed = [law for law in dict.fromkeys(map(_law, window.power)) if law not in caught]
    looked_for = {_law(search) for search in made}
    too_few = [law for law in missed if law in looked_for]
    unsought = [law for law in missed if law not in looked_for]
    if too_few:
        said.append(f"It was looked for, and could not have been caught: {_laws(too_few)}.")
    if unsought:
        said.append(f"Not looked for in full: {_laws(unsought)}.")
    said.append("Other generators, larger gaps and seeds that were not tried are not ruled out.")
    return tuple(said)


def draws_wanted(window: WindowConfig) -> PowerRow | None:
    """The row that wants the fewest draws to learn from, of those that want more than there are.

    Of shares of wrong draws the one counts that the searches allow for.
    """
    allowed = max((search.corruption for search in window.searches), default=0.0)
    shares = sorted({row.corruption for row in window.power if row.corruption >= allowed})
    for share in shares:
        rows = [row for row in window.power if row.corruption == share]
        known = [row for row in rows if row.draws_wanted is not None and not row.enough]
        if known and not any(row.enough for row in rows):
            return min(known, key=lambda row: row.draws_wanted or 0)
    return None


def in_all(window: WindowConfig, wanted: int) -> int:
    """How long a history must be to have so many draws to learn from; more than there are."""
    draws = window.train + window.holdout
    return max(draws + 1, math.ceil(wanted * draws / max(window.train, 1)))


def _of_the_whole(search: SearchRecord) -> bool:
    done = search.not_tried is None and search.complete
    return done and search.stream == ALL and search.first == 0


def _reached(
    window: WindowConfig, made: Sequence[SearchRecord], method: Method
) -> dict[_Law, _Reach]:
    """How far the searches of a method reach, at the largest share of wrong draws that they bear.
    No search is said to reach farther than it did, and none farther than the table says.
    """
    reached: dict[_Law, _Reach] = {}
    for row in sorted(window.power, key=lambda row: -row.corruption):
        if row.method != method or not row.enough or _law(row) in reached:
            continue
        able = [
            search
            for search in made
            if search.method == method
            and _law(search) == _law(row)
            and search.corruption >= row.corruption
        ]
        if not able:
            continue
        widest = max(able, key=lambda search: (search.seeds or 0, search.largest_gap))
        seeds = [count for count in (row.seeds, widest.seeds) if count is not None]
        reached[_law(row)] = _Reach(
            row.corruption,
            min(row.largest_gap, widest.largest_gap),
            min(seeds) if method == "seeds" and seeds else None,
        )
    return reached


def _groups(reached: dict[_Law, _Reach]) -> str:
    """Generators that are reached as far, together; the farthest first."""
    groups: dict[tuple[int, int], list[_Law]] = {}
    for law, reach in reached.items():
        groups.setdefault((reach.seeds or 0, reach.largest_gap), []).append(law)
    said = []
    for (seeds, gap), laws in sorted(groups.items(), key=lambda item: item[0], reverse=True):
        started = f"from one of {count_text(seeds)} seeds" if seeds else "in any state"
        gaps = f"gaps 0 to {gap}" if gap else "gap 0"
        said.append(f"{started}, {gaps}: {_laws(laws)}")
    return "; ".join(said)


def count_text(number: int) -> str:
    """A number, as a power of two where it is one: "2^20"."""
    power = number.bit_length() - 1
    return f"2^{power}" if number == 1 << power else f"{number:,}"


def _law(row: PowerRow | SearchRecord) -> _Law:
    return row.generator, row.mapping


def _laws(laws: Sequence[_Law]) -> str:
    """Generators with their mappings: "java (mod, next_int)"."""
    mappings: dict[str, list[str]] = {}
    for generator, mapping in laws:
        mappings.setdefault(generator, []).append(mapping)
    return ", ".join(f"{name} ({', '.join(through)})" for name, through in mappings.items())
