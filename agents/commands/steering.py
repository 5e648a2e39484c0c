"""Commands by which people steer: lay out, halt, answer what a run asks, clear what is skipped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from agents.answer import Answer
from agents.commands.surroundings import local_now, policy_reader
from agents.errors import WorkspaceBusy, WorkspaceError
from agents.halt import clear_halt, person, write_halt
from agents.lock import Holder, read_holder, refuse_if_busy
from agents.workspace import Workspace
from steps.contract import ExitCode
from steps.policies import SkipPolicy

if TYPE_CHECKING:
    from agents.approvals import Answered


def init(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Lay out a workspace; keeps what is there."""
    from agents.init import lay_out
    from agents.views.init_view import show_laid_out

    laid_out = lay_out(flags.init)
    document = {
        "status": "ok",
        "exit_code": int(ExitCode.DONE),
        "workspace": str(laid_out.folder),
        "created": list(laid_out.created),
        "kept": list(laid_out.kept),
    }
    return Answer(ExitCode.DONE, document, lambda console: show_laid_out(console, laid_out))


def halt(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Stop what runs at its next safe point; start nothing."""
    workspace = Workspace.open(flags.workspace)
    written = write_halt(workspace, flags.halt, person(), local_now())
    holder, said = _at_work(workspace)
    lines = [f"halt: {written.reason}", said]
    if written.before is not None:
        lines.append(f"It was halted before: {written.before}")
    if holder is not None:
        lines.append("To go on: watcher --clear-halt && watcher --run-pipeline --resume")
    document = {
        "status": "halted",
        "exit_code": int(ExitCode.DONE),
        "reason": written.reason,
        "workspace": str(workspace.root),
        "watcher": holder.model_dump(mode="json") if holder else None,
        "before": written.before,
        "file": str(written.path),
    }
    return Answer(ExitCode.DONE, document, lambda console: _say(console, lines))


def lift(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Take the halt back; exit code 10 if the policy halts all the same."""
    workspace = Workspace.open(flags.workspace)
    cleared = clear_halt(workspace, policy_reader(workspace))
    lines = (
        ["There was no halt."]
        if cleared.before is None
        else [f"The halt is gone: {cleared.before}"]
    )
    if cleared.still is not None:
        lines.append(f"Nothing will start all the same: {cleared.still}")
    else:
        lines.append("To go on where it stopped: watcher --run-pipeline --resume")
    code = ExitCode.HALTED if cleared.still is not None else ExitCode.DONE
    document = {
        "status": "halted" if cleared.still else "ok",
        "exit_code": int(code),
        "before": cleared.before,
        "still": cleared.still,
    }
    return Answer(code, document, lambda console: _say(console, lines))


def approve(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Let a run go on that waits for a person."""
    from agents.approvals import approve as give_approval

    workspace = Workspace.open(flags.workspace)
    return _answered(give_approval(workspace, flags.approve, flags.note or "", local_now))


def reject(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Refuse what a run waits for; the models in force stay."""
    from agents.approvals import reject as refuse

    workspace = Workspace.open(flags.workspace)
    return _answered(refuse(workspace, flags.reject, flags.note or "", local_now))


def _answered(given: Answered) -> Answer:
    lines = [f"{given.answer.capitalize()} by {given.by}, run {given.run_id}:"]
    lines += [f"  {what}" for what in given.what]
    if given.published is not None:
        lines.append(f"Published: {given.published} is the winner in force.")
    lines += [f"{line[0].upper()}{line[1:]}" for line in given.next_steps]
    document = {
        "status": given.answer,
        "exit_code": int(ExitCode.DONE),
        "run_id": given.run_id,
        "by": given.by,
        "what": list(given.what),
        "published": given.published,
        "next": list(given.next_steps),
    }
    return Answer(ExitCode.DONE, document, lambda console: _say(console, lines))


def skip_clear(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Forget a family's critical results, so that it may train again."""
    from agents.lock import only_watcher
    from agents.reports.skips import gather_skips, require_family
    from steps.step5_training.skip_registry import clear, registry_file

    workspace = Workspace.open(flags.workspace)
    family: str = flags.skip_clear
    require_family(gather_skips(workspace, SkipPolicy(), local_now()), family)
    # The file has one writer at a time; the other one is Step 5, at the end of a run.
    with only_watcher(workspace, f"skip-clear {family}", local_now()):
        entry, said = clear(registry_file(workspace.root), family, local_now())
    line = f"No critical result of {family} was counted: it may train as it is."
    if entry is not None and entry.consecutive_critical:
        line = f"{family}: {entry.told} forgotten. It may train in the next run."
    document = {
        "status": "ok",
        "exit_code": int(ExitCode.DONE),
        "family": family,
        "forgotten": entry.model_dump(mode="json") if entry else None,
        "faults": list(said),
    }
    return Answer(ExitCode.DONE, document, lambda console: _say(console, [*said, line]))


def _at_work(workspace: Workspace) -> tuple[Holder | None, str]:
    """The watcher that works here, and what a halt means for it or without it."""
    try:
        refuse_if_busy(workspace)
    except WorkspaceBusy:
        holder = read_holder(workspace)
        who = holder or "its name is not written yet"
        stops = "it stops at its next safe point, and nothing starts until --clear-halt"
        return holder, f"A watcher works in {workspace.root}: {who}; {stops}."
    except WorkspaceError as error:
        return None, f"Whether a watcher works in {workspace.root} cannot be told: {error}."
    until = "nothing will start here until --clear-halt"
    return None, f"No watcher works in {workspace.root}; {until}."


def _say(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)
