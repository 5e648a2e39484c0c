"""Commands by which people steer: --init, --halt, --clear-halt, --approve."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from agents.answer import Answer
from agents.commands.surroundings import local_now, policy_reader
from agents.halt import clear_halt, person, write_halt
from agents.workspace import Workspace
from steps.contract import ExitCode


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
    lines = [
        f"halt: {written.reason}. What runs here stops at its next safe point; nothing starts."
    ]
    if written.before is not None:
        lines.append(f"It was halted before: {written.before}")
    lines.append("To go on: watcher --clear-halt && watcher --run-pipeline --resume")
    document = {
        "status": "halted",
        "exit_code": int(ExitCode.DONE),
        "reason": written.reason,
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
    from agents.gates import approve as give_approval

    workspace = Workspace.open(flags.workspace)
    given = give_approval(workspace, flags.approve, flags.note or "", local_now)
    lines = [f"Approved by {given.by}, run {given.run_id}:"]
    lines += [f"  {what}" for what in given.what]
    if given.published is not None:
        lines.append(f"Published: {given.published} is the winner in force.")
    lines.append("To go on: watcher --run-pipeline --resume")
    document = {
        "status": "approved",
        "exit_code": int(ExitCode.DONE),
        "run_id": given.run_id,
        "by": given.by,
        "what": list(given.what),
        "published": given.published,
    }
    return Answer(ExitCode.DONE, document, lambda console: _say(console, lines))


def _say(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)
