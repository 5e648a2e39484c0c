"""Check what must hold when a step says that it is done; a stale file is never this run's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agents.manifests import SuccessCondition
from agents.workspace import Workspace
from steps.strict_json import shown


def broken_conditions(
    conditions: Sequence[SuccessCondition], workspace: Workspace, run_id: str
) -> tuple[str, ...]:
    """A sentence for each condition that does not hold."""
    sentences = (_broken(condition, workspace, run_id) for condition in conditions)
    return tuple(sentence for sentence in sentences if sentence is not None)


def _broken(condition: SuccessCondition, workspace: Workspace, run_id: str) -> str | None:
    where = f"{condition.file}: {condition.key}"
    path = workspace.inside(condition.file)
    if path is None:
        return f"{condition.file} leads out of the workspace"
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{condition.file} is not there"
    except (OSError, ValueError) as error:
        return f"{condition.file} is not a readable JSON file: {error}"
    for part in condition.key.split("."):
        if not isinstance(value, dict) or part not in value:
            return f"{where} is not there"
        value = value[part]
    if condition.of_this_run and value != run_id:
        return f"{where} must be this run, {run_id}, got {shown(value)}: it is another run's file"
    if "equals" in condition.model_fields_set and value != condition.equals:
        return f"{where} must be {shown(condition.equals)}, got {shown(value)}"
    if condition.min is None and condition.max is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{where} must be a number, got {shown(value)}"
    if condition.min is not None and not value >= condition.min:
        return f"{where} must be at least {condition.min:g}, got {value:g}"
    if condition.max is not None and not value <= condition.max:
        return f"{where} must be at most {condition.max:g}, got {value:g}"
    return None
