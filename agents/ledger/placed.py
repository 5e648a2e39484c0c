"""Read out of a result what was placed where, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator

from steps.contract import Note, StepResult

PLACEMENT = "placement"

_PLACED = re.compile(r"(?P<what>\w+) on (?P<device>\S+): (?P<reason>.+)", re.DOTALL)


def placements(result: StepResult) -> Iterator[tuple[str, str, str]]:
    """What was placed, where, why. A note that is not "WHAT on DEVICE: REASON" is a reason."""
    for note in result.notes:
        if note.code == PLACEMENT:
            yield _placement(note, "")
    for family, found in result.families.items():
        for note in found.notes:
            if note.code == PLACEMENT:
                yield _placement(note, family)


def _placement(note: Note, what: str) -> tuple[str, str, str]:
    if parts := _PLACED.fullmatch(note.message):
        return parts["what"], parts["device"], parts["reason"]
    return what, "", note.message
