"""Parts of a history as files: what one step splits off, another reads back exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from steps.errors import StepRefused
from steps.files import write_text_atomic
from steps.forensics.documents import HistoryFacts
from steps.forensics.history import DrawHistory
from steps.strict_json import shown


def write_part(path: Path, history: DrawHistory, first: int, stop: int) -> None:
    """Write draws first..stop - 1 of the whole history as a JSON list, a row a line, atomically.

    Rows are {"date", "session", "draw"} with the file's own draws; null where there is no date or
    the draw cannot be read. Raises ValueError for draws that the history does not have.
    """
    count = history.draws.shape[0]
    if not 0 <= first <= stop <= count:
        raise ValueError(f"{path}: wanted draws within 0..{count}, got {first}..{stop}")
    part = slice(first, stop)
    lines = [
        json.dumps(
            {
                "date": date,
                "session": session,
                "draw": draw + history.facts.low if draw >= 0 else None,
            },
            ensure_ascii=False,
        )
        for date, session, draw in zip(
            history.dates[part], history.sessions[part], history.draws[part].tolist(), strict=True
        )
    ]
    write_text_atomic(path, "[" + ",".join(f"\n{line}" for line in lines) + "\n]\n")


def read_part(path: Path, facts: HistoryFacts) -> DrawHistory:
    """Read a part of the history that `facts` describes; facts are of the whole of it.

    Raises StepRefused naming file and row: not as write_part leaves it, or a draw outside the
    range of the history.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StepRefused("bad_input", f"{path}: cannot be read: {error}") from error
    if not isinstance(rows, list):
        raise StepRefused("bad_input", f"{path}: must be a list of draws, got {shown(rows)}")
    draws = np.empty(len(rows), np.int64)
    dates: list[str | None] = []
    sessions: list[str] = []
    for place, row in enumerate(rows):
        match row:
            case {"date": str() | None as date, "session": str(session), "draw": draw, **more} if (
                not more and (draw is None or type(draw) is int)
            ):
                dates.append(date)
                sessions.append(session)
            case _:
                raise StepRefused(
                    "bad_input",
                    f"{path}: row {place + 1}: wanted date, session and a whole draw, got "
                    f"{shown(row)}",
                )
        draws[place] = -1 if draw is None else _counted(draw, facts, f"{path}: row {place + 1}")
    return DrawHistory(draws, tuple(dates), tuple(sessions), facts)


def _counted(draw: int, facts: HistoryFacts, where: str) -> int:
    """The draw counted from 0."""
    if not facts.low <= draw < facts.low + facts.modulus:
        raise StepRefused(
            "bad_input",
            f"{where}: a draw of this history must be {facts.low} to "
            f"{facts.low + facts.modulus - 1}, got {shown(draw)}",
        )
    return draw - facts.low
