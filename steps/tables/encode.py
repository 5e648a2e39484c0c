"""Turn one raw column into float32 features, exactly as its schema says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steps.contract import Note
from steps.tables.columns import (
    Moments,
    Numbers,
    RawColumn,
    Texts,
    are_numbers,
    first_row_of,
    parse_numbers,
)
from steps.tables.dates import date_part, moments_of, parse_dates
from steps.tables.kinds import canonical_number
from steps.tables.schema import (
    BooleanEncoding,
    CategoricalEncoding,
    ColumnSchema,
    DateEncoding,
    NumericEncoding,
)
from steps.tables.table import Floats32, Floats64, TableError, shortened

# What other formats write for the same two values.
_ALSO_BOOLEAN = {"false": 0.0, "true": 1.0, "0": 0.0, "1": 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """features: float32 (n_rows,), one a feature of the column, NaN = missing."""

    features: list[Floats32]
    notes: list[Note]


def encode(raw: RawColumn, column: ColumnSchema, file: str, decimal_comma: bool) -> Encoded:
    """Raises TableError naming file, column, row and text where a value cannot be encoded."""
    match column.encoding:
        case None:
            return Encoded([], [])
        case NumericEncoding():
            values = numbers_of(raw, column.name, file, decimal_comma)
            feature, notes = _narrowed(values, column.name, file)
            return Encoded([feature], notes)
        case BooleanEncoding(values=known):
            if isinstance(raw, Numbers) and raw.bools:
                return Encoded([_canonical(raw.values.astype(np.float32))], [])
            return _looked_up(raw, {**_ALSO_BOOLEAN, **known}, column.name, file, _folded)
        case CategoricalEncoding(levels=levels, numbers=numbers):
            codes = {level: float(code) for code, level in enumerate(levels)}
            spelled = _number_spelled if numbers else str
            return _looked_up(raw, codes, column.name, file, spelled)
        case DateEncoding():
            return _encode_dates(raw, column.name, column.encoding, file)


def numbers_of(raw: RawColumn, name: str, file: str, decimal_comma: bool) -> npt.NDArray[Any]:
    """A column as numbers (n_rows,), NaN = missing; TableError names the first that is none."""
    match raw:
        case Numbers(values=values):
            return values
        case Moments():
            raise TableError(
                f"{file}: column {name!r} holds dates; wanted numbers; name another column"
            )
        case Texts(codes=codes, distinct=distinct):
            numbers = parse_numbers(distinct, decimal_comma)
            if numbers is None:
                row, text = first_row_of(raw, ~are_numbers(distinct, decimal_comma))
                raise TableError(
                    f"{file}: column {name!r}, row {row}: wanted a number, got {shortened(text)}; "
                    "correct it, or name it in missing_values if it means a missing value"
                )
            return np.append(numbers, np.nan)[codes]


def distinct_values_lost(values: npt.NDArray[Any], feature: Floats32) -> bool:
    """Whether values that differ become equal in float32, for whole numbers or for many.

    Measurements with more digits than float32 keeps meet now and then without harm; the check is
    for columns whose digits are the information, such as milliseconds since 1970.
    """
    if values.dtype.kind in "iu":  # compared as integers: float64 may have lost them already
        if len(values) == 0 or max(-int(values.min()), int(values.max())) <= 2**24:
            return False
        return len(np.unique(feature)) < len(np.unique(values))
    known = np.isfinite(feature)
    values, feature = values[known], feature[known]
    inexact = values != feature
    if not inexact.any():
        return False
    whole = bool((values == np.floor(values)).all())
    step = float(np.abs(feature).max()) * 2.0**-23
    spread = float(feature.max()) - float(feature.min())
    if not whole and spread > 8 * len(values) * step:
        return False  # more places than values: at most a few meet
    before, after = len(np.unique(values)), len(np.unique(feature))
    return after < before if whole else after < 0.5 * before


def _narrowed(values: npt.NDArray[Any], name: str, file: str) -> tuple[Floats32, list[Note]]:
    """float32, what does not fit or is infinite made missing and named."""
    with np.errstate(over="ignore"):
        feature = _canonical(values.astype(np.float32))
    beyond = np.isinf(feature)
    if not beyond.any():
        return feature, []
    row = int(np.argmax(beyond)) + 1
    feature[beyond] = np.nan
    message = (
        f"{file}: column {name!r} has {int(beyond.sum())} infinite values (or beyond 3.4e38, the "
        f"most that float32 holds), the first in row {row}; they are taken as missing"
    )
    return feature, [Note(level="warning", code="infinite_values", message=message)]


def _canonical(feature: Floats32) -> Floats32:
    """One bit pattern for missing and one for zero, so that equal columns have equal bytes."""
    feature += np.float32(0.0)  # -0.0 becomes 0.0
    feature[np.isnan(feature)] = np.float32(np.nan)
    return feature


def _looked_up(
    raw: RawColumn, known: dict[str, float], name: str, file: str, spelled: Any
) -> Encoded:
    """Codes of texts; those that were not there in training become missing, with a note."""
    if not isinstance(raw, Texts):
        # Nothing but missing values: columns with levels are gathered as texts.
        return Encoded([np.full(len(raw), np.nan, np.float32)], [])
    code_of = [known.get(spelled(text), np.nan) for text in raw.distinct.to_pylist()]
    lookup = np.array([*code_of, np.nan], np.float32)
    unknown = np.isnan(lookup[:-1])
    notes = []
    if unknown.any():
        row, text = first_row_of(raw, unknown)
        count = int(np.isin(raw.codes, np.flatnonzero(unknown)).sum())
        message = (
            f"{file}: column {name!r} has {count} values that were not there in training, the "
            f"first in row {row}: {shortened(text)}; they are taken as missing"
        )
        notes.append(Note(level="warning", code="unknown_level", message=message))
    return Encoded([lookup[raw.codes]], notes)


def _encode_dates(raw: RawColumn, name: str, encoding: DateEncoding, file: str) -> Encoded:
    if isinstance(raw, Numbers):
        values: Floats64 = np.asarray(raw.values, np.float64)
        if np.isnan(values).all():
            return Encoded([values.astype(np.float32) for _ in encoding.parts], [])
        row = int(np.argmax(~np.isnan(values))) + 1
        raise TableError(f"{file}: column {name!r}, row {row}: wanted a date, got a number")
    if isinstance(raw, Moments):
        moments = raw.microseconds
    elif (parsed := moments_of(raw, encoding.order)) is not None:
        moments = parsed
    else:
        raise _no_date(raw, name, encoding, file)
    return Encoded([date_part(moments, part).astype(np.float32) for part in encoding.parts], [])


def _no_date(raw: Texts, name: str, encoding: DateEncoding, file: str) -> TableError:
    each = (raw.distinct.slice(at, 1) for at in range(len(raw.distinct)))
    bad = np.array([parse_dates(text, encoding.order) is None for text in each])
    if bad.any():
        row, text = first_row_of(raw, bad)
        why = "wanted a date, got"
    else:  # each is a date, but some have an offset from UTC and some have none
        row, text = first_row_of(raw, ~bad)
        why = "the dates are not all written alike, from"
    return TableError(f"{file}: column {name!r}, row {row}: {why} {shortened(text)}")


def _folded(text: str) -> str:
    return text.strip().casefold()


def _number_spelled(text: str) -> str:
    try:
        return canonical_number(text)
    except (ValueError, OverflowError):
        return text
