"""Work out, once and in one place, what each column of a table is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from steps.contract import Note
from steps.tables.bridge import numpy_values
from steps.tables.columns import (
    Moments,
    Numbers,
    RawColumn,
    Texts,
    are_marked_numbers,
    are_number_like,
    are_numbers,
    first_row_of,
    parse_numbers,
)
from steps.tables.dates import are_date_like, are_dates, has_time_of_day, moments_of, parse_dates
from steps.tables.schema import (
    BooleanEncoding,
    CategoricalEncoding,
    DateEncoding,
    DatePart,
    Encoding,
    NumericEncoding,
)
from steps.tables.table import shortened

# Texts of which more than half are different, and more than 50, name rows rather than kinds.
_MOST_LEVELS_SHARE = 0.5
_MOST_LEVELS_ALWAYS = 50
# Names rather than sentences: worth carrying into a file of predictions.
_LONGEST_NAME_CHARS = 64
# A text column of which this share are numbers is a numeric column with an unknown missing mark;
# dates likewise.
_MOSTLY = 0.9
_BOOLEAN_PAIRS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"))
_ROW_NAMES = re.compile(
    r"^(|unnamed: \d+|index|level_0|row[ _]?names?|row[ _]?(id|nr|no|number)|seed|(.*[ _.-])?"
    r"(id|ids|uid|uuid|guid))$"
)
_CAMEL_ID = re.compile(r"[a-z](Id|ID|Uuid|UUID)$")
_INTEGER = r"^-?(0|[1-9]\d*)$"


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a column turned out to be; encoding: None where it makes no feature."""

    role: Literal["feature", "identifier", "dropped"]
    reason: str
    encoding: Encoding | None = None
    notes: tuple[Note, ...] = ()


def infer(
    name: str, raw: RawColumn, *, categorical: bool, keep: bool, decimal_comma: bool
) -> Inferred:
    """What a column is that no option gives another role. keep: never an identifier."""
    if _is_all_missing(raw):
        return Inferred("dropped", "all values are missing")
    if categorical and isinstance(raw, Texts):
        return Inferred("feature", "named in categorical_features", categories(raw))
    if not keep and (reason := _why_identifier(name, raw)):
        return Inferred("identifier", reason)
    match raw:
        case Moments():
            return Inferred("feature", "dates", _dates(raw))
        case Numbers(bools=True):
            return Inferred("feature", "true and false", _boolean("false", "true"))
        case Numbers():
            return Inferred("feature", "numbers", NumericEncoding())
        case Texts():
            return _infer_texts(name, raw, keep=keep, decimal_comma=decimal_comma)


def categories(raw: Texts) -> CategoricalEncoding:
    """The levels of a column: numbers in their order, texts in the order of the alphabet."""
    numbers = bool(are_numbers(raw.distinct, decimal_comma=False).all())
    texts = raw.distinct.to_pylist()
    # 007 is a name: as a number it would meet 7.
    if numbers and not any(re.match(r"^\s*[+-]?0\d", text) for text in texts):
        levels = sorted({canonical_number(text) for text in texts}, key=float)
        return CategoricalEncoding(levels=tuple(levels), numbers=True)
    return CategoricalEncoding(levels=tuple(sorted(texts)))


def boolean_words(raw: Texts) -> BooleanEncoding | None:
    """The encoding of a column of yes and no, or of another such pair; None if it is not one."""
    folded = {text.strip().casefold() for text in raw.distinct[:20].to_pylist()}
    for no, yes in _BOOLEAN_PAIRS:
        if len(raw.distinct) <= 20 and folded and folded <= {no, yes}:
            return _boolean(no, yes)
    return None


def canonical_number(text: str) -> str:
    """One spelling for 7, 7.0 and +7e0, exact for integers of any length."""
    tidy = text.strip()
    if re.match(_INTEGER, tidy):
        return str(int(tidy))
    value = float(tidy)
    return str(int(value)) if value.is_integer() else repr(value)


def exact_integers(raw: RawColumn) -> npt.NDArray[Any] | None:
    """int64 or uint64 (n_rows,) if all values are there and whole, else None."""
    match raw:
        case Numbers(values=values) if values.dtype.kind in "iu":
            return values
        case Numbers(values=values) if not raw.bools and len(values):
            with np.errstate(invalid="ignore"):
                whole = values == np.floor(values)
            inside = whole.all() and bool((np.abs(values) <= 2.0**53).all())
            return values.astype(np.int64) if inside else None
        case Texts(codes=codes, distinct=distinct) if len(codes) and codes.min() >= 0:
            if not pc.all(pc.match_substring_regex(distinct, _INTEGER)).as_py():
                return None
            for kind in (pa.int64(), pa.uint64()):
                try:
                    return numpy_values(pc.cast(distinct, kind))[codes]
                except pa.ArrowInvalid:
                    continue
    return None


