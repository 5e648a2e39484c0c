"""The JSON documents of --json: one a command, the same facts as the views show."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agents.reports.status import AttemptStatus, Status
from agents.run import RunReport, StepReport
from agents.workspace import Workspace

# What a step without an attempt came to, by the decision about it.
_NOT_RUN = {"skip": "skipped", "stop": "not_started"}


def run_document(report: RunReport, workspace: Workspace) -> dict[str, Any]:
    """A run that has ended."""
    return {
        "status": report.state,
        "exit_code": int(report.exit_code),
        "message": report.message,
        "run_id": report.run_id,
        "workspace": str(workspace.root),
        "steps": [_step(step) for step in report.steps],
        "events": [{"code": code, "message": message} for code, message in report.events],
    }


def _step(report: StepReport) -> dict[str, Any]:
    return {
        "step": report.step,
        "agent_name": report.agent_name,
        "outcome": report.last.verdict.outcome if report.last else _NOT_RUN[report.decision.action],
        "decision": {
            "action": report.decision.action,
            "reason": report.decision.reason,
            "changes": report.decision.changes,
        },
        "attempts": [
            {"attempt": attempt.spec.attempt, "log": str(attempt.log_path), **attempt.evidence()}
            for attempt in report.attempts
        ],
        "result": report.result.model_dump(mode="json") if report.result else None,
    }


def status_document(status: Status) -> dict[str, Any]:
    """What --status found. `status` is never_run, or the state of the last run."""
    run = status.run
    document: dict[str, Any] = {
        "status": run.state if run else "never_run",
        "exit_code": 0,
        "workspace": str(status.workspace),
        "halt": status.halt,
        "policy_problem": status.policy_problem,
        "next": list(status.next_steps),
        "run": None,
    }
    if run is not None:
        document["run"] = {
            "run_id": run.run_id,
            "kind": run.kind,
            "state": run.state,
            "exit_code": run.exit_code,
            "started_at": run.started_at.isoformat(),
            "ended_at": run.ended_at.isoformat() if run.ended_at else None,
            "message": run.message,
            "watcher": run.watcher.model_dump(mode="json"),
            "resumed": run.resumed,
            "waits_for": list(run.waits_for),
            "attempts": [_attempt(attempt) for attempt in run.attempts],
            "decisions": list(run.decisions),
            "events": list(run.events),
        }
    return document


def _attempt(attempt: AttemptStatus) -> dict[str, Any]:
    facts = asdict(attempt)
    return facts | {
        "started_at": attempt.started_at.isoformat(),
        "folder": str(attempt.folder),
        "log": str(attempt.log_path),
        "progress": attempt.progress.model_dump(mode="json") if attempt.progress else None,
        "result": attempt.result.model_dump(mode="json") if attempt.result else None,
    }
