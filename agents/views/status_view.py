"""Print what --status gathered: the run that is on or was last, and what to do next."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from agents.durations import words
from agents.reports.status import AttemptStatus, RunStatus, Status
from agents.views.live import families_table
from agents.views.result import attempt_words, byte_size, outcome_words, show_result
from agents.views.run_view import progress_line
from agents.views.screen import STATE_STYLE, first_line, heading, pairs, plain_table
from agents.workspace import Workspace
from steps.contract import RESULT_FILE

# Decisions that the table of attempts does not tell, and the events that say the same again.
_TOLD_DECISIONS = ("skip", "retry")
_TOLD_BY_DECISIONS = ("skipped", "retry")


def show_status(console: Console, status: Status) -> None:
    """The whole of --status."""
    workspace = Workspace(status.workspace)
    if status.run is None:
        console.print(Text("Nothing has run here yet.", style="bold"))
    else:
        _show_run(console, status.run, status, workspace)
    if status.policy_problem:
        console.print(Text(f"policy problem: {status.policy_problem}", style="red"), soft_wrap=True)
    if status.halt:
        console.print(Text(f"halt: {status.halt}", style="yellow"), soft_wrap=True)
    console.print()
    heading(console, "Next")
    for line in status.next_steps:
        console.print(Text(f"  {line}"), soft_wrap=True)


def _show_run(console: Console, run: RunStatus, status: Status, workspace: Workspace) -> None:
    style = STATE_STYLE.get(run.state, "")
    code = "" if run.exit_code is None else f", exit code {run.exit_code}"
    head = Text.assemble((run.state, f"bold {style}"), code)
    took_s = ((run.ended_at or status.now) - run.started_at).total_seconds()
    running = run.state == "running"
    head.append(f"\nbegan {run.started_at:%Y-%m-%d %H:%M:%S}")
    if run.resumed:
        head.append(f", resumed {run.resumed} times" if run.resumed > 1 else ", resumed once")
    if running or run.ended_at:
        head.append(f", {'for' if running else 'took'} {words(max(0.0, took_s))}")
    if run.message and run.state != "complete":
        whole = run.attempts[-1].folder / RESULT_FILE if run.attempts else workspace.ledger_file
        head.append(f"\n{first_line(run.message, workspace.shown(whole))}")
    if running:
        head.append(f"\nwatcher: pid {run.watcher.pid} on {run.watcher.host}")
    title = f"run {run.run_id}" + ("" if run.kind == "pipeline" else f" ({run.kind})")
    console.print(Panel(head, title=title, title_align="left", border_style=style, padding=(0, 1)))
    table = plain_table("step", "name", "attempt", "outcome", "time")
    for attempt in run.attempts:
        table.add_row(
            str(attempt.step),
            attempt.agent_name,
            str(attempt.attempt),
            attempt.outcome or run.state,
            words(attempt.duration_s) if attempt.duration_s is not None else "",
        )
    if run.attempts:
        console.print(table)
        _show_last(console, run.attempts[-1], running, workspace)
    for decision in run.decisions:
        if decision["action"] in _TOLD_DECISIONS:
            console.print(_decision_line(decision, workspace), soft_wrap=True)
    for event in run.events:
        if event["code"] in _TOLD_BY_DECISIONS:
            continue
        said = first_line(event["message"], workspace.shown(workspace.ledger_file))
        console.print(Text(f"  {event['code']}: {said}", style="dim"), soft_wrap=True)


def _decision_line(decision: dict[str, Any], workspace: Workspace) -> Text:
    said = first_line(decision["reason"], workspace.shown(workspace.ledger_file))
    what = f"step {decision['step']}"
    if decision["action"] == "skip":
        return Text(f"  {what} skipped: {said}")
    changes = [f"{name} = {json.dumps(value)}" for name, value in decision["changes"].items()]
    how = " and ".join(changes) or "the same parameters"
    return Text(f"  {what} tried again after attempt {decision['attempt']}, with {how}: {said}")


def _show_last(
    console: Console, attempt: AttemptStatus, running: bool, workspace: Workspace
) -> None:
    console.print()
    progress = attempt.progress
    whole = workspace.shown(attempt.folder / RESULT_FILE)
    if running and progress is not None:
        trials = sum(family.trials for family in progress.families.values())
        done = sum(family.finished for family in progress.families.values())
        console.print(progress_line(progress, done, trials))
        if progress.families:
            console.print(families_table(progress))
    if attempt.result is not None and attempt.result.status != "failed":
        what = attempt_words(attempt.folder.name, attempt.step)
        title = f"{what}: {outcome_words(attempt.outcome or '')}"
        show_result(console, attempt.result, title, whole)
    elif attempt.message:
        asked = attempt.outcome in {"bad_input", "usage", "blocked"}
        said = attempt.message if asked else first_line(attempt.message, whole)
        console.print(Text(said), soft_wrap=True)
    rows = [("log", workspace.shown(attempt.log_path))]
    if attempt.result is not None:
        rows += [(byte_size(output.bytes), output.path) for output in attempt.result.outputs]
    console.print()
    heading(console, f"Files in {workspace.root}")
    pairs(console, rows)
