"""Read one run out of the ledger: its attempts, decisions and events, and how far it is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.ledger import Ledger
from agents.lock import Holder
from agents.reports.masking import masked_progress, masked_result, secrets_of_attempt
from agents.watch import read_progress
from agents.workspace import Workspace
from steps.contract import LOG_FILE, PROGRESS_FILE, RESULT_FILE, Progress, StepRequest, StepResult


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
class OpenQuestion:
    """What a run has asked, and nobody has answered yet. step: None for a publication."""

    run_id: str
    step: int | None
    what: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run. state: running, complete, refused (no signal), failed, halted, interrupted,
    waiting (for an approval).

    resumed: how often people went on with it. questions: what people are asked here, by this run
    and by others, the latest first. asked_by: the run whose answer this one waits for.
    """

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
    resumed: int = 0
    questions: tuple[OpenQuestion, ...] = ()
    asked_by: str = ""

    @property
    def waits_for(self) -> tuple[str, ...]:
        """What a person is asked to approve before this run goes on, in the order of the asking."""
        asked = [question.what for question in self.questions if question.run_id == self.asked_by]
        return tuple(reversed(asked))


def run_status(ledger: Ledger, row: dict[str, Any], workspace: Workspace) -> RunStatus:
    """A run as the ledger and its folders know it. row: of the ledger's runs."""
    watcher = Holder.model_validate_json(row["watcher"])
    state, message = told_state(row)
    decisions = ledger.decisions(row["run_id"])
    questions = tuple(
        OpenQuestion(asked["run_id"], asked["step"], asked["what"])
        for asked in ledger.open_questions()
    )
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
            _attempt(attempt, row["run_id"], workspace)
            for attempt in ledger.attempts(row["run_id"])
        ),
        decisions=tuple(
            {
                **decision,
                "changes": json.loads(decision["changes"]),
                "evidence": json.loads(decision["evidence"]),
            }
            for decision in decisions
        ),
        events=tuple(ledger.events(row["run_id"])),
        resumed=row["resumed"],
        questions=questions,
        asked_by=_asked_by(row["run_id"], decisions, questions),
    )


def told_state(row: dict[str, Any]) -> tuple[str, str]:
    """State and message of a run's row as they are now: nobody writes down that a watcher died."""
    if row["state"] != "running":
        return row["state"], row["message"]
    watcher = Holder.model_validate_json(row["watcher"])
    if watcher.is_alive():
        return "running", row["message"]
    return "interrupted", f"its watcher (pid {watcher.pid}) died before the run ended"


def _asked_by(
    run_id: str, decisions: Sequence[dict[str, Any]], questions: Sequence[OpenQuestion]
) -> str:
    """The run itself; or, where it has asked nothing, the one that its last step is fresh since."""
    if decisions and all(question.run_id != run_id for question in questions):
        since = json.loads(decisions[-1]["evidence"]).get("since")
        if isinstance(since, str):
            return since
    return run_id


def _attempt(row: dict[str, Any], run_id: str, workspace: Workspace) -> AttemptStatus:
    # By its name only: the workspace may have been moved since.
    folder = workspace.state_folder / "runs" / run_id / Path(row["out_dir"]).name
    step, attempt = row["step"], row["attempt"]
    secrets = secrets_of_attempt(folder)
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
            progress = masked_progress(read_progress(folder / PROGRESS_FILE, request), secrets)
    else:
        with contextlib.suppress(
            OSError, ValidationError
        ):  # removed since: the ledger has the gist
            result = StepResult.model_validate_json((folder / RESULT_FILE).read_text("utf-8"))
            result = masked_result(result, secrets)
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
