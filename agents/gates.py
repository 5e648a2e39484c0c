"""Stop where the policy wants a person's approval; take back models that were not accepted."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents.attempt import Attempted
from agents.decide import Decision
from agents.plan import PlannedStep
from agents.recall.step_facts import ignored_parameters
from agents.run import Run
from agents.secrets import mask
from steps.artifacts import (
    ArtifactError,
    replaced_by,
    turn_back,
    version_of,
    versions_in_force,
    wait_no_more,
)
from steps.contract import Awaiting, ExitCode
from steps.files import sha256_text
from steps.policies import Policy

# name -> path, sha256, as Recall.inputs says them.
Inputs = Mapping[str, Mapping[str, str]]

_START = "start step"


@dataclass(frozen=True, slots=True)
class Question:
    """A stop until a person answers. write: puts the question into the ledger.

    The runner writes it together with the end of the attempt, so that no kill comes between.
    """

    decision: Decision
    write: Callable[[], object]


def approval_needed(run: Run, asked: PlannedStep, inputs: Inputs, attempts: int) -> Decision | None:
    """The stop before a step that starts, or is tried again, only with an approval; None: it may.

    An approval holds for the parameters and the content of the inputs that it was given for; with
    others it is asked for anew. asked: the step before retries changed its parameters. attempts:
    made in this run so far. What the policy asks no longer is taken back.
    """
    digest = _digest(asked, inputs)
    return _start_waits(run, asked, digest) or _retry_waits(run, asked, digest, attempts)


def publication_waits(run: Run, since: str, *, last: bool) -> Decision | None:
    """The stop at a step that is fresh, but whose models wait for an approval since that run.

    last: no step comes after it. Then a question that another run has asked is told, and this
    run, which has done all that there was to do, ends well; nobody is asked twice.
    """
    for row in run.ledger.approvals(since):
        if row["step"] is None and row["answer"] is None:
            stop = _waiting(since, f"to {row['what']}", "it was asked for, and not given yet")
            if last and since != run.run_id:
                run.note("awaiting", f"run {since} {stop.reason}")
                return None
            run.asked_by = since
            return stop
    return None


def ask_to_retry(
    run: Run, asked: PlannedStep, inputs: Inputs, attempts: int, decision: Decision
) -> Question:
    """A person decides whether a step whose budgets are used up is tried once more."""
    step = asked.manifest.step
    what = _retry(step, attempts)
    return Question(
        _waiting(run.run_id, f"to {what}", decision.reason),
        partial(run.ledger.approval_asked, run.run_id, step, what, _digest(asked, inputs)),
    )


def publication_needed(run: Run, attempted: Attempted) -> Question | None:
    """The stop after a step whose new models wait for an approval; None: nothing waits."""
    awaiting = attempted.result.awaiting if attempted.result else None
    if awaiting is None:
        return None

    def write() -> None:
        # What an earlier attempt of this run had asked about the same models is outdated.
        _take_back(
            run,
            lambda row: row["step"] is None and f" as models/{awaiting.agent}: " in row["what"],
        )
        run.ledger.approval_asked(run.run_id, None, publication(awaiting))

    for earlier in range(1, attempted.spec.attempt):
        folder = version_of(run.around.workspace.root, run.run_id, earlier)
        wait_no_more(run.around.workspace.root, folder)
    return Question(_waiting(run.run_id, "to publish its models", awaiting.reason), write)


def publication(awaiting: Awaiting) -> str:
    """What a person is asked to approve, in the ledger's words."""
    return f"publish {awaiting.version} as models/{awaiting.agent}: {awaiting.reason}"


def is_asked_still(question: Mapping[str, Any], policy: Policy) -> bool:
    """Whether an open question would be asked again by a run that comes to it now."""
    if question["step"] is None:
        return True
    if question["what"].startswith(_START):
        return question["step"] in policy.approvals.before_steps
    return policy.retries.when_used_up == "ask"


def models_in_force(run: Run) -> dict[str, Path]:
    """The version in force by agent, to be noted before an attempt."""
    return versions_in_force(run.around.workspace.root)


def take_back_models(run: Run, attempted: Attempted, before: Mapping[str, Path]) -> None:
    """Put in force again what an attempt that is not accepted has replaced, and say so.

    A step publishes before its result is judged. before: models_in_force before the attempt. Links
    that do not point to this attempt's own version stay; no version is deleted.
    """
    root, spec = run.around.workspace.root, attempted.spec
    own = version_of(root, spec.run_id, spec.attempt).relative_to(root)
    wait_no_more(root, own)  # nobody will be asked about it
    for agent, version in versions_in_force(root).items():
        if version == own and before.get(agent) != own:
            said = f"attempt {spec.attempt} at step {spec.step} was not accepted"
            _turn_back(run, agent, own, partial(before.get, agent), said)


