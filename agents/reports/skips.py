"""Gather what --skip-status tells: how each family stands with the skip registry."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.errors import UsageError
from agents.workspace import Workspace
from steps.policies import SkipPolicy, TrainingPolicy
from steps.step5_training.skip_registry import Standings, look, registry_file


@dataclass(frozen=True, slots=True)
class Skips:
    """What --skip-status shows. file: from the workspace. families: all that there are."""

    file: str
    policy: SkipPolicy
    families: tuple[str, ...]
    standings: Standings


def gather_skips(workspace: Workspace, policy: SkipPolicy, now: datetime) -> Skips:
    """Read the registry; changes nothing. Raises OSError if the file cannot be opened."""
    file = registry_file(workspace.root)
    standings = look(file, policy, now)
    # The product's families, then what the registry holds besides: a newer watcher's perhaps.
    ours = type(TrainingPolicy().families).model_fields
    families = tuple(dict.fromkeys((*ours, *standings.entries)))
    return Skips(workspace.shown(file), policy, families, standings)


def require_family(found: Skips, name: str) -> None:
    """Raise UsageError, with the nearest name, unless there is such a family."""
    if name in found.families:
        return
    near = difflib.get_close_matches(name, found.families, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    known = ", ".join(found.families)
    raise UsageError(f"--skip-clear: must be one of {known}, got {name!r}{hint}")


def skips_document(found: Skips) -> dict[str, Any]:
    """What --skip-status --json prints."""
    return {
        "status": "ok",
        "exit_code": 0,
        "file": found.file,
        "policy": found.policy.model_dump(mode="json"),
        "families": {family: _standing(found.standings, family) for family in found.families},
        "faults": list(found.standings.faults),
    }


def _standing(standings: Standings, family: str) -> dict[str, Any]:
    entry, skip = standings.entries.get(family), standings.skips.get(family)
    last = entry.last_critical if entry else None
    return {
        "left_out": skip is not None,
        "until": skip.until.isoformat() if skip else None,
        "consecutive_critical": entry.consecutive_critical if entry else 0,
        "last_critical": last.model_dump(mode="json") if last else None,
        "last_run_id": entry.last_run_id if entry else None,
    }
