"""Gather what --status tells: the last run, what runs now, and what to do next."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.decide import TRAINING_STEP
from agents.errors import UsageError
from agents.ledger import Ledger
from agents.lock import Holder
from agents.manifests import Manifest
from agents.watch import read_progress
from agents.workspace import WINNER_SIDECAR, Workspace, halt_reason
from steps.contract import LOG_FILE, PROGRESS_FILE, RESULT_FILE, Progress, StepRequest, StepResult
from steps.policies import Policy

RUN_STEP_5 = "watcher --run-pipeline --start-step 5 --end-step 5"


@dataclass(frozen=True, slots=True)
class AttemptStatus:
    """One attempt as the ledger knows it. outcome: None while it runs, or if its watcher died."""

    step: int
    attempt: int
    agent_name: str
    title: str
    started_at: datetime
    outcome: str | None
    severity: str | None
    message: str
    duration_s: float | None
    limit_s: float
    folder: Path
    progress: Progress | None
    result: StepResult | None

    @property
    def log_path(self) -> Path:
        """What it printed."""
        return self.folder / LOG_FILE


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run. state: running, complete, failed, halted, interrupted."""

    run_id: str
    kind: str
    state: str
    exit_code: int | None
    started_at: datetime
    ended_at: datetime | None
    message: str
    watcher: Holder
    attempts: tuple[AttemptStatus, ...]
    decisions: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Status:
    """What --status shows. halt: why nothing may start; policy_problem: why none is in force."""

    workspace: Path
    now: datetime
    run: RunStatus | None
    halt: str | None
    policy_problem: str | None
    has_winner: bool
    next_steps: tuple[str, ...]


def gather_status(
    workspace: Workspace,
    read_policy: Callable[[], Policy],
    read_manifests: Callable[[], tuple[Manifest, ...]],
    now: Callable[[], datetime],
) -> Status:
    """Read the ledger, the progress of what runs, policy and halt file; raises LedgerError."""
    run = None
    if workspace.ledger_file.exists():
        with Ledger.read(workspace.ledger_file, now) as ledger:
            run = _run_status(ledger)
    try:
        policy, policy_problem = read_policy(), None
    except ValueError as error:
        policy, policy_problem = Policy(), str(error)
    halt = halt_reason(workspace, policy)
    has_winner = workspace.winner_sidecar.is_file()
    following = _next_steps(
        workspace,
        run,
        halt=halt,
        policy_problem=policy_problem,
        has_winner=has_winner,
        read_manifests=read_manifests,
    )
    return Status(workspace.root, now(), run, halt, policy_problem, has_winner, following)


def _run_status(ledger: Ledger) -> RunStatus | None:
    row = ledger.last_run()
    if row is None:
        return None
    watcher = Holder.model_validate_json(row["watcher"])
    state, message = row["state"], row["message"]
    if state == "running" and not watcher.is_alive():
        state, message = "interrupted", f"its watcher (pid {watcher.pid}) died before the run ended"
    return RunStatus(
        run_id=row["run_id"],
        kind=row["kind"],
        state=state,
        exit_code=row["exit_code"],
        started_at=datetime.fromisoformat(row["started_at"]),
        ended_at=datetime.fromisoformat(row["ended_at"]) if row["ended_at"] else None,
        message=message,
        watcher=watcher,
        attempts=tuple(
            _attempt(attempt, row["run_id"]) for attempt in ledger.attempts(row["run_id"])
        ),
        decisions=tuple(
            {
                **decision,
                "changes": json.loads(decision["changes"]),
                "evidence": json.loads(decision["evidence"]),
            }
            for decision in ledger.decisions(row["run_id"])
        ),
        events=tuple(ledger.events(row["run_id"])),
    )


