"""Say what to do next after what ran last, in commands that a shell takes as they stand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

from agents.decide import TRAINING_STEP
from agents.errors import UsageError
from agents.manifests import Manifest
from agents.reports.run_status import RunStatus
from agents.workspace import WINNER_SIDECAR, Workspace

RUN_STEP_5 = "watcher --run-pipeline --start-step 5 --end-step 5"
RESUME = "watcher --run-pipeline --resume"
UNFINISHED = frozenset({"failed", "halted", "interrupted", "waiting"})


def next_steps(
    workspace: Workspace,
    run: RunStatus | None,
    *,
    halt: str | None,
    policy_problem: str | None,
    has_winner: bool,
    read_manifests: Callable[[], tuple[Manifest, ...]],
) -> tuple[str, ...]:
    """One line each. run: the last one; halt: why nothing may start; None where there is none."""
    if policy_problem:
        return (f"mend the policy: {policy_problem}",)
    if run is not None and run.state == "running":
        stop = 'to stop it at its next safe point: watcher --halt "WHY"'
        return (f"its log: {run.attempts[-1].log_path}", stop) if run.attempts else (stop,)
    if halt:
        return _while_halted(workspace, run, halt)
    if run is not None and run.state == "waiting":
        return _after_waiting(run)
    elsewhere = _asked_elsewhere(run) if run is not None else ()
    if run is not None and run.state in {"failed", "interrupted", "halted", "refused"}:
        return (*_after_failure(run), *elsewhere)
    if has_winner:
        return (
            *elsewhere,
            "score new rows: watcher --predict TABLE --output predictions.csv",
            f"the winner's sidecar: {WINNER_SIDECAR}",
        )
    return (*elsewhere, *_first_steps(workspace, read_manifests))


def _while_halted(workspace: Workspace, run: RunStatus | None, halt: str) -> tuple[str, ...]:
    # A policy that says halt is taken back where it was said.
    clear = ("to take it back: watcher --clear-halt",) if workspace.halt_file.exists() else ()
    unfinished = run is not None and run.kind == "pipeline" and run.state in UNFINISHED
    then = (f"then go on where it stopped: {RESUME}",) if unfinished else ()
    return (f"nothing will start while this holds: {halt}", *clear, *then)


def _after_waiting(run: RunStatus) -> tuple[str, ...]:
    if not run.waits_for:
        return (f"to go on: {RESUME}",)
    asked = tuple(f"it waits for an approval: {what}" for what in run.waits_for)
    # Where only its models wait, the answer may end the run; what follows is said with it.
    own = [question for question in run.questions if question.run_id == run.run_id]
    ends = own and all(question.step is None for question in own)
    return (*asked, _to_answer(run.asked_by), *(() if ends else (f"then go on: {RESUME}",)))


def _asked_elsewhere(run: RunStatus) -> tuple[str, ...]:
    """The questions of other runs, with the commands that answer them."""
    lines: list[str] = []
    for run_id in dict.fromkeys(question.run_id for question in run.questions):
        if run_id != run.run_id:
            asked = [question.what for question in run.questions if question.run_id == run_id]
            lines += [f"run {run_id} waits for an approval: {what}" for what in reversed(asked)]
            lines.append(_to_answer(run_id))
    return tuple(lines)


def _to_answer(run_id: str) -> str:
    return f"to approve: watcher --approve {run_id}; to refuse: watcher --reject {run_id}"


def _after_failure(run: RunStatus) -> tuple[str, ...]:
    """What helps depends on what went wrong: the same line again is not always the answer."""
    pipeline = run.kind == "pipeline"
    if not run.attempts:
        again = RESUME if pipeline else "run it again"
        return (f"no step was started; once the reason above is gone: {again}",)
    last = run.attempts[-1]
    log = f"read {last.log_path}"
    resume = (
        f"to go on where it stopped: {RESUME}"
        if pipeline
        else "then run it again, with the same line as before"
    )
    match last.outcome:
        case "bad_input" | "usage":
            return (
                "mend the input first: the table, or the parameters, that the message above names",
                "the same line again, with the same input, would end the same way",
            )
        case "no_signal":
            return (f"predictions are refused until a run finds a signal; read {last.log_path}",)
        case "blocked":
            return (f"mend the policy first; {resume}",)
        case "out_of_memory":
            less = 'ask for fewer "slots" in --params, or free memory'
            return (log, f"{less}; then run it again")
        case "halted" | "interrupted" | "timeout" | None:
            return (log, resume)
        case "complete":  # what stopped the run came between two steps
            return (f"once the reason above is gone, {resume}",)
        case _:
            return (log, "then run it again, with the same line as before")


def _first_steps(
    workspace: Workspace, read_manifests: Callable[[], tuple[Manifest, ...]]
) -> tuple[str, ...]:
    try:
        manifests = read_manifests()
    except UsageError as error:
        return (f"mend the manifest: {error}",)
    training = [m for m in manifests if m.step == TRAINING_STEP]
    tables_read = [spec for m in training for spec in m.inputs if spec.required]
    candidates = [candidate for spec in tables_read for candidate in spec.candidates]
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