def take_back_unjudged(run: Run) -> None:
    """Put in force again what models have replaced that nobody has judged: their watcher died."""
    root = run.around.workspace.root
    for agent, version in versions_in_force(root).items():
        run_id, _, number = version.name.partition("-attempt")
        died = any(
            row["agent_name"] == agent
            and row["attempt"] == int(number or 1)
            and row["outcome"] is not None
            and row["ended_at"] is None
            for row in run.ledger.attempts(run_id)
        )
        if died:
            said = f"the watcher of run {run_id} died before it had judged them"
            _turn_back(run, agent, version, partial(replaced_by, root, version), said)


def _turn_back(
    run: Run, agent: str, version: Path, before: Callable[[], Path | None], why: str
) -> None:
    root = run.around.workspace.root
    try:
        back = turn_back(root, agent, version, before())
    except (ArtifactError, OSError) as error:
        said = f"models/{agent}: {why}, but they stay in force: {error}"
        run.note("not_turned_back", said, "critical")
        return
    now = f"{back} is in force again" if back else "no models are in force, as before"
    run.note("turned_back", f"models/{agent}: {why}; {now}; these models are kept in {version}")


def _start_waits(run: Run, asked: PlannedStep, digest: str) -> Decision | None:
    manifest = asked.manifest
    step, what = manifest.step, f"{_START} {manifest.step} ({manifest.agent_name})"

    def is_other(row: Mapping[str, Any]) -> bool:
        same = row["what"] == what and row["digest"] == digest
        return row["step"] == step and row["what"].startswith(_START) and not same

    named = step in run.watch.policy.approvals.before_steps
    if not named or run.ledger.is_approved(run.run_id, step, what, digest):
        _take_back(run, lambda row: row["step"] == step and row["what"].startswith(_START))
        return None
    anew = _take_back(run, is_other)
    run.ledger.approval_asked(run.run_id, step, what, digest)
    why = "its parameters or inputs are others than those that were asked about"
    return _waiting(
        run.run_id,
        f"to {what}",
        f"the policy names it in approvals.before_steps{f'; {why}' if anew else ''}",
    )


def _retry_waits(run: Run, asked: PlannedStep, digest: str, attempts: int) -> Decision | None:
    step = asked.manifest.step
    questions = [
        row
        for row in run.ledger.approvals(run.run_id)
        if row["step"] == step
        and not row["what"].startswith(_START)
        and row["answer"] != "withdrawn"
    ]
    if not questions:
        return None
    latest = questions[-1]
    same = latest["digest"] in {"", digest}  # "": kept by a watcher that knew of none
    if run.watch.policy.retries.when_used_up != "ask":
        _take_back(run, lambda row: row in questions)
        return None
    match latest["answer"]:
        case "approved" if same:
            return None
        case None if same:
            return _waiting(run.run_id, f"to {latest['what']}", "nobody has given it yet")
        case "rejected":
            why = "it was rejected before"
        case _:
            why = "its parameters or inputs are others than those that were asked about"
    _take_back(run, lambda row: row in questions)
    what = _retry(step, attempts)
    run.ledger.approval_asked(run.run_id, step, what, digest)
    return _waiting(run.run_id, f"to {what}", why)


def _take_back(run: Run, which: Callable[[dict[str, Any]], bool]) -> Collection[str]:
    """Withdraw open questions of this run; returns their sentences."""
    asked = run.ledger.approvals(run.run_id)
    ids = [row["id"] for row in asked if row["answer"] is None and which(row)]
    if not ids:
        return ()
    return run.ledger.approval_answered(run.run_id, "withdrawn", "the watcher", only=ids)


def _digest(asked: PlannedStep, inputs: Inputs) -> str:
    """Of a step's parameters and the content of its inputs.

    Secrets are masked: a quick hash of a weak one could be guessed from a copied ledger.
    """
    ignored = ignored_parameters(asked.manifest)
    values = {name: value for name, value in asked.values.items() if name not in ignored}
    content = {name: facts["sha256"] for name, facts in inputs.items()}
    return sha256_text(json.dumps({"parameters": mask(values), "inputs": content}, sort_keys=True))


def _retry(step: int, attempts: int) -> str:
    return f"try step {step} again, after {attempts} attempts"


def _waiting(run_id: str, what: str, why: str) -> Decision:
    reason = f"waits for approval {what}: {why}; `watcher --approve {run_id}` gives it"
    return Decision("stop", reason, ExitCode.WAITING_FOR_APPROVAL)
