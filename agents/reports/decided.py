"""Read a decision back from the ledger, with the facts it rests on as phrases for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from agents.durations import words
from steps.strict_json import shown


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision. found: the facts it rests on, as phrases; changed: what the retry changed.

    budget: what paid for a retry; passed_over: rules that matched and were not used, and why.
    since: the run whose success a skip rests on.
    """

    at: datetime
    step: int
    attempt: int
    action: str
    reason: str
    found: tuple[str, ...]
    changed: str | None
    budget: str | None
    passed_over: tuple[str, ...]
    since: str | None


def read_decision(row: Mapping[str, Any]) -> Decided:
    """A decision from its row; evidence that cannot be read is shown as it stands."""
    unreadable: tuple[str, ...] = ()
    try:
        evidence = _Evidence.model_validate_json(row["evidence"])
    except ValidationError:
        evidence = _Evidence()
        unreadable = (f"evidence in a form that is not known here: {row['evidence']:.200}",)
    retry = evidence.retry or _Retry()
    return Decided(
        at=datetime.fromisoformat(row["decided_at"]),
        step=row["step"],
        attempt=row["attempt"],
        action=row["action"],
        reason=row["reason"],
        found=_found(evidence) + unreadable,
        changed=_changed(retry.change, json.loads(row["changes"])),
        budget=retry.budget or row["budget"],
        passed_over=evidence.passed_over,
        since=evidence.since,
    )


class _Lenient(BaseModel):
    """Evidence is a free form that may have grown since: what is not known is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Issue(_Lenient):
    code: str
    message: str


class _Change(_Lenient):
    parameter: str
    before: Any
    after: Any
    because: str = ""


class _Retry(_Lenient):
    budget: str | None = None
    change: _Change | None = None


class _Evidence(_Lenient):
    outcome: str | None = None
    severity: str | None = None
    issues: tuple[_Issue, ...] = ()
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    asked_to: str | None = None
    duration_s: float | None = None
    limit_s: float | None = None
    retry: _Retry | None = None
    passed_over: tuple[str, ...] = ()
    since: str | None = None


def _found(evidence: _Evidence) -> tuple[str, ...]:
    """The numbers that led to the decision, as phrases."""
    found = []
    if evidence.outcome is not None:
        found.append(f"{evidence.outcome} ({evidence.severity})")
    if evidence.duration_s is not None and evidence.limit_s is not None:
        over = ", over it" if evidence.timed_out else ""
        found.append(f"ran {words(evidence.duration_s)}, limit {words(evidence.limit_s)}{over}")
    if evidence.signal is not None:
        found.append(f"ended by {evidence.signal}")
    elif evidence.exit_code is not None:
        found.append(f"exit code {evidence.exit_code}")
    if evidence.asked_to is not None:
        found.append(f"it was asked to stop ({evidence.asked_to})")
    return (*found, *(f"{issue.code}: {issue.message}" for issue in evidence.issues))


def _changed(change: _Change | None, changes: dict[str, Any]) -> str | None:
    if change is not None:
        because = f" ({change.because})" if change.because else ""
        return f"{change.parameter}: {shown(change.before)} -> {shown(change.after)}{because}"
    if changes:
        return ", ".join(f"{name}: -> {shown(value)}" for name, value in changes.items())
    return None
