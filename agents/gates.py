"""Stop where the policy wants a person's approval, and take the approval when it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from agents.attempt import Attempted
from agents.decide import Decision
from agents.errors import UsageError, WorkspaceError
from agents.halt import person
from agents.ledger import Ledger
from agents.lock import only_watcher
from agents.plan import PlannedStep
from agents.recall.fingerprints import CACHE_FILE, Fingerprints
from agents.recall.step_facts import facts_published
from agents.run import Run
from agents.workspace import Workspace
from steps.artifacts import ArtifactError, publish_version
from steps.contract import RESULT_FILE, Awaiting, ExitCode, StepResult


@dataclass(frozen=True, slots=True)
class Approved:
    """What a person has approved, in sentences, and by what name. published: a winner's family."""

    run_id: str
    by: str
    what: tuple[str, ...]
    published: str | None


def approval_needed(run: Run, planned: PlannedStep) -> Decision | None:
    """The stop before a step that the policy lets start only with an approval; None: it may."""
    step = planned.manifest.step
    if step not in run.watch.policy.approvals.before_steps:
        return None
    what = f"start step {step} ({planned.manifest.agent_name})"
    if run.ledger.is_approved(run.run_id, step, what):
        return None
    run.ledger.approval_asked(run.run_id, step, what)
    return _waiting(run.run_id, f"to {what}", "the policy names it in approvals.before_steps")


def still_waiting(run: Run, step: int) -> Decision | None:
    """The stop of a resumed run whose question about this step nobody has answered yet."""
    for asked in run.ledger.approvals(run.run_id):
        if asked["step"] == step and asked["approved_at"] is None:
            return _waiting(run.run_id, f"to {asked['what']}", "nobody has given it yet")
    return None


def publication_waits(run: Run, since: str) -> Decision | None:
    """The stop at a step that is fresh, but whose models wait for an approval since that run."""
    for asked in run.ledger.approvals(since):
        if asked["step"] is None and asked["approved_at"] is None:
            return _waiting(since, f"to {asked['what']}", "it was asked for, and not given yet")
    return None


def ask_to_retry(run: Run, step: int, attempts: int, decision: Decision) -> Decision:
    """A person decides whether a step whose budgets are used up is tried once more."""
    what = f"try step {step} again, after {attempts} attempts"
    run.ledger.approval_asked(run.run_id, step, what)
    return _waiting(run.run_id, f"to {what}", decision.reason)


def publication_needed(run: Run, attempted: Attempted) -> Decision | None:
    """The stop after a step whose new models wait for an approval; None: nothing waits."""
    awaiting = attempted.result.awaiting if attempted.result else None
    if awaiting is None:
        return None
    run.ledger.approval_asked(run.run_id, None, _publication(awaiting))
    return _waiting(run.run_id, "to publish its models", awaiting.reason)


def approve(workspace: Workspace, run_id: str, note: str, now: Callable[[], datetime]) -> Approved:
    """Record a person's approval and do what waited for nothing else.

    run_id: or its beginning, or "last". Raises UsageError where that run waits for nothing,
    WorkspaceBusy while a run is on, WorkspaceError where the models that wait cannot be published.
    """
    if not workspace.ledger_file.exists():
        raise UsageError(f"--approve: nothing has run in {workspace.root}")
    with (
        only_watcher(workspace, f"approve {run_id}", now()),
        Ledger.create(workspace.ledger_file, now) as ledger,
    ):
        found = _waiting_run(ledger, run_id)
        pending = [a for a in ledger.approvals(found) if a["approved_at"] is None]
        if not pending:
            raise UsageError(f"--approve: run {found} waits for no approval")
        published = None
        if any(a["step"] is None for a in pending):
            published = _publish(workspace, ledger, found)
        by = person()
        what = ledger.approval_given(found, by, note)
        ledger.event(found, "approved", f"approved by {by}: {'; '.join(what)}")
    return Approved(found, by, tuple(what), published)


def _waiting(run_id: str, what: str, why: str) -> Decision:
    reason = f"waits for approval {what}: {why}; `watcher --approve {run_id}` gives it"
    return Decision("stop", reason, ExitCode.WAITING_FOR_APPROVAL)


def _publication(awaiting: Awaiting) -> str:
    return f"publish {awaiting.version} as models/{awaiting.agent}: {awaiting.reason}"


def _waiting_run(ledger: Ledger, named: str) -> str:
    rows = [row["run_id"] for row in ledger.runs(1000) if row["state"] == "waiting"]
    matching = rows[:1] if named == "last" else [run for run in rows if run.startswith(named)]
    if len(matching) == 1:
        return str(matching[0])
    waiting = f"waiting: {', '.join(rows[:3])}" if rows else "no run waits"
    several = "fits several runs" if matching else "is no run that waits for approval"
    raise UsageError(f"--approve: {named!r} {several}; {waiting}")


def _publish(workspace: Workspace, ledger: Ledger, run_id: str) -> str:
    """Put the models that wait in force; the family of the winner. The step stays fresh."""
    step, awaiting = _awaiting(ledger, run_id)
    try:
        sidecar = publish_version(workspace.root, awaiting.agent, awaiting.version)
    except ArtifactError as error:
        raise WorkspaceError(f"--approve: nothing was published: {error}") from None
    hashes = Fingerprints(
        workspace.state_folder / CACHE_FILE,
        note=lambda message: ledger.event(run_id, "fingerprints", message),
    )
    row = ledger.last_success(step)
    facts = facts_published(row, run_id, awaiting.agent, workspace, hashes)
    if row is not None and facts is not None:
        ledger.success_recorded(step, run_id, row["attempt"], facts.model_dump(mode="json"))
    return sidecar.model_type


def _awaiting(ledger: Ledger, run_id: str) -> tuple[int, Awaiting]:
    """The step that has left models which wait, and what it says of them."""
    for attempt in reversed(ledger.attempts(run_id)):
        path = Path(attempt["out_dir"]) / RESULT_FILE
        try:
            result = StepResult.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValidationError) as error:
            raise WorkspaceError(f"--approve: {path}: cannot be read: {error}") from None
        if result.awaiting is not None:
            return int(attempt["step"]), result.awaiting
    raise WorkspaceError(f"--approve: run {run_id} has left no models that wait")
