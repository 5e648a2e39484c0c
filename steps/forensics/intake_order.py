"""The order in which draws were made: by date, then by session, then as the file has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steps.contract import Note
from steps.forensics.intake_dates import Integers, ReadMoments, texts_of
from steps.forensics.intake_draws import ReadDraws
from steps.forensics.intake_sessions import ReadSessions, session_order
from steps.tables.table import listed

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True, eq=False)
class DrawOrder:
    """rows: (n,) of the file, the oldest draw first. sessions: in the order of a day."""

    rows: Integers
    sessions: tuple[str, ...]
    notes: tuple[Note, ...]


def draw_order(
    file: str,
    draws: ReadDraws,
    moments: ReadMoments,
    sessions: ReadSessions,
    asked: Sequence[str],
) -> DrawOrder:
    """The draws in the order in which they were made, with a note for all that is not evident.

    asked: the sessions of a day, in order, as a person has set them; empty: none has.
    """
    notes: list[Note] = []
    count = draws.values.size
    when = moments.microseconds
    place = np.arange(count)
    if when is not None and _newest_first(when):
        place = place[::-1]
        notes.append(
            Note(
                level="info",
                code="newest_first",
                message=f"{file}: rows run from the newest to the oldest; they are turned round, "
                "also within a date",
            )
        )
    ordered, why = session_order(file, sessions, when, place, asked)
    if why is not None:
        notes.append(why)
    if when is None:
        return DrawOrder(place, ordered, tuple(notes))
    ranks = np.array([*(ordered.index(name) for name in sessions.names), -1])[sessions.codes]
    rows = np.lexsort((place, ranks, when))
    notes += _unsorted(file, when, ranks, np.argsort(place))
    notes += _repeated(file, draws, when[rows], sessions, rows)
    return DrawOrder(rows, ordered, tuple(notes))


def _newest_first(when: Integers) -> bool:
    return bool(when[0] > when[-1] and (when[1:] <= when[:-1]).all())


def _unsorted(file: str, when: Integers, ranks: Integers, rows: Integers) -> list[Note]:
    """A note where rows, as they stand, are not in order."""
    when, ranks = when[rows], ranks[rows]
    earlier = when[1:] < when[:-1]
    earlier |= (when[1:] == when[:-1]) & (ranks[1:] < ranks[:-1])
    places = np.flatnonzero(earlier)
    if not places.size:
        return []
    return [
        Note(
            level="warning",
            code="sorted",
            message=f"{file}: rows that are older than the row before them: {places.size}, the "
            f"first is row {rows[places[0] + 1] + 1}; all are put in the order of date and session",
        )
    ]


def _repeated(
    file: str, draws: ReadDraws, when: Integers, sessions: ReadSessions, rows: Integers
) -> list[Note]:
    """Notes for dates that carry more than one draw of a session."""
    codes = sessions.codes[rows]
    again = np.append(False, (when[1:] == when[:-1]) & (codes[1:] == codes[:-1]))
    if not again.any():
        return []
    named = (*sessions.names, "")
    texts = texts_of(when, np.flatnonzero(again))
    which = list(
        dict.fromkeys(
            f"{text} {named[code]}".rstrip()
            for text, code in zip(texts, codes[again].tolist(), strict=True)
        )
    )
    shown = listed(which, _MOST_NAMED)
    kept = "all are kept, in the order of the file"
    notes = [
        Note(
            level="warning",
            code="same_session_twice",
            message=f"{file}: sessions with more than one draw: {len(which)}; {kept}: {shown}",
        )
        if sessions.names
        else Note(
            level="info",
            code="several_a_date",
            message=f"{file}: dates with more than one draw, and nothing that tells their "
            f"sessions: {len(which)}; {kept}: {shown}",
        )
    ]
    values = np.where(draws.unread, np.iinfo(np.int64).min, draws.values)[rows]
    alike = np.lexsort((values, codes, when))
    same = np.append(
        False,
        (when[alike][1:] == when[alike][:-1])
        & (codes[alike][1:] == codes[alike][:-1])
        & (values[alike][1:] == values[alike][:-1]),
    )
    if sessions.names and same.any():
        numbers = sorted((rows[alike[same]] + 1).tolist())
        notes.append(
            Note(
                level="warning",
                code="same_row_twice",
                message=f"{file}: rows with the date, session and draw of another one: "
                f"{len(numbers)}, rows {listed(numbers, _MOST_NAMED)}; they are kept: remove them "
                "if they are copies",
            )
        )
    return notes
