"""Fill the pages: everything that is not a template's own text is escaped and made printable."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agents.durations import clock, words
from agents.views.family_scores import error_text, r2_text
from agents.views.result import byte_size
from steps.contract import Estimate

_PAGES = Path(__file__).parent / "pages"


def environment() -> Environment:
    """Templates whose values cannot become markup."""
    made = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    made.filters |= {
        "bytes": byte_size,
        "clock": clock,
        "error": error_text,
        "json": lambda value: json.dumps(value, ensure_ascii=False, default=str),
        "r2": _r2,
        "when": _when,
        "words": words,
    }
    return made


def _printable(value: Any) -> Any:
    """A text without characters that turn, hide or break what stands around them."""
    if type(value) is not str or value.isprintable():  # markup of our own is a type of its own
        return value
    return "".join(c if c.isprintable() or c == "\n" else " " for c in value)


def _when(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _r2(value: Estimate | float) -> str:
    """R2 with its interval, where there is one."""
    if not isinstance(value, Estimate):
        return r2_text(value)
    if value.ci95 is None:
        return r2_text(value.value)
    low, high = (r2_text(bound, 3) for bound in value.ci95)
    return f"{r2_text(value.value)} [{low}, {high}]"