def _infer_texts(name: str, raw: Texts, *, keep: bool, decimal_comma: bool) -> Inferred:
    if parse_numbers(raw.distinct, decimal_comma) is not None:
        return Inferred("feature", "numbers", NumericEncoding())
    if (words := boolean_words(raw)) is not None:
        no, yes = words.values
        return Inferred("feature", f"{yes} and {no}", words)
    dates = parse_dates(raw.distinct)
    if dates is not None:
        return _infer_dates(name, raw, ambiguous=dates.ambiguous)
    notes, looks = _almost(name, raw, decimal_comma)
    n_levels = len(raw.distinct)
    if n_levels > max(_MOST_LEVELS_ALWAYS, _MOST_LEVELS_SHARE * len(raw)) and not keep:
        mean_chars = pc.mean(pc.utf8_length(raw.distinct)).as_py()
        reason = f"text with {n_levels} different values in {len(raw)} rows{looks}"
        role: Literal["identifier", "dropped"] = (
            "identifier" if mean_chars <= _LONGEST_NAME_CHARS else "dropped"
        )
        return Inferred(role, reason, notes=notes)
    return Inferred("feature", f"text with {n_levels} levels{looks}", categories(raw), notes)


def _infer_dates(name: str, raw: Texts, *, ambiguous: bool) -> Inferred:
    encoding = _dates(raw)
    notes: tuple[Note, ...] = ()
    if ambiguous:
        example = shortened(raw.distinct[0].as_py())
        message = (
            f"column {name!r} could be day/month or month/day (row 1 or later: {example}); it is "
            "read as day first; write dates as 2024-12-31 to be certain"
        )
        notes = (Note(level="warning", code="ambiguous_dates", message=message),)
    return Inferred("feature", f"dates, {encoding.order}", encoding, notes)


def _dates(raw: Texts | Moments) -> DateEncoding:
    dates = parse_dates(raw.distinct) if isinstance(raw, Texts) else None
    order = dates.order if dates else "ymd"
    moments = moments_of(raw, order)
    parts: tuple[DatePart, ...] = ("days", "weekday", "dayofyear")
    if moments is not None and has_time_of_day(moments):
        parts = (*parts, "hour")
    return DateEncoding(order=order, parts=parts)


def _boolean(no: str, yes: str) -> BooleanEncoding:
    return BooleanEncoding(values={no: 0, yes: 1})


def _is_all_missing(raw: RawColumn) -> bool:
    match raw:
        case Numbers(values=values):
            return values.dtype.kind == "f" and bool(np.isnan(values).all())
        case Texts(codes=codes):
            return bool((codes < 0).all())
        case Moments():
            return False


def _why_identifier(name: str, raw: RawColumn) -> str:
    """Why the column names rows rather than describing them; empty if it does not."""
    integers = exact_integers(raw)
    named = bool(_ROW_NAMES.match(name.strip().casefold()) or _CAMEL_ID.search(name))
    if integers is not None and len(integers) > 1:
        # Differences of unsigned numbers wrap around to -1 as they should.
        steps = np.diff(integers).astype(np.int64)
        if (steps == 1).all() or (steps == -1).all():
            return "it counts the rows"
        if named and len(np.unique(integers)) == len(integers):
            return "every row has a number of its own, and so it is called"
    if isinstance(raw, Texts) and named and 1 < len(raw) == len(raw.distinct):
        return "every row has a text of its own, and so it is called"
    return ""


def _almost(name: str, raw: Texts, decimal_comma: bool) -> tuple[tuple[Note, ...], str]:
    """A warning where little keeps a column of texts from being numbers or dates.

    The text is what a reason should say besides, empty for nothing.
    """
    counts = np.bincount(raw.codes[raw.codes >= 0], minlength=len(raw.distinct))
    most = _MOSTLY * counts.sum()
    numbers = are_numbers(raw.distinct, decimal_comma)
    if counts[numbers | are_number_like(raw.distinct)].sum() >= most:
        marked, marks = are_marked_numbers(raw.distinct, decimal_comma)
        found = [mark for mark, where in marks if (where & marked & ~numbers).any()]
        looks = f"like numbers with {' and '.join(found)}"
        if counts[numbers].sum() >= most:
            but = f"some look {looks}; write plain numbers, or," if found else ""
            return (_few_others(name, raw, counts, ~numbers, "numbers", but),), ""
        if counts[marked].sum() >= most:
            row, text = first_row_of(raw, marked & ~numbers)
            message = (
                f"column {name!r} is taken as text, but looks {looks} (row {row}: "
                f"{shortened(text)}); write plain numbers to use it as numbers"
            )
            note = Note(level="warning", code="numbers_with_text", message=message)
            return (note,), f"; looks {looks}"
    if counts[are_date_like(raw.distinct)].sum() >= most:
        dates = are_dates(raw.distinct, counts)
        if most <= counts[dates].sum() and not dates.all():
            return (_few_others(name, raw, counts, ~dates, "dates"),), ""
    return (), ""


def _few_others(
    name: str, raw: Texts, counts: Any, others: npt.NDArray[np.bool_], what: str, but: str = ""
) -> Note:
    row, text = first_row_of(raw, others)
    alike = " written as the others are" if what == "dates" else ""
    message = (
        f"column {name!r} is taken as text because of {counts[others].sum()} values that are no "
        f"{what}{alike}, the first in row {row}: {shortened(text)}; {but or 'correct it, or,'} "
        "if it means a missing value, name it in missing_values"
    )
    return Note(level="warning", code=f"{what}_with_text", message=message)
