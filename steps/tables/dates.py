"""Texts and moments to calendar numbers, saying so where 03/04 could mean two days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from steps.tables.bridge import numpy_values
from steps.tables.columns import NO_MOMENT, Moments, Texts
from steps.tables.schema import DateOrder, DatePart

Microseconds = npt.NDArray[np.int64]

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_EPOCH_DAY = np.datetime64("2000-01-01", "D").astype(np.int64)
_YEAR_FIRST = r"^\s*\d{4}[-/.]\d{1,2}[-/.]\d{1,2}"
_TIME = (
    r"(?:[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?\s?(?P<half>[AaPp][Mm])?)?"
)
_YEAR_FIRST_PARTS = r"^(?P<a>\d{4})[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{1,2})" + _TIME + "$"
# A year of two digits only between slashes: 1.2.20 may be a version, 1-2-20 a part number.
_YEAR_LAST_PARTS = (
    r"^(?P<a>\d{1,2})(?:[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{4})|/(?P<b2>\d{1,2})/(?P<c2>\d{2}))"
)
_YEAR_LAST_PARTS += _TIME + "$"


@dataclass(frozen=True, slots=True, eq=False)
class Dates:
    """microseconds: int64, one a text, since 1970. ambiguous: day and month could be swapped."""

    microseconds: Microseconds
    order: DateOrder
    ambiguous: bool = False


def parse_dates(texts: Any, order: DateOrder | None = None) -> Dates | None:
    """Distinct texts (pyarrow, no nulls) as dates, or None if any is none.

    order: how to read texts that do not start with the year; None: worked out from the texts,
    day first where they leave it open.
    """
    tidy = pc.utf8_trim_whitespace(texts)
    if len(tidy) == 0:
        return None
    if _all(pc.match_substring_regex(tidy, _YEAR_FIRST)):
        moments = _parse_year_first(tidy)
        return None if moments is None else Dates(moments, order or "ymd")
    parts = _numbers(tidy, _YEAR_LAST_PARTS)
    if parts is None:
        return None
    first, second, year = parts["a"], parts["b"] + parts["b2"], parts["c"] + parts["c2"]
    # Two digits: 69..99 are 1969..1999, as POSIX has it.
    year = np.where(parts["c2_given"], np.where(year < 69, year + 2000, year + 1900), year)
    day_first = bool(second.max() <= 12)
    month_first = bool(first.max() <= 12)
    found: DateOrder = "mdy" if month_first and not day_first else "dmy"
    order = found if order in (None, "ymd") else order
    day, month = (first, second) if order == "dmy" else (second, first)
    moments = _composed(year, month, day, parts)
    return None if moments is None else Dates(moments, order, day_first and month_first)


def moments_of(raw: Texts | Moments, order: DateOrder | None) -> Microseconds | None:
    """int64 (n_rows,) microseconds or NO_MOMENT; None if a text is no date."""
    if isinstance(raw, Moments):
        return raw.microseconds
    dates = parse_dates(raw.distinct, order)
    if dates is None:
        return None
    return np.append(dates.microseconds, NO_MOMENT)[raw.codes]


def has_time_of_day(moments: Microseconds) -> bool:
    """Whether any moment is not midnight."""
    known = moments[moments != NO_MOMENT]
    return bool((known % _DAY_US != 0).any())


def date_part(moments: Microseconds, part: DatePart) -> npt.NDArray[np.float64]:
    """float64 (n_rows,), NaN for NO_MOMENT; see DateEncoding for what each part means."""
    day = moments // _DAY_US
    match part:
        case "days":
            value = (day - _EPOCH_DAY).astype(np.float64)
        case "weekday":
            value = ((day + 3) % 7).astype(np.float64)  # 1970-01-01 was a Thursday
        case "dayofyear":
            dates = day.astype("datetime64[D]")
            value = (dates - dates.astype("datetime64[Y]")).astype(np.float64) + 1
        case "hour":
            value = (moments % _DAY_US) / _HOUR_US
    value[moments == NO_MOMENT] = np.nan
    return value


def _parse_year_first(texts: Any) -> Microseconds | None:
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ns")):
        try:
            moments = pc.cast(pc.cast(texts, kind), pa.timestamp("us", kind.tz), safe=False)
        except pa.ArrowInvalid:
            continue
        return numpy_values(moments)
    parts = _numbers(texts, _YEAR_FIRST_PARTS)
    return None if parts is None else _composed(parts["a"], parts["b"], parts["c"], parts)


def _numbers(texts: Any, pattern: str) -> dict[str, Any] | None:
    """Named groups as int64 arrays, 0 where a group is absent; None unless all texts match."""
    groups = pc.extract_regex(texts, pattern)
    if groups.null_count:
        return None
    parts: dict[str, Any] = {}
    for field, values in zip(groups.type, groups.flatten(), strict=True):
        parts[f"{field.name}_given"] = numpy_values(pc.utf8_length(values)) > 0
        if field.name == "half":
            parts["afternoon"] = numpy_values(pc.match_substring_regex(values, "^[Pp]"))
            continue
        filled = pc.replace_substring_regex(values, "^$", "0")
        parts[field.name] = numpy_values(pc.cast(filled, pa.int64()))
    return parts


def _composed(year: Any, month: Any, day: Any, parts: dict[str, Any]) -> Microseconds | None:
    """Microseconds since 1970, or None if any is no day of the calendar or time of the clock."""
    hour = parts["hour"]
    halved = parts["half_given"]
    hour_of_day = np.where(halved, hour % 12 + 12 * parts["afternoon"], hour)
    bad_clock = (hour_of_day > 23) | (parts["minute"] > 59) | (parts["second"] > 59)
    if bad_clock.any() or (month < 1).any() or (month > 12).any() or (day < 1).any():
        return None
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    if (dates.astype("datetime64[M]") != months).any():  # 31 April
        return None
    seconds = hour_of_day * 3600 + parts["minute"] * 60 + parts["second"]
    moments: Microseconds = dates.astype(np.int64) * _DAY_US + seconds * 1_000_000
    return moments


def _all(mask: Any) -> bool:
    return bool(pc.all(mask).as_py())
