"""Read JSON that people typed: every fault has a line and a column, nothing is guessed.

Refused although Python's own reader takes them: a key given twice, NaN and Infinity, nesting
deeper than MAX_DEPTH, text longer than MAX_BYTES.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 20
MAX_DEPTH = 16

# What an excerpt of somebody's file must not show: where addresses lead (many are a token), and
# what is called like a secret.
_HIDDEN = (
    re.compile(r"://(?P<secret>[^\s\"',]+)"),
    re.compile(
        r"\"[^\"]*(?:passw|pwd|secret|token|credential|(?:api|access|private)_?key)[^\"]*\"\s*:\s*"
        r"(?P<secret>\"[^\"]*\"?|\d+)",
        re.IGNORECASE,
    ),
)


def read_text(path: Path, error: type[Exception]) -> str:
    """The text of a UTF-8 file of at most MAX_BYTES; raises `error` naming the file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except UnicodeDecodeError as fault:
        raise error(f"{path}: must be UTF-8 text, got byte {fault.start} that is not") from None
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror or fault}") from None
    if len(content) > MAX_BYTES:
        raise error(f"{path}: must be at most {MAX_BYTES} bytes, got more")
    return text


def parse_object(text: str, source: str, error: type[Exception]) -> dict[str, Any]:
    """Read one JSON object; raises `error` naming `source`, the place and what was got."""
    if len(text) > MAX_BYTES:
        raise error(f"{source}: must be at most {MAX_BYTES} characters, got {len(text)}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise error(f"{source}: key {key[:60]!r} is given twice")
            seen[key] = value
        return seen

    def refuse_constant(name: str) -> None:
        raise error(f"{source}: numbers must be finite, got {name}")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
    except error:  # it may be a ValueError itself
        raise
    except json.JSONDecodeError as fault:
        raise error(_where(text, source, fault)) from None
    except RecursionError:
        raise error(f"{source}: nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as fault:  # an integer of thousands of digits
        raise error(f"{source}: {fault}") from None
    return require_object(value, source, error)


def require_object(value: object, source: str, error: type[Exception]) -> dict[str, Any]:
    """Check that a parsed document is an object, and not nested too deeply."""
    if not isinstance(value, dict):
        raise error(f"{source}: must be an object {{...}}, got {shown(value)}")
    level: list[tuple[str, Any]] = list(value.items())
    for _ in range(MAX_DEPTH):
        level = [(top, inner) for top, item in level for inner in _children(item)]
        if not level:
            return value
    raise error(f"{source}: {level[0][0][:60]} is nested deeper than {MAX_DEPTH} levels")


def shown(value: object, width: int = 60) -> str:
    """A value as JSON for an error message, cut to `width` characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= width else text[: width - 3] + "..."


def _children(item: object) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return list(item) if isinstance(item, list) else []


def _where(text: str, source: str, fault: json.JSONDecodeError) -> str:
    place = f"{source}: not valid JSON at line {fault.lineno}, column {fault.colno}: {fault.msg}"
    line = text.split("\n")[fault.lineno - 1]  # as the json module counts lines
    if not line.strip():
        return place
    for pattern in _HIDDEN:
        line = pattern.sub(_starred, line)
    start = max(0, fault.colno - 1 - 30)
    excerpt = line[start : start + 60]
    return f"{place}\n    {excerpt}\n    {' ' * (fault.colno - 1 - start)}^"


def _starred(found: re.Match[str]) -> str:
    """The text found with its secret hidden, as long as before: the mark under it stays right."""
    before, after = found.start("secret") - found.start(), found.end() - found.end("secret")
    length = len(found["secret"])
    return found[0][:before] + "*" * length + found[0][before + length : before + length + after]
