"""Take a person's answer to what a run waits for, and do what waited for nothing else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from agents.errors import UsageError, WorkspaceError
from agents.freshness import read_success
from agents.gates import publication
from agents.halt import person
from agents.ledger import Ledger
from agents.lock import only_watcher
from agents.recall.fingerprints import CACHE_FILE, Fingerprints
from agents.recall.step_facts import facts_published
from agents.secrets import mask_text
from agents.workspace import Workspace
from steps.artifacts import ArtifactError, publish_version, version_in_force, wait_no_more
from steps.contract import RESULT_FILE, Awaiting, ExitCode, StepResult

LAST = "last"
# The date and a little: less would name a run that nobody has looked at.
SHORTEST_BEGINNING = 8

_RESUME = "watcher --run-pipeline --resume"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person has approved or rejected, in sentences, and by what name.

    published: a winner's family, of models that are in force now. next_steps: what to type next.
    """

    run_id: str
    answer: Literal["approved", "rejected"]
    by: str
    what: tuple[str, ...]
    published: str | None
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Models that wait, and the attempt that has left them."""

    attempt: Mapping[str, Any]
    awaiting: Awaiting


def approve(workspace: Workspace, named: str, note: str, now: Callable[[], datetime]) -> Answered:
    """Record a person's approval; publish the models that waited for it.

    named: the run's id, its beginning, or "last" for the one that has asked last. Raises UsageError
    where no such run waits, WorkspaceBusy while a run is on, WorkspaceError where the models that
    wait cannot be published, or would replace others than those they were compared with.
    """
    with _asked(workspace, "--approve", named, now) as (ledger, run_id):
        latest: dict[str, _Waiting] = {}
        questions = []
        for row in reversed(_open(ledger, run_id)):
            if row["step"] is None:
                waiting = _models(workspace, ledger, run_id, row)
                if latest.setdefault(waiting.awaiting.agent, waiting) is not waiting:
                    continue  # models that these would replace at once: nobody approves them
            questions.append(row)
        for waiting in latest.values():
            _check_in_force(workspace, run_id, waiting)
        family = None
        for waiting in latest.values():
            family = _publish(workspace, ledger, run_id, waiting)
        return _answer(ledger, run_id, "approved", note, questions, list(latest.values()), family)


def reject(workspace: Workspace, named: str, note: str, now: Callable[[], datetime]) -> Answered:
    """Record that a person does not want what a run waits for; the models in force stay.

    The models that waited are dropped when there are newer ones. Arguments and errors as in
    approve.
    """
    with _asked(workspace, "--reject", named, now) as (ledger, run_id):
        models, questions = [], _open(ledger, run_id)
        for row in questions:
            if row["step"] is not None:
                continue
            with contextlib.suppress(WorkspaceError):  # gone, or unreadable: no loss now
                models.append(_models(workspace, ledger, run_id, row))
        for waiting in models:
            if _in_force(workspace, waiting) == waiting.awaiting.version:
                raise UsageError(
                    f"--reject: {waiting.awaiting.version} is in force already; "
                    f"`watcher --approve {run_id}` keeps it so"
                )
        for waiting in models:
            wait_no_more(workspace.root, waiting.awaiting.version)
            _forget_files(ledger, run_id, waiting)
        return _answer(ledger, run_id, "rejected", note, questions, models, None)


@contextlib.contextmanager
def _asked(
    workspace: Workspace, flag: str, named: str, now: Callable[[], datetime]
) -> Iterator[tuple[Ledger, str]]:
    """The ledger, under the workspace's lock, and the run that is meant."""
    if named != LAST and len(named.strip()) < SHORTEST_BEGINNING:
        raise UsageError(
            f"{flag}: must be a run id, {SHORTEST_BEGINNING} or more characters of its beginning, "
            f"or last; got {named!r}"
        )
    if not workspace.ledger_file.exists():
        raise UsageError(f"{flag}: nothing has run in {workspace.root}")
    with (
        only_watcher(workspace, f"{flag[2:]} {named}", now()),
        Ledger.create(workspace.ledger_file, now) as ledger,
    ):
        waiting = list(dict.fromkeys(str(row["run_id"]) for row in ledger.open_questions()))
        matching = [run for run in waiting if run.startswith(named)]
        if named == LAST:
            matching = waiting[:1]
        if len(matching) != 1:
            known = f"waiting: {', '.join(waiting[:3])}" if waiting else "no run waits"
            how = "fits several runs" if matching else "is no run that waits for approval"
            raise UsageError(f"{flag}: {named!r} {how}; {known}")
        yield ledger, matching[0]


def _open(ledger: Ledger, run_id: str) -> list[dict[str, Any]]:
    return [row for row in ledger.approvals(run_id) if row["answer"] is None]


def _models(
    workspace: Workspace, ledger: Ledger, run_id: str, question: Mapping[str, Any]
) -> _Waiting:
    """The models that a question is about, as the step that has left them says."""
    for attempt in reversed(ledger.attempts(run_id)):
        # Not by the path in the ledger: the workspace may have been moved since.
        folder = workspace.attempt_folder(run_id, f"step{attempt['step']}", attempt["attempt"])
        path = folder / RESULT_FILE
        try:
            result = StepResult.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValidationError) as error:
            raise WorkspaceError(f"{path}: cannot be read: {error}") from None
        awaiting = result.awaiting
        if awaiting is not None and mask_text(publication(awaiting)) == question["what"]:
            return _Waiting(attempt, awaiting)
    raise WorkspaceError(f"run {run_id} has left no models that wait for: {question['what']}")


