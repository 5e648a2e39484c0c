"""How each column of a table becomes numbers: decided once, written down, used for new rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from steps.contract import Frozen

Kind = Literal["numeric", "boolean", "categorical"]
DatePart = Literal["days", "weekday", "dayofyear", "hour"]
DateOrder = Literal["ymd", "dmy", "mdy"]
Role = Literal["feature", "target", "identifier", "group", "time", "dropped"]

DEFAULT_MISSING_VALUES = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL")


class NumericEncoding(Frozen):
    """The value itself; infinities, and values beyond float32, become missing."""

    how: Literal["numeric"] = "numeric"


class BooleanEncoding(Frozen):
    """0 or 1. values: text, in lower case and without surrounding spaces, to 0 or 1."""

    how: Literal["boolean"] = "boolean"
    values: dict[str, Literal[0, 1]]


class CategoricalEncoding(Frozen):
    """A level's position in `levels`. numbers: levels are numbers, so 7, 7.0 and "7" are one."""

    how: Literal["categorical"] = "categorical"
    levels: tuple[str, ...]
    numbers: bool = False


class DateEncoding(Frozen):
    """Numbers made of a date, a feature "<column>.<part>" each.

    days: whole days since 2000-01-01. weekday: 0 is Monday. dayofyear: 1..366. hour: with its
    fraction, 0 up to 24. order: how texts such as 03/04/2020 are read; a text that starts with a
    four-digit year is always year, month, day. Times with an offset count as UTC.
    """

    how: Literal["date"] = "date"
    order: DateOrder
    parts: tuple[DatePart, ...]


Encoding = Annotated[
    NumericEncoding | BooleanEncoding | CategoricalEncoding | DateEncoding,
    Field(discriminator="how"),
]


class ColumnSchema(Frozen):
    """One column of the source. encoding: None where the column makes no feature.

    reason: why the column has this role, for people.
    """

    name: str
    role: Role
    reason: str = ""
    encoding: Encoding | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features this column makes, in order."""
        match self.encoding:
            case None:
                return ()
            case DateEncoding(parts=parts):
                return tuple(f"{self.name}.{part}" for part in parts)
            case _:
                return (self.name,)


class TableSchema(Frozen):
    """All columns of a table in the order of the file. It travels in the model's sidecar."""

    schema_version: Literal[1] = 1
    target: str
    missing_values: tuple[str, ...] = DEFAULT_MISSING_VALUES
    columns: tuple[ColumnSchema, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of X, in order."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each column of X."""
        return tuple(kind for column in self.columns for kind in _kinds(column))

    @property
    def levels(self) -> tuple[int, ...]:
        """Number of levels of each column of X, 0 for those that are not categorical."""
        return tuple(
            len(column.encoding.levels) if isinstance(column.encoding, CategoricalEncoding) else 0
            for column in self.columns
            for _ in column.features
        )

    def names_of(self, role: Role) -> tuple[str, ...]:
        """Names of the source columns that have a role, in the order of the file."""
        return tuple(column.name for column in self.columns if column.role == role)


def _kinds(column: ColumnSchema) -> tuple[Kind, ...]:
    match column.encoding:
        case BooleanEncoding():
            return ("boolean",)
        case CategoricalEncoding():
            return ("categorical",)
        case _:
            return tuple("numeric" for _ in column.features)
