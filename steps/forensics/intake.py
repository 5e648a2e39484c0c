"""Read a draw history from JSON, CSV or Parquet: draws in the order in which they were made.

Nothing is dropped and nothing assumed in silence: a note says so, each with what to set instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steps.contract import Note
from steps.errors import StepRefused
from steps.files import sha256_file
from steps.forensics.documents import HistoryFacts
from steps.forensics.history import ALL, DrawHistory
from steps.forensics.intake_columns import roles_of
from steps.forensics.intake_dates import read_moments, texts_of
from steps.forensics.intake_draws import read_draws
from steps.forensics.intake_order import draw_order
from steps.forensics.intake_range import range_of
from steps.forensics.intake_sessions import read_sessions
from steps.tables.columns import RawColumn
from steps.tables.gather import gather
from steps.tables.read import open_source
from steps.tables.schema import DEFAULT_MISSING_VALUES
from steps.tables.table import TableError, listed

# Arrays of numbers without names for their rows are no history.
_REFUSED_ENDINGS = (".npz",)


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """What a person says about a history. None: work it out; "" for a column: there is none.

    draw_min, draw_max: the least and the greatest draw of the game, in the file's own values.
    session_order: the sessions of a day, the earliest first; empty: work it out.
    """

    draw_column: str | None = None
    date_column: str | None = None
    session_column: str | None = None
    draw_min: int | None = None
    draw_max: int | None = None
    session_order: tuple[str, ...] = ()


def read_history(path: Path, options: IntakeOptions) -> DrawHistory:
    """Read, put in order, find the range. See docs/draw-histories.md for every rule.

    Raises StepRefused "bad_input" that names file, column and row, what was wanted and what was
    got.
    """
    try:
        columns, notes = _columns(path)
        digest = sha256_file(path)
        roles = roles_of(
            path.name,
            columns,
            draw=options.draw_column,
            date=options.date_column,
            session=options.session_column,
        )
        draws = read_draws(path.name, roles.draw, columns[roles.draw])
        found = range_of(path.name, roles.draw, draws, options.draw_min, options.draw_max)
        date = columns[roles.date] if roles.date is not None else None
        session = columns[roles.session] if roles.session is not None else None
        moments = read_moments(path.name, roles.date, date)
        sessions = read_sessions(path.name, roles.session, session, draws.values.size)
        order = draw_order(path.name, draws, moments, sessions, options.session_order)
    except TableError as error:
        raise StepRefused("bad_input", str(error)) from error
    except OSError as error:
        raise StepRefused("bad_input", f"{path}: cannot be read: {error}") from error
    dates = texts_of(moments.microseconds, order.rows)
    facts = HistoryFacts(
        path=str(path),
        sha256=digest,
        draws=draws.values.size,
        unread=int(np.count_nonzero(draws.unread)),
        low=found.low,
        modulus=found.modulus,
        draw_column=roles.draw,
        sessions=order.sessions,
        streams=_streams(order.sessions),
        first_date=dates[0],
        last_date=dates[-1],
        notes=(
            *notes,
            *roles.notes,
            *draws.notes,
            *found.notes,
            *moments.notes,
            *sessions.notes,
            *order.notes,
        ),
    )
    return DrawHistory(
        draws=np.where(draws.unread, -1, draws.values - found.low)[order.rows],
        dates=dates,
        sessions=tuple(sessions.named(order.rows)),
        facts=facts,
    )


def _columns(path: Path) -> tuple[dict[str, RawColumn], tuple[Note, ...]]:
    """Every column of the file as it is, and what is to be known of the file's form."""
    if path.suffix.lower() in _REFUSED_ENDINGS:
        raise TableError(
            f"{path.name}: a draw history must be .json, .csv or .parquet, got {path.suffix}"
        )
    source = open_source(path)
    columns = gather(source, DEFAULT_MISSING_VALUES, frozenset())
    if not columns:
        raise TableError(f"{path.name}: its records are empty: {listed(['{}'])}")
    return columns, tuple(source.notes)


def _streams(sessions: tuple[str, ...]) -> tuple[str, ...]:
    """Everything, and where there are several sessions each of them."""
    if len(sessions) < 2:
        return (ALL,)
    return (ALL, *(f"session {name}" for name in sessions))