def _in_force(workspace: Workspace, waiting: _Waiting) -> str | None:
    version = version_in_force(workspace.root, waiting.awaiting.agent)
    return None if version is None else str(version)


def _check_in_force(workspace: Workspace, run_id: str, waiting: _Waiting) -> None:
    """Refuse to replace other models than those that the person was asked about."""
    awaiting, in_force = waiting.awaiting, _in_force(workspace, waiting)
    # Its own: an earlier approval was killed after it had published.
    if in_force in {awaiting.in_force, awaiting.version}:
        return
    step = waiting.attempt["step"]
    raise WorkspaceError(
        f"--approve: nothing was published: {awaiting.version} was to replace "
        f"{awaiting.in_force or 'no models'}, but {in_force or 'nothing'} is in force now; "
        f"to compare anew: watcher --run-pipeline --start-step {step} --end-step {step} "
        f"--force-step {step}, with the parameters of run {run_id}; "
        f"to drop the question: watcher --reject {run_id}"
    )


def _publish(workspace: Workspace, ledger: Ledger, run_id: str, waiting: _Waiting) -> str:
    """Put the models that wait in force; the family of the winner. The step stays fresh."""
    awaiting = waiting.awaiting
    try:
        sidecar = publish_version(workspace.root, awaiting.agent, awaiting.version)
    except ArtifactError as error:
        raise WorkspaceError(f"--approve: nothing was published: {error}") from None
    hashes = Fingerprints(
        workspace.state_folder / CACHE_FILE,
        note=lambda message: ledger.event(run_id, "fingerprints", message),
    )
    step = waiting.attempt["step"]
    row = ledger.last_success(step)
    facts = facts_published(row, run_id, awaiting.agent, workspace, hashes)
    if row is not None and facts is not None:
        ledger.success_recorded(step, run_id, row["attempt"], facts.model_dump(mode="json"))
    return sidecar.model_type


def _forget_files(ledger: Ledger, run_id: str, waiting: _Waiting) -> None:
    """The step stays fresh when the models that nobody wants are dropped."""
    step, folder = waiting.attempt["step"], f"{waiting.awaiting.version}/"
    row = ledger.last_success(step)
    recorded = read_success(row) if row is not None else None
    if recorded is None or recorded.facts is None or recorded.run_id != run_id:
        return
    kept = tuple(file for file in recorded.facts.outputs if not file.path.startswith(folder))
    facts = recorded.facts.model_copy(update={"outputs": kept})
    ledger.success_recorded(step, run_id, recorded.attempt, facts.model_dump(mode="json"))


def _answer(
    ledger: Ledger,
    run_id: str,
    answer: Literal["approved", "rejected"],
    note: str,
    questions: Sequence[Mapping[str, Any]],
    models: Sequence[_Waiting],
    published: str | None,
) -> Answered:
    """Write the answer down, end the run if nothing is left to do in it, and say what is."""
    row = ledger.run(run_id)
    assert row is not None  # noqa: S101 - a question is a run's
    by = person()
    only_models = all(question["step"] is None for question in questions)
    done = only_models and any(_nothing_follows(ledger, row, waiting) for waiting in models)
    with ledger.together():
        only = [question["id"] for question in questions]
        what = ledger.approval_answered(run_id, answer, by, note, only)
        ledger.approval_answered(run_id, "withdrawn", "the watcher")  # what is outdated
        ledger.event(run_id, answer, f"{answer} by {by}: {'; '.join(what)}")
        if done and row["state"] in {"waiting", "running", "interrupted"}:
            fate = "put in force" if answer == "approved" else "not put in force"
            message = f"its models were {fate}: {answer} by {by}"
            ledger.run_ended(run_id, "complete", ExitCode.DONE, message)
        elif answer == "rejected" and not only_models:
            message = f"rejected by {by}: {'; '.join(what)}"
            ledger.run_ended(run_id, "halted", ExitCode.HALTED, message)
    return Answered(
        run_id, answer, by, tuple(what), published, _next_steps(ledger, run_id, answer, published)
    )


def _nothing_follows(ledger: Ledger, run: Mapping[str, Any], waiting: _Waiting) -> bool:
    """Whether the models come from the last attempt at the last step of the run."""
    last = ledger.attempts(run["run_id"])[-1]
    end = json.loads(run["request"]).get("end_step")
    return bool(waiting.attempt["id"] == last["id"] and last["step"] == end)


def _next_steps(ledger: Ledger, run_id: str, answer: str, published: str | None) -> tuple[str, ...]:
    row, resumable = ledger.run(run_id), ledger.resumable_run()
    if row is not None and row["state"] == "complete":
        if published is not None:
            return ("score new rows: watcher --predict TABLE --output predictions.csv",)
        return ("nothing is left to do in this run; the models in force stay",)
    last = resumable is not None and resumable["run_id"] == run_id
    command = _RESUME if last else f"{_RESUME} {run_id}"
    if row is not None and row["state"] == "halted" and answer == "rejected":
        return (f"to be asked again: {command}",)
    return (f"to go on: {command}",)
