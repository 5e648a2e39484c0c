"""When each draw was made, from texts, numbers such as 20150131, or a file's own dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from steps.contract import Note
from steps.tables.columns import NO_MOMENT, Moments, Numbers, RawColumn, Texts
from steps.tables.dates import are_dates, parse_dates
from steps.tables.table import TableError, shortened

Integers = npt.NDArray[np.int64]

DAY_US = 86_400_000_000
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class ReadMoments:
    """microseconds: int64 (n,) since 1970, None without dates."""

    microseconds: Integers | None
    notes: tuple[Note, ...] = ()


def read_moments(file: str, column: str | None, raw: RawColumn | None) -> ReadMoments:
    """When each draw was made. Raises TableError naming the column, and row and text of a fault."""
    if raw is None or column is None:
        return ReadMoments(None)
    notes: tuple[Note, ...] = ()
    match raw:
        case Moments(microseconds=microseconds):
            pass
        case Numbers():
            microseconds = _of_numbers(file, column, raw)
        case Texts():
            microseconds, notes = _of_texts(file, column, raw)
    if (missing := microseconds == NO_MOMENT).any():
        raise TableError(
            f"{file}: column {column!r}, row {int(np.argmax(missing)) + 1}: the date is missing; "
            'fill it in, or set date_column to "" to take the file\'s order'
        )
    return ReadMoments(microseconds, notes)


def texts_of(microseconds: Integers | None, rows: Integers) -> tuple[str | None, ...]:
    """Dates of these rows as ISO texts, with a time where any has one; None without dates."""
    if microseconds is None:
        return (None,) * rows.size
    unit: Literal["D", "s", "us"] = "D"
    if (microseconds % DAY_US).any():
        unit = "us" if (microseconds % _SECOND_US).any() else "s"
    distinct, places = np.unique(microseconds, return_inverse=True)
    texts = np.datetime_as_string(distinct.astype("datetime64[us]"), unit=unit).tolist()
    return tuple(texts[at] for at in places[rows].tolist())


def _of_numbers(file: str, column: str, raw: Numbers) -> Integers:
    """int64 (n,) microseconds since 1970, NO_MOMENT where missing, of numbers as 20150131."""
    values = raw.values.astype(np.float64)
    missing = np.isnan(values)
    whole = np.where(np.abs(values) < 1e8, values, 0).astype(np.int64)
    year, month, day = whole // 10_000, whole // 100 % 100, whole % 100
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    good = (whole == values) & (year >= 1600)
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]") == months)
    if (bad := ~(good | missing)).any():
        row = int(np.argmax(bad))
        raise _no_date(file, column, row, f"{values[row]:.15g}")
    microseconds = days.astype("datetime64[us]").astype(np.int64)
    microseconds[missing] = NO_MOMENT
    return microseconds


def _of_texts(file: str, column: str, raw: Texts) -> tuple[Integers, tuple[Note, ...]]:
    dates = parse_dates(raw.distinct)
    if dates is None:
        counts = np.bincount(raw.codes[raw.codes >= 0], minlength=len(raw.distinct))
        fits = np.append(are_dates(raw.distinct, counts.astype(np.int64)), True)
        row = int(np.argmin(fits[raw.codes]))
        raise _no_date(file, column, row, shortened(raw.distinct[int(raw.codes[row])].as_py()))
    microseconds = np.append(dates.microseconds, NO_MOMENT)[raw.codes]
    first = raw.distinct[0].as_py()
    if dates.ambiguous:
        raise TableError(
            f"{file}: column {column!r}: dates such as {shortened(first)} may be day first or "
            "month first, and no row tells which; write them as YYYY-MM-DD"
        )
    if dates.order == "ymd":
        return microseconds, ()
    way = "day first" if dates.order == "dmy" else "month first"
    return microseconds, (
        Note(
            level="info",
            code="date_order",
            message=f"{file}: column {column!r}: dates such as {shortened(first)} are read {way}, "
            "since some of them cannot be read otherwise",
        ),
    )


def _no_date(file: str, column: str, row: int, got: str) -> TableError:
    return TableError(
        f"{file}: column {column!r}, row {row + 1}: wanted a date, best as YYYY-MM-DD and all "
        f"written in one way, got {got}"
    )
