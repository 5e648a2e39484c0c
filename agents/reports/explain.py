"""Explain a run from its ledger: why each step ran, was skipped, retried, stopped, or waits.

Every sentence here rests on a row: the verdict's facts, the decision and its rule, the policy's
changes, the approvals. Nothing is worked out anew, so the answer is the same a year later.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.errors import UsageError
from agents.ledger import Ledger
from agents.parameters import Parameter
from agents.reports.answered import Approval, read_approval
from agents.reports.decided import Decided, read_decision
from agents.reports.run_status import told_state

LAST = "last"
_FITTING = 5
_NEAR = 200
_RUNS = "runs"
# What these say stands in decisions and approvals too.
_TOLD_ELSEWHERE = frozenset({_RUNS, "retry", "skipped", "approved", "rejected"})


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file and the attempt that left it. run_id: None for one that no run here has made."""

    name: str
    path: str
    sha256: str
    run_id: str | None
    step: int | None
    attempt: int | None


@dataclass(frozen=True, slots=True)
class Placement:
    """What was placed on which device, and why."""

    what: str
    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExplainedAttempt:
    """One attempt. parameters: those that are not the default; duration_s, limit_s: seconds."""

    attempt: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    severity: str | None
    message: str
    duration_s: float | None
    limit_s: float
    folder: str
    parameters: tuple[Parameter, ...]
    inputs: tuple[MadeFile, ...]
    outputs: tuple[MadeFile, ...]
    placements: tuple[Placement, ...]


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """One step. name: its agent's, "" if it was never attempted; why: why it ran, or did not."""

    step: int
    name: str
    why: tuple[str, ...]
    attempts: tuple[ExplainedAttempt, ...]
    decisions: tuple[Decided, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened. kind: run, attempt, decision, approval, or an event's code."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A run, explained. request: what was asked for; timeline: all of it in order of time."""

    run_id: str
    kind: str
    state: str
    exit_code: int | None
    message: str
    started_at: datetime
    ended_at: datetime | None
    resumed: int
    request: dict[str, Any]
    watcher_version: str
    steps: tuple[ExplainedStep, ...]
    approvals: tuple[Approval, ...]
    timeline: tuple[Moment, ...]


def explain(ledger: Ledger, named: str) -> Explanation:
    """Explain a run. named: its id, the beginning of it if no other begins so, or "last".

    Raises UsageError naming the runs that fit or are near, LedgerError.
    """
    row = ledger.run(find_run(ledger, named))
    assert row is not None  # noqa: S101 - find_run has just seen it
    run_id = str(row["run_id"])
    state, message = told_state(row)
    attempts = ledger.attempts(run_id)
    decisions = tuple(read_decision(decision) for decision in ledger.decisions(run_id))
    events = ledger.events(run_id)
    approvals = tuple(read_approval(approval) for approval in ledger.approvals(run_id))
    numbers = sorted({row["step"] for row in attempts} | {d.step for d in decisions})
    steps = tuple(
        _step(
            ledger,
            number,
            [row for row in attempts if row["step"] == number],
            tuple(d for d in decisions if d.step == number),
            [row["message"] for row in events if row["code"] == _RUNS],
        )
        for number in numbers
    )
    return Explanation(
        run_id=run_id,
        kind=row["kind"],
        state=state,
        exit_code=row["exit_code"],
        message=message,
        started_at=datetime.fromisoformat(row["started_at"]),
        ended_at=_time(row["ended_at"]),
        resumed=row["resumed"],
        request=json.loads(row["request"]),
        watcher_version=row["watcher_version"],
        steps=steps,
        approvals=approvals,
        timeline=_timeline(row, steps, decisions, events, approvals),
    )


def find_run(ledger: Ledger, named: str) -> str:
    """The id of the run that a person means; raises UsageError naming what there is."""
    last = ledger.last_run()
    if last is None:
        raise UsageError("--explain: nothing has run here yet")
    if named == LAST:
        return str(last["run_id"])
    if named and ledger.run(named) is not None:
        return named
    fitting = ledger.run_ids_from(named, _FITTING + 1) if named else []
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        more = ", ..." if len(fitting) > _FITTING else ""
        said = f"fits several runs: {', '.join(fitting[:_FITTING])}{more}"
    else:
        recent = [str(row["run_id"]) for row in ledger.runs(_NEAR)]
        near = difflib.get_close_matches(named, recent, n=3, cutoff=0.75)
        said = "is no run here; "
        said += f"near: {', '.join(near)}; " if near else ""
        said += f"the last ones: {', '.join(recent[:3])}"
    raise UsageError(f"--explain: {named!r} {said}")


def _step(
    ledger: Ledger,
    number: int,
    attempts: Sequence[dict[str, Any]],
    decisions: tuple[Decided, ...],
    ran: Sequence[str],
) -> ExplainedStep:
    begins = f"step {number} runs: "
    why = [message.removeprefix(begins) for message in ran if message.startswith(begins)]
    why += [d.reason for d in decisions if d.action in {"skip", "stop"} and not attempts]
    return ExplainedStep(
        step=number,
        name=attempts[-1]["agent_name"] if attempts else "",
        why=tuple(dict.fromkeys(why)),
        attempts=tuple(_attempt(ledger, row) for row in attempts),
        decisions=decisions,
    )


def _attempt(ledger: Ledger, row: dict[str, Any]) -> ExplainedAttempt:
    parameters = (
        Parameter(p["name"], json.loads(p["value"]), p["origin"])
        for p in ledger.parameters(row["id"])
    )
    inputs: dict[str, dict[str, str]] = json.loads(row["inputs"])
    return ExplainedAttempt(
        attempt=row["attempt"],
        started_at=datetime.fromisoformat(row["started_at"]),
        ended_at=_time(row["ended_at"]),
        outcome=row["outcome"],
        severity=row["severity"],
        message=row["message"],
        duration_s=row["duration_s"],
        limit_s=row["limit_s"],
        folder=row["out_dir"],
        parameters=tuple(p for p in parameters if p.origin != "default"),
        inputs=tuple(_lineage(ledger, row["id"], name, file) for name, file in inputs.items()),
        outputs=tuple(
            MadeFile(
                file["path"],
                file["path"],
                file["sha256"],
                row["run_id"],
                row["step"],
                row["attempt"],
            )
            for file in ledger.artifacts(row["id"])
        ),
        placements=tuple(
            Placement(placed["what"], placed["device"], placed["reason"])
            for placed in ledger.placements(row["id"])
        ),
    )


def _lineage(ledger: Ledger, attempt_id: int, name: str, file: dict[str, str]) -> MadeFile:
    maker = ledger.maker(file["sha256"], attempt_id)
    if maker is None:
        return MadeFile(name, file["path"], file["sha256"], None, None, None)
    return MadeFile(
        name, file["path"], file["sha256"], maker["run_id"], maker["step"], maker["attempt"]
    )


def _timeline(
    run: dict[str, Any],
    steps: Sequence[ExplainedStep],
    decisions: Sequence[Decided],
    events: Sequence[dict[str, Any]],
    approvals: Sequence[Approval],
) -> tuple[Moment, ...]:
    # Python sorts stably: at the same millisecond this is the order in which a run goes on.
    moments = [Moment(datetime.fromisoformat(run["started_at"]), "run", "began")]
    for step in steps:
        for attempt in step.attempts:
            name = f"step {step.step}, attempt {attempt.attempt}"
            moments.append(Moment(attempt.started_at, "attempt", f"{name} began"))
            if attempt.ended_at is not None:
                moments.append(Moment(attempt.ended_at, "attempt", f"{name}: {attempt.outcome}"))
    moments += [_moment(decision) for decision in decisions]
    moments += [
        Moment(datetime.fromisoformat(row["happened_at"]), row["code"], row["message"])
        for row in events
        if row["code"] not in _TOLD_ELSEWHERE
    ]
    for approval in approvals:
        moments.append(Moment(approval.asked_at, "approval", f"asked for: {approval.what}"))
        if approval.answered_at is not None:
            note = f" ({approval.note})" if approval.note else ""
            given = f"{approval.answered}{note}: {approval.what}"
            moments.append(Moment(approval.answered_at, "approval", given))
    if (ended_at := _time(run["ended_at"])) is not None:
        moments.append(Moment(ended_at, "run", f"{run['state']}, exit code {run['exit_code']}"))
    return tuple(sorted(moments, key=lambda moment: moment.at))


def _moment(decision: Decided) -> Moment:
    change = f"; {decision.changed}" if decision.changed else ""
    text = f"step {decision.step}, {decision.action}: {decision.reason}{change}"
    return Moment(decision.at, "decision", text)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
