"""Leave out, for a while, a family that was critical in several runs in a row.

One file a workspace: Step 5 writes it at the end of a run, `watcher --skip-clear` under the
workspace's lock. It holds facts only: how many critical results in a row, and the last of them.
Who is left out follows from these and the policy in force, so a changed policy acts at once.

A run counts once, by its last result: an entry also keeps how things stood before the run that
counted last. A retry, or the same run resumed, starts from there; what a run did to itself does
not keep its own retry from training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from steps.contract import FamilyResult, Note
from steps.policies import SkipPolicy
from steps.step5_training.skip_file import (
    REGISTRY_FILE,
    CriticalResult,
    Entry,
    SkipRegistry,
    Streak,
    minute,
    open_registry,
    read_registry,
    write_registry,
)

_FINDING_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Skip:
    """A family that is left out. until: in the zone of the clock that was asked with."""

    family: str
    until: datetime
    told: str
    last: CriticalResult

    @property
    def reason(self) -> str:
        """Why, until when, and what to do about it, for people."""
        return (
            f"left out after {self.told}, until {minute(self.until)}; the last, in run "
            f"{self.last.run_id}: {self.last.finding}; "
            f"`watcher --skip-clear {self.family}` lets it train before"
        )


@dataclass(frozen=True, slots=True)
class Consulted:
    """What the registry says to a run that is about to train."""

    skips: Mapping[str, Skip]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Standings:
    """How families stand now. entries: those that were ever counted. skips: those left out.

    faults: what cannot be read of the file, in sentences.
    """

    entries: Mapping[str, Entry]
    skips: Mapping[str, Skip]
    faults: tuple[str, ...]


def registry_file(workspace: Path) -> Path:
    """Where a workspace keeps its registry, whether it is there or not."""
    return workspace / REGISTRY_FILE


def consult(path: Path, policy: SkipPolicy, run_id: str, now: datetime) -> Consulted:
    """Which families this run leaves out. A registry that cannot be opened leaves nobody out."""
    try:
        registry, said = open_registry(path, now)
    except OSError as fault:
        message = f"{REGISTRY_FILE}: {_why(fault)}: no family is left out for earlier results"
        return Consulted({}, (_note(message),))
    return Consulted(find_skips(registry, policy, now, run_id), tuple(_note(line) for line in said))


def count_run(
    path: Path,
    run_id: str,
    families: Mapping[str, FamilyResult],
    policy: SkipPolicy,
    now: datetime,
) -> tuple[Note, ...]:
    """Count a run's results in one write; returns what people should know of it.

    Families that were skipped, or stopped by people, do not count. A registry that cannot be
    written costs no run its result: it is a note.
    """
    counted = {
        family: result
        for family, result in families.items()
        if result.status not in {"skipped", "stopped"}
    }
    if not counted:
        return ()
    try:
        registry, said = open_registry(path, now)
        for family, result in counted.items():
            finding = _finding(result) if result.severity == "critical" else None
            registry = _with_result(registry, family, run_id, finding, now)
        write_registry(path, registry)
    except OSError as fault:
        return (_note(f"{REGISTRY_FILE}: {_why(fault)}: this run is not counted in it"),)
    skips = find_skips(registry, policy, now)
    notes = [_note(line) for line in said]
    for family in counted:
        if family in skips:
            message = f"{family} was critical; it is {skips[family].reason}"
            notes.append(Note(level="warning", code="family_left_out", message=message))
    return tuple(notes)


def look(path: Path, policy: SkipPolicy, now: datetime) -> Standings:
    """How things stand; changes nothing. Raises OSError for a file that cannot be opened."""
    registry, faults = read_registry(path)
    return Standings(registry.families, find_skips(registry, policy, now), faults)


def clear(path: Path, family: str, now: datetime) -> tuple[Entry | None, tuple[str, ...]]:
    """Forget what is recorded of a family; returns it, and what was wrong with the file.

    For whoever holds the workspace's lock. Raises OSError.
    """
    registry, said = open_registry(path, now)
    kept = dict(registry.families)
    entry = kept.pop(family, None)
    if entry is not None:
        write_registry(path, SkipRegistry(families=kept))
    return entry, said


def find_skips(
    registry: SkipRegistry, policy: SkipPolicy, now: datetime, run_id: str | None = None
) -> dict[str, Skip]:
    """The families that are left out now. run_id: a run, whose own results do not count."""
    skips: dict[str, Skip] = {}
    for family, entry in registry.families.items():
        streak = entry.before if entry.last_run_id == run_id else entry
        last = streak.last_critical
        if not policy.enabled or last is None:
            continue
        until = min(last.at, now) + timedelta(hours=policy.hours)
        if streak.consecutive_critical >= policy.after_critical and now < until:
            until = until.astimezone(now.tzinfo)
            skips[family] = Skip(family, until, streak.told, last)
    return skips


def _with_result(
    registry: SkipRegistry, family: str, run_id: str, finding: str | None, now: datetime
) -> SkipRegistry:
    """The registry with a run's result. finding: what was critical; None for another result."""
    entry = registry.families.get(family)
    before = Streak()
    if entry is not None and entry.last_run_id == run_id:
        before = entry.before
    elif entry is not None:
        before = Streak(
            consecutive_critical=entry.consecutive_critical, last_critical=entry.last_critical
        )
    counted = Entry(last_run_id=run_id, before=before)
    if finding is not None:
        counted = Entry(
            consecutive_critical=before.consecutive_critical + 1,
            last_critical=CriticalResult(run_id=run_id, at=now.astimezone(UTC), finding=finding),
            last_run_id=run_id,
            before=before,
        )
    return SkipRegistry(families={**registry.families, family: counted})


def _finding(result: FamilyResult) -> str:
    said = [note.message for note in result.notes if note.level == "critical"]
    text = result.error or "; ".join(said) or "it does not say why"
    line = text.partition("\n")[0]
    short = line if len(line) <= _FINDING_CHARACTERS else f"{line[: _FINDING_CHARACTERS - 3]}..."
    # Lone surrogates, as from a file name that is not UTF-8, cannot be written.
    return short.encode("utf-8", "replace").decode("utf-8")


def _note(message: str) -> Note:
    return Note(level="warning", code="skip_registry", message=message)


def _why(fault: OSError) -> str:
    return fault.strerror or str(fault)
