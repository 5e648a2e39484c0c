"""What a parameter may be, and the sentence that refuses what it may not be.

The five types of a `parameter_bounds` entry. Types are strict: true is not an integer, "3" is not
a number, 20.0 is not an integer; a number is finite.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from agents.errors import ParameterError
from agents.secrets import is_secret_name, mask
from steps.strict_json import shown

_MAX_TEXT = 4096
_MAX_ITEMS = 100_000

_KINDS: dict[type, str] = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "an object",
}

Number = StrictInt | StrictFloat


class _Bound(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    nullable: StrictBool = Field(default=False, description="true: null is allowed too.")
    description: StrictStr = Field(default="", description="What it means, with its unit.")


class IntegerBound(_Bound):
    """A whole number, min and max included."""

    type: Literal["integer"]
    min: StrictInt | None = None
    max: StrictInt | None = None
    choices: tuple[StrictInt, ...] | None = Field(default=None, min_length=1)
    default: StrictInt | None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_order(self)
        return self


class NumberBound(_Bound):
    """A finite number, min and max included."""

    type: Literal["number"]
    min: Number | None = None
    max: Number | None = None
    choices: tuple[Number, ...] | None = Field(default=None, min_length=1)
    default: Number | None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_order(self)
        return self


class BooleanBound(_Bound):
    """true or false."""

    type: Literal["boolean"]
    default: StrictBool | None


class StringBound(_Bound):
    """A text, one of `choices` where these are given."""

    type: Literal["string"]
    choices: tuple[StrictStr, ...] | None = Field(default=None, min_length=1)
    default: StrictStr | None


class StringListBound(_Bound):
    """A list of texts, each one of `choices` where these are given."""

    type: Literal["string_list"]
    choices: tuple[StrictStr, ...] | None = Field(default=None, min_length=1)
    default: tuple[StrictStr, ...] | None


Bound = Annotated[
    IntegerBound | NumberBound | BooleanBound | StringBound | StringListBound,
    Field(discriminator="type"),
]


def check_value(place: str, bound: Bound, value: object, name: str = "") -> Any:
    """The value as a step gets it; raises ParameterError "PLACE must be WANTED, got GOT".

    name: the parameter's; one that is called like a secret is not quoted.
    """
    if value is None and bound.nullable:
        return None
    match bound:
        case IntegerBound():
            fits = isinstance(value, int) and not isinstance(value, bool) and _within(bound, value)
        case NumberBound():
            fits = _is_number(value) and _within(bound, value)
        case BooleanBound():
            fits = isinstance(value, bool)
        case StringBound():
            fits = _is_text(value) and (bound.choices is None or value in bound.choices)
        case StringListBound():
            fits = isinstance(value, list | tuple) and len(value) <= _MAX_ITEMS
            fits = fits and all(
                _is_text(item) and (bound.choices is None or item in bound.choices)
                for item in value  # type: ignore[attr-defined]
            )
            value = list(value) if fits else value  # type: ignore[call-overload]
    if not fits:
        raise ParameterError(f"{place} must be {wanted(bound, value)}, got {_got(name, value)}")
    return value


def wanted(bound: Bound, got: object = None) -> str:
    """What a bound allows, in words: "1..200", "an integer 1..200", "true or false".

    got: a value that already has the right type, so that the words need not name the type.
    """
    match bound:
        case IntegerBound():
            right_type = isinstance(got, int) and not isinstance(got, bool)
            words = _range_words("an integer", bound, right_type)
        case NumberBound():
            words = _range_words("a finite number", bound, _is_number(got))
        case BooleanBound():
            words = "true or false"
        case StringBound():
            words = (
                _one_of(bound.choices) if bound.choices else f"a text of 0..{_MAX_TEXT} characters"
            )
        case StringListBound():
            words = "a list of texts" + (
                f", each {_one_of(bound.choices)}" if bound.choices else ""
            )
    return words + (" (or null)" if bound.nullable else "")


def _got(name: str, value: object) -> str:
    """A value for a message, cut only when no secret is left in it."""
    if is_secret_name(name):
        return f"{_KINDS.get(type(value), 'another kind of value')} (it is secret)"
    return shown(mask(value))


def _check_order(bound: IntegerBound | NumberBound) -> None:
    if bound.min is not None and bound.max is not None and bound.min > bound.max:
        raise ValueError(f"min must be at most max, got min {bound.min} and max {bound.max}")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def _is_text(value: object) -> bool:
    # A NUL cannot be in a path or an argument, and nobody types one.
    return isinstance(value, str) and len(value) <= _MAX_TEXT and "\0" not in value


def _within(bound: IntegerBound | NumberBound, value: Any) -> bool:
    low = bound.min is None or value >= bound.min
    high = bound.max is None or value <= bound.max
    return low and high and (bound.choices is None or value in bound.choices)


def _range_words(kind: str, bound: IntegerBound | NumberBound, right_type: bool) -> str:
    if bound.choices:
        return _one_of(bound.choices)
    prefix = "" if right_type else f"{kind} "
    match (bound.min, bound.max):
        case (None, None):
            return kind
        case (None, high):
            return f"{prefix}at most {high}"
        case (low, None):
            return f"{prefix}at least {low}"
        case (low, high):
            return f"{prefix}{low}..{high}"


def _one_of(choices: tuple[Any, ...]) -> str:
    return "one of " + ", ".join(shown(choice) for choice in choices)
