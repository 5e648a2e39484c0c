"""Read and write the skip registry's file, whatever time and people have done to it.

Of a damaged file the entries that are whole are kept. Results that are dated later than now (the
clock was set back) are dated now, so nothing is left out for longer than the policy says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from steps.contract import Frozen
from steps.files import atomic_writer
from steps.policies import validation_message
from steps.strict_json import MAX_BYTES, parse_object

REGISTRY_FILE = "diagnostics_outputs/model_skip_registry.json"

_FAMILY = r"\w{1,64}"
_ENTRY = re.compile(rf'"({_FAMILY})"\s*:\s*(?=\{{)')
# A brace, a string where JSON may have one, or the quote of one that has no end or no place.
_TOKEN = re.compile(r'[{}]|"(?:[^"\\]|\\.)*+"(?=\s*[:,}\]])|"')
# An entry holds a streak, which holds a result.
_DEEPEST = 3


class CriticalResult(Frozen):
    """A critical result of a family. at: UTC. finding: one sentence."""

    run_id: str
    at: AwareDatetime
    finding: str


class Streak(Frozen):
    """Critical results in a row, and the last of them (None where there is none)."""

    consecutive_critical: Annotated[int, Field(ge=0)] = 0
    last_critical: CriticalResult | None = None

    @property
    def told(self) -> str:
        """The number, for people."""
        count = self.consecutive_critical
        return "1 critical result" if count == 1 else f"{count} critical results in a row"

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.consecutive_critical == 0) != (self.last_critical is None):
            raise ValueError("last_critical must be there if and only if consecutive_critical > 0")
        return self


class Entry(Streak):
    """How one family stands. last_run_id: the run that counted last. before: without that run."""

    last_run_id: str
    before: Streak


class SkipRegistry(Frozen):
    """The file: an entry for each family that was ever counted."""

    schema_version: Literal[1] = 1
    families: dict[str, Entry] = Field(default_factory=dict)


class _Damaged(ValueError):
    """The file as a whole cannot be read as a registry."""


def read_registry(path: Path) -> tuple[SkipRegistry, tuple[str, ...]]:
    """What the file holds, and what of it cannot be read, in sentences. Changes nothing.

    Whatever is damaged, entries that are whole are kept. A file that is not there is an empty
    registry. Raises OSError for one that cannot be opened.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return SkipRegistry(), ()
    try:
        found = _families(content)
    except _Damaged as fault:
        kept = _salvage(content)
        names = f"kept from it: {', '.join(kept)}" if kept else "nothing of it could be kept"
        return SkipRegistry(families=kept), (f"{str(fault).splitlines()[0]}; {names}",)
    families: dict[str, Entry] = {}
    faults: list[str] = []
    for family, value in found.items():
        try:
            if not re.fullmatch(_FAMILY, family):
                raise _Damaged("that is no name of a family")
            families[family] = Entry.model_validate_json(json.dumps(value))
        except (ValidationError, _Damaged) as fault:
            why = str(fault) if isinstance(fault, _Damaged) else validation_message(fault)
            message = f"the entry of {family!r} cannot be read: {why}; it counts from zero"
            faults.append(f"{REGISTRY_FILE}: {message}")
    return SkipRegistry(families=families), tuple(faults)


def open_registry(path: Path, now: datetime) -> tuple[SkipRegistry, tuple[str, ...]]:
    """As read_registry, for whoever may write: what is wrong is set right in the file, and said.

    A file with anything damaged in it is kept beside, under a name with the time, before one with
    the entries that are whole takes its place. Results from the future are dated now.
    """
    found, faults = read_registry(path)
    registry = SkipRegistry(families={f: _dated(e, now) for f, e in found.families.items()})
    said = [
        f"{family}: its last critical result is dated {minute(entry.last_critical.at)}, "
        "which is still to come; it counts as of now"
        for family, entry in found.families.items()
        if entry.last_critical is not None and entry.last_critical.at > now
    ]
    if faults:
        stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = path.with_name(f"{path.name}.damaged-{stamp}")
        write_registry(path, registry, aside)
        said += [f"{fault}; the file as it was is kept as {aside.name}" for fault in faults]
    elif registry != found:
        write_registry(path, registry)
    return registry, tuple(said)


def write_registry(path: Path, registry: SkipRegistry, aside: Path | None = None) -> None:
    """Replace the file. aside: the name under which the old one is kept. Raises OSError."""
    with atomic_writer(path) as file:
        file.write((registry.model_dump_json(indent=1) + "\n").encode("utf-8"))
        if aside is not None:
            file.flush()  # a full disk must show before anything else is done
            # Before the new one is in place: a kill here leaves both, and it is done again.
            try:
                os.link(path, aside)
            except OSError:  # a file system without links
                shutil.copyfile(path, aside)


def minute(time: datetime) -> str:
    """A time for people, with its offset from UTC."""
    return time.isoformat(sep=" ", timespec="minutes")


def _dated(entry: Entry, now: datetime) -> Entry:
    update = {"last_critical": _at_most(entry.last_critical, now)}
    before = entry.before.model_copy(
        update={"last_critical": _at_most(entry.before.last_critical, now)}
    )
    return entry.model_copy(update={**update, "before": before})


def _at_most(result: CriticalResult | None, now: datetime) -> CriticalResult | None:
    if result is None or result.at <= now:
        return result
    return result.model_copy(update={"at": now.astimezone(UTC)})


def _families(content: bytes) -> dict[str, Any]:
    """The entries as they were found; raises _Damaged."""
    if len(content) > MAX_BYTES:
        raise _Damaged(f"{REGISTRY_FILE}: must be at most {MAX_BYTES} bytes, got more")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as fault:
        message = f"must be UTF-8 text, got byte {fault.start} that is not"
        raise _Damaged(f"{REGISTRY_FILE}: {message}") from None
    document = parse_object(text, REGISTRY_FILE, _Damaged)
    families = document.get("families")
    version = document.get("schema_version")
    if version != 1 or not isinstance(families, dict) or len(document) != 2:
        wanted = 'must hold "schema_version": 1 and "families", and nothing else'
        raise _Damaged(f"{REGISTRY_FILE}: {wanted}")
    return families


def _salvage(content: bytes) -> dict[str, Entry]:
    """Entries that are whole in a file that is not. Of two for one family neither is believed."""
    text = content.decode("utf-8", errors="replace")
    found: dict[str, list[Entry]] = {}
    for match in _ENTRY.finditer(text):
        written = _object_at(text, match.end())
        if written is None or "\ufffd" in written:
            continue
        try:
            entry = Entry.model_validate_json(written)
        except ValidationError:
            continue
        found.setdefault(match[1], []).append(entry)
    return {family: entries[0] for family, entries in found.items() if len(entries) == 1}


def _object_at(text: str, start: int) -> str | None:
    """The text of the object that begins here; None where it is broken, or nests too deeply.

    A damaged file may go deep at thousands of places. Each is left at once: to follow them all
    down would hold a run up.
    """
    depth = 0
    for token in _TOKEN.finditer(text, start):
        match token[0]:
            case "{":
                depth += 1
                if depth > _DEEPEST:
                    return None
            case "}":
                depth -= 1
                if depth == 0:
                    return text[start : token.end()]
            case '"':
                return None
    return None