def _attempt(row: dict[str, Any], run_id: str) -> AttemptStatus:
    folder = Path(row["out_dir"])
    step, attempt = row["step"], row["attempt"]
    progress = result = None
    if row["outcome"] is None:
        request = StepRequest(
            run_id=run_id,
            step=step,
            attempt=attempt,
            params={},
            inputs={},
            workspace="",
            policy_path="",
            out_dir=str(folder),
        )
        with contextlib.suppress(ValueError):  # none yet
            progress = read_progress(folder / PROGRESS_FILE, request)
    else:
        with contextlib.suppress(
            OSError, ValidationError
        ):  # removed since: the ledger has the gist
            result = StepResult.model_validate_json((folder / RESULT_FILE).read_text("utf-8"))
    return AttemptStatus(
        step=step,
        attempt=attempt,
        agent_name=row["agent_name"],
        title=row["title"],
        started_at=datetime.fromisoformat(row["started_at"]),
        outcome=row["outcome"],
        severity=row["severity"],
        message=row["message"],
        duration_s=row["duration_s"],
        limit_s=row["limit_s"],
        folder=folder,
        progress=progress,
        result=result if result is not None and result.run_id == run_id else None,
    )


def _next_steps(
    workspace: Workspace,
    run: RunStatus | None,
    *,
    halt: str | None,
    policy_problem: str | None,
    has_winner: bool,
    read_manifests: Callable[[], tuple[Manifest, ...]],
) -> tuple[str, ...]:
    if policy_problem:
        return (f"mend the policy: {policy_problem}",)
    if run is not None and run.state == "running":
        stop = f"to stop it at its next safe point: touch {shlex.quote(str(workspace.halt_file))}"
        return (f"its log: {run.attempts[-1].log_path}", stop) if run.attempts else (stop,)
    if halt:
        return (f"nothing will start while this holds: {halt}",)
    if run is not None and run.state in {"failed", "interrupted", "halted"}:
        return _after_failure(run)
    if has_winner:
        return (
            "score new rows: watcher --predict TABLE --output predictions.csv",
            f"the winner's sidecar: {WINNER_SIDECAR}",
        )
    return _first_steps(workspace, read_manifests)


def _after_failure(run: RunStatus) -> tuple[str, ...]:
    """What helps depends on what went wrong: the same line again is not always the answer."""
    if not run.attempts:
        return ("no step was started; once the reason above is gone, run it again",)
    last = run.attempts[-1]
    log = f"read {last.log_path}"
    resumable = run.kind == "pipeline" and last.step == TRAINING_STEP
    resume = (
        'to go on where it stopped: the same line again, with "resume": true in --params'
        if resumable
        else "then run it again, with the same line as before"
    )
    match last.outcome:
        case "bad_input" | "usage":
            return (
                "mend the input first: the table, or the parameters, that the message above names",
                "the same line again, with the same input, would end the same way",
            )
        case "no_signal":
            return (f"predictions are refused until a run finds a signal: {RUN_STEP_5}",)
        case "blocked":
            return ("mend the policy first, then run it again",)
        case "out_of_memory":
            less = 'ask for fewer "slots" in --params, or free memory'
            return (log, f"{less}; then run it again")
        case "halted" | "interrupted" | "timeout" | None:
            return (log, resume)
        case _:
            return (log, "then run it again, with the same line as before")


def _first_steps(
    workspace: Workspace, read_manifests: Callable[[], tuple[Manifest, ...]]
) -> tuple[str, ...]:
    try:
        manifests = read_manifests()
    except UsageError as error:
        return (f"mend the manifest: {error}",)
    candidates = [c for m in manifests for spec in m.inputs for c in spec.candidates]
    if any((workspace.root / candidate).is_file() for candidate in candidates):
        return (f"train on the table that is here: {RUN_STEP_5}",)
    tables = [
        path.name
        for path in sorted(workspace.root.iterdir())
        if path.name.endswith((".csv", ".csv.gz", ".parquet", ".npz"))
    ]
    table = tables[0] if tables else "TABLE.csv"
    params = json.dumps({"survivors": table, "target": "COLUMN", "trials": 20})
    return (
        f"put {' or '.join(candidates) or 'a table'} here, or name a table of your own:",
        f"{RUN_STEP_5} --params {shlex.quote(params)}",
        "look at the machine first: watcher --doctor",
    )
