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
# What pyarrow reads, as moments without an offset from UTC and with one.
_ISO_DAY = r"^(?P<a>\d{4})-(?P<b>\d{2})-(?P<c>\d{2})(?P<half>)"
_ISO_CLOCK = r"[ T](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d{1,9})?)?"
_WAYS_TO_WRITE: tuple[tuple[str, DateOrder], ...] = (
    (_YEAR_FIRST_PARTS, "ymd"),
    (_ISO_DAY + f"(?:{_ISO_CLOCK})?$", "ymd"),
    (_ISO_DAY + _ISO_CLOCK + r"(?:Z|[+-]\d{2}(?::?\d{2})?)$", "ymd"),
    (_YEAR_LAST_PARTS, "dmy"),
    (_YEAR_LAST_PARTS, "mdy"),
)
_DATE_LIKE = r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d|\d{1,2}[-/.]\d{1,2}[-/.]\d)"


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
    first, second, year = _year_last(parts)
    day_first = bool(second.max() <= 12)
    month_first = bool(first.max() <= 12)
    found: DateOrder = "mdy" if month_first and not day_first else "dmy"
    order = found if order in (None, "ymd") else order
    day, month = (first, second) if order == "dmy" else (second, first)
    moments = _composed(year, month, day, parts)
    return None if moments is None else Dates(moments, order, day_first and month_first)


def are_date_like(texts: Any) -> npt.NDArray[np.bool_]:
    """Which of these texts (no nulls) begin as dates do; cheap."""
    return numpy_values(pc.match_substring_regex(texts, _DATE_LIKE))


def are_dates(texts: Any, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of these texts (no nulls) are dates, written in the way most rows are.

    counts: in how many rows each text stands.
    """
    tidy = pc.utf8_trim_whitespace(texts)
    ways = [_written_so(tidy, pattern, order) for pattern, order in _WAYS_TO_WRITE]
    return max(ways, key=lambda dates: int(counts[dates].sum()))


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


def _year_last(parts: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The first and second number, and the year, of texts such as 31/12/99."""
    year = parts["c"] + parts["c2"]
    # Two digits: 69..99 are 1969..1999, as POSIX has it.
    year = np.where(parts["c2_given"], np.where(year < 69, year + 2000, year + 1900), year)
    return parts["a"], parts["b"] + parts["b2"], year


def _composed(year: Any, month: Any, day: Any, parts: dict[str, Any]) -> Microseconds | None:
    """Microseconds since 1970, or None if any is no day of the calendar or time of the clock."""
    if not _exist(year, month, day, parts).all():
        return None
    dates = _months(year, month).astype("datetime64[D]") + (day - 1)
    seconds = _hour_of_day(parts) * 3600 + parts["minute"] * 60 + parts["second"]
    moments: Microseconds = dates.astype(np.int64) * _DAY_US + seconds * 1_000_000
    return moments


def _exist(year: Any, month: Any, day: Any, parts: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Which are days of the calendar and times of the clock."""
    months = _months(year, month)
    dates = months.astype("datetime64[D]") + (day - 1)
    clock = (_hour_of_day(parts) <= 23) & (parts["minute"] <= 59) & (parts["second"] <= 59)
    calendar = (month >= 1) & (month <= 12) & (day >= 1)
    exist: npt.NDArray[np.bool_] = clock & calendar & (dates.astype("datetime64[M]") == months)
    return exist  # 31 April is in another month


def _months(year: Any, month: Any) -> Any:
    return ((year - 1970) * 12 + month - 1).astype("datetime64[M]")


def _hour_of_day(parts: dict[str, Any]) -> Any:
    hour = parts["hour"]
    return np.where(parts["half_given"], hour % 12 + 12 * parts["afternoon"], hour)


def _written_so(texts: Any, pattern: str, order: DateOrder) -> npt.NDArray[np.bool_]:
    """Which texts match the pattern and exist, read in that order."""
    matched = pc.match_substring_regex(texts, pattern)
    dates: npt.NDArray[np.bool_] = numpy_values(matched).copy()
    parts = _numbers(texts.filter(matched), pattern) if dates.any() else None
    if parts is None:
        return dates
    if order == "ymd":
        year, month, day = parts["a"], parts["b"], parts["c"]
    else:
        first, second, year = _year_last(parts)
        day, month = (first, second) if order == "dmy" else (second, first)
    dates[dates] = _exist(year, month, day, parts)
    return dates


def _all(mask: Any) -> bool:
    return bool(pc.all(mask).as_py())
