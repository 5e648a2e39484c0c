"""Compare the libraries that the product needs with what is installed, and import none of them."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from dataclasses import dataclass
from typing import Literal

from agents.workspace import IMPORT_ROOT

DISTRIBUTION = "watcher-pipeline"


@dataclass(frozen=True, slots=True)
class Library:
    """A library the product needs. found: its version, None if it is not installed."""

    name: str
    wanted: str
    found: str | None
    state: Literal["ok", "missing", "out of range"]

    def __str__(self) -> str:
        got = f"got {self.found}" if self.found else "it is not installed"
        return f"library: {self.name} must be {self.wanted or 'there'}, {got}"


def required_libraries() -> tuple[Library, ...]:
    """Each requirement, and what is installed of it."""
    return tuple(_library(line) for line in requirements())


def requirements() -> tuple[str, ...]:
    """The product's requirements, from its metadata, or from pyproject.toml in a checkout."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        path = IMPORT_ROOT / "pyproject.toml"
        lines = tomllib.loads(path.read_text("utf-8"))["project"]["dependencies"]
    return tuple(line for line in lines if "extra ==" not in line)


def in_range(version: str, wanted: str) -> bool:
    """Whether a version satisfies a range such as ">=2.9,<3" (>=, >, <=, <, == are understood)."""
    have = _release(version)
    for clause in wanted.split(","):
        match = re.match(r"\s*(>=|<=|==|>|<)\s*([0-9.]+)", clause)
        if match is None:
            continue
        limit = _release(match[2])
        width = max(len(have), len(limit))
        mine, theirs = _padded(have, width), _padded(limit, width)
        holds = {
            ">=": mine >= theirs,
            "<=": mine <= theirs,
            "==": mine == theirs,
            ">": mine > theirs,
            "<": mine < theirs,
        }[match[1]]
        if not holds:
            return False
    return True


def _library(line: str) -> Library:
    match = re.match(r"([A-Za-z0-9._-]+)\s*(.*)", line.partition(";")[0].strip())
    name, wanted = (match[1], match[2].strip("() ")) if match else (line, "")
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Library(name, wanted, None, "missing")
    return Library(name, wanted, found, "ok" if in_range(found, wanted) else "out of range")


def _release(version: str) -> tuple[int, ...]:
    """2.13.0+cpu -> (2, 13, 0). Pre-release marks are left out."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _padded(release: tuple[int, ...], width: int) -> tuple[int, ...]:
    return release + (0,) * (width - len(release))
