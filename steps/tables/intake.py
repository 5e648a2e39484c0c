"""Give every raw column its role and its features, and say why."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from steps.contract import Note
from steps.tables.bridge import arrow_numbers
from steps.tables.columns import NO_MOMENT, Moments, Numbers, RawColumn, Texts, are_numbers
from steps.tables.dates import moments_of
from steps.tables.encode import distinct_values_lost, encode, numbers_of
from steps.tables.kinds import boolean_words, canonical_number, exact_integers, infer
from steps.tables.schema import (
    BooleanEncoding,
    CategoricalEncoding,
    ColumnSchema,
    DateEncoding,
    NumericEncoding,
)
from steps.tables.table import (
    Floats32,
    Floats64,
    Integers,
    TableError,
    TableOptions,
    listed,
    shortened,
)


@dataclass(slots=True)
class Intake:
    """The table that grows while raw columns are taken in, one after another, and let go."""

    file: str
    options: TableOptions
    target: str
    id_columns: frozenset[str]
    decimal_comma: bool
    columns: list[ColumnSchema] = field(default_factory=list)
    features: list[Floats32] = field(default_factory=list)
    ids: dict[str, Any] = field(default_factory=dict)
    y: Floats64 = field(default_factory=lambda: np.empty(0))
    group: Integers | None = None
    time: Integers | Floats64 | None = None
    notes: list[Note] = field(default_factory=list)
    set_aside: dict[str, list[str]] = field(default_factory=dict)
    seen: dict[bytes, str] = field(default_factory=dict)
    made_of: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, raw: RawColumn) -> None:
        """Give a column its role and, where it makes features, encode it."""
        options = self.options
        if name == self.target:
            self.y = self._target(name, raw)
            self._add(ColumnSchema(name=name, role="target"))
        elif name in options.exclude_features:
            self._add(ColumnSchema(name=name, role="dropped", reason="named in exclude_features"))
        elif name in (options.group_column, options.time_column):
            self._take_split_column(name, raw)
        elif name in self.id_columns:
            self.ids[name] = identifiers(raw)
            self._add(ColumnSchema(name=name, role="identifier", reason="named as one"))
        else:
            self._take_feature(name, raw, "feature")

    def all_notes(self) -> list[Note]:
        """Notes of single columns, then one for each way of being set aside."""
        sentences = {
            "identifier": "set aside because they name rows; use keep_features to use them: ",
            "free_text": "set aside as free text; use keep_features to use them: ",
            "constant_feature": "set aside because they have one value only: ",
            "duplicate_feature": "set aside because they equal another feature: ",
        }
        return self.notes + [
            Note(level="info", code=code, message=f"{self.file}: {sentence}{listed(names)}")
            for code, sentence in sentences.items()
            if (names := self.set_aside.get(code))
        ]

    def _take_split_column(self, name: str, raw: RawColumn) -> None:
        role: Literal["group", "time"] = "group"
        if name == self.options.group_column:
            self.group = self._group(name, raw)
        if name == self.options.time_column:
            role = "time"
            self.time = self._time(name, raw)
        if name in self.options.keep_features:
            self._take_feature(name, raw, role)
        else:
            self._add(ColumnSchema(name=name, role=role, reason="for the split, no feature"))

    def _take_feature(
        self, name: str, raw: RawColumn, role: Literal["feature", "group", "time"]
    ) -> None:
        options = self.options
        found = infer(
            name,
            raw,
            categorical=name in options.categorical_features or role == "group",
            keep=name in options.keep_features,
            decimal_comma=self.decimal_comma,
        )
        self.notes += [self._prefixed(note) for note in found.notes]
        if found.role == "identifier":
            self.ids[name] = identifiers(raw)
        if found.encoding is None:
            code = "identifier" if found.role == "identifier" else "free_text"
            code = "constant_feature" if found.reason == "all values are missing" else code
            self._set_aside(code, f"{name} ({found.reason})")
            role_found = found.role if role == "feature" else role
            self._add(ColumnSchema(name=name, role=role_found, reason=found.reason))
            return
        column = ColumnSchema(name=name, role=role, reason=found.reason, encoding=found.encoding)
        self._encode(column, raw)

    def _encode(self, column: ColumnSchema, raw: RawColumn) -> None:
        self._check_new(column)
        encoded = encode(raw, column, self.file, self.decimal_comma)
        self.notes += encoded.notes
        if isinstance(column.encoding, NumericEncoding):
            values = exact_integers(raw)
            if values is None:
                values = numbers_of(raw, column.name, self.file, self.decimal_comma)
            if distinct_values_lost(values, encoded.features[0]):
                self._warn(
                    "float32_precision",
                    f"column {column.name!r} has values that differ but become equal in float32; "
                    "subtract a constant or split it into two columns",
                )
        reasons: dict[str, str] = {}
        for name, feature in zip(column.features, encoded.features, strict=True):
            reason = self._why_useless(name, feature, column)
            if reason:
                reasons[name] = reason
            else:
                self.features.append(feature)
        self._add(_without(column, reasons))

    def _check_new(self, column: ColumnSchema) -> None:
        """A feature made of a date must not be called like another column."""
        for name in column.features:
            other = self.made_of.setdefault(name, column.name)
            if other != column.name:
                date = other if name == column.name else column.name
                raise TableError(
                    f"{self.file}: the date column {date!r} makes a feature {name!r}, and there is "
                    f"a column {name!r} too; rename one"
                )

    def _why_useless(self, name: str, feature: Floats32, column: ColumnSchema) -> str:
        if name in self.options.exclude_features:
            return "named in exclude_features"
        missing = np.isnan(feature)
        if missing.all() or (not missing.any() and bool((feature == feature[0]).all())):
            value = "missing" if missing.all() else f"always {_written(feature[0], column)}"
            self._set_aside("constant_feature", f"{name} ({value})")
            return "constant"
        levels: object = None
        if isinstance(column.encoding, CategoricalEncoding):
            levels = column.encoding.levels
        kind = hashlib.sha256(repr(levels).encode()).digest()
        twin = self.seen.setdefault(kind + hashlib.sha256(feature.data).digest(), name)
        if twin != name:
            self._set_aside("duplicate_feature", f"{name} (equals {twin})")
            return f"equals {twin}"
        return ""

    def _target(self, name: str, raw: RawColumn) -> Floats64:
        if isinstance(raw, Texts) and (words := boolean_words(raw)) is not None:
            no, yes = words.values
            self._warn("boolean_target", f"target {name!r} is {yes} or {no}; used as 1 and 0")
            column = ColumnSchema(name=name, role="target", encoding=words)
            [codes] = encode(raw, column, self.file, self.decimal_comma).features
            return codes.astype(np.float64)
        try:
            values = numbers_of(raw, name, self.file, self.decimal_comma)
        except TableError as error:
            raise TableError(f"{error} (it is the target, which must be numeric)") from None
        if isinstance(raw, Numbers) and raw.bools:
            self._warn("boolean_target", f"target {name!r} is true or false; used as 1 and 0")
        return np.ascontiguousarray(values, np.float64)

    def _group(self, name: str, raw: RawColumn) -> Integers:
        """Codes by first appearance; rows without a group are one group."""
        if not isinstance(raw, Texts):
            raise TableError(f"{self.file}: group column {name!r} has no values")
        names = raw.distinct.to_pylist()
        if are_numbers(raw.distinct, decimal_comma=False).all():
            names = [canonical_number(name) for name in names]  # 7 and 7.0 are one group
        code_of: dict[str, int] = {}
        codes = np.array([code_of.setdefault(name, len(code_of)) for name in names])[raw.codes]
        missing = raw.codes < 0
        if missing.any():
            codes[missing] = len(code_of)
            self._warn(
                "missing_group",
                f"group column {name!r} has {int(missing.sum())} missing values, the first in row "
                f"{int(np.argmax(missing)) + 1}; together they are taken as one group",
            )
        return codes

    def _time(self, name: str, raw: RawColumn) -> Integers | Floats64:
        values: npt.NDArray[Any]
        if isinstance(raw, Texts) and (moments := moments_of(raw, None)) is not None:
            values, missing = moments, raw.codes < 0
        elif isinstance(raw, Moments):
            values, missing = raw.microseconds, raw.microseconds == NO_MOMENT
        else:
            values = numbers_of(raw, name, self.file, self.decimal_comma)
            values = values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)
            missing = np.isnan(values)
        if missing.any():
            raise TableError(
                f"{self.file}: time column {name!r}, row {int(np.argmax(missing)) + 1}: the value "
                "is missing; fill it in or remove the row"
            )
        return values

    def _add(self, column: ColumnSchema) -> None:
        self.columns.append(column)

    def _set_aside(self, code: str, what: str) -> None:
        self.set_aside.setdefault(code, []).append(what)

    def _warn(self, code: str, message: str) -> None:
        self.notes.append(Note(level="warning", code=code, message=f"{self.file}: {message}"))

    def _prefixed(self, note: Note) -> Note:
        return Note(level=note.level, code=note.code, message=f"{self.file}: {note.message}")


def _written(value: np.float32, column: ColumnSchema) -> str:
    """A value of a feature as the file has it: the level rather than its code."""
    match column.encoding:
        case CategoricalEncoding(levels=levels):
            return shortened(levels[int(value)])
        case BooleanEncoding(values=values):
            return next(word for word, code in values.items() if code == value)
        case _:
            return f"{value:g}"


def _without(column: ColumnSchema, reasons: dict[str, str]) -> ColumnSchema:
    """The column without the features that are useless, dropped if none is left."""
    if not reasons:
        return column
    left = [name for name in column.features if name not in reasons]
    reason = "; ".join(dict.fromkeys(reasons.values()))
    if not left:
        role = column.role if column.role in ("group", "time") else "dropped"
        return column.model_copy(update={"role": role, "reason": reason, "encoding": None})
    encoding = column.encoding
    if isinstance(encoding, DateEncoding):  # no other has several features
        parts = tuple(part for part in encoding.parts if f"{column.name}.{part}" in left)
        encoding = DateEncoding(order=encoding.order, parts=parts)
    return column.model_copy(update={"encoding": encoding})


def identifiers(raw: RawColumn) -> Any:
    """pyarrow (n_rows,): integers where all are, else texts as written, or timestamps."""
    integers = exact_integers(raw)
    if integers is not None:
        return arrow_numbers(integers)
    match raw:
        case Texts(codes=codes, distinct=distinct):
            return distinct.take(arrow_numbers(codes, codes < 0))
        case Moments(microseconds=moments):
            return arrow_numbers(moments, moments == NO_MOMENT, pa.timestamp("us"))
        case Numbers(values=values):
            return arrow_numbers(values, np.isnan(values))
