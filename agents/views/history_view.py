"""Print what --history gathered: a run a row, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from agents.durations import words
from agents.reports.history import History, PastRun
from agents.views.screen import STATE_STYLE, plain_table

_MESSAGE_CHARACTERS = 100
# What the last step came to, by the run's state; "failed" stands for itself.
_STOPPED = {"failed": "failed", "waiting": "waits", "refused": "found no signal"}


def show_history(console: Console, history: History) -> None:
    """The whole of --history; fits 80 columns."""
    if not history.runs:
        console.print(Text("Nothing has run here yet.", style="bold"))
        return
    table = plain_table("run", "state", "took", "what came of it")
    for run in history.runs:
        state = Text(run.state, style=STATE_STYLE.get(run.state, ""))
        took = "" if run.duration_s is None else words(run.duration_s)
        table.add_row(run.run_id, state, took, _what_came_of_it(run))
    console.print(table)
    console.print()
    if history.more:
        console.print(
            Text(f"There are older runs: watcher --history --limit {5 * len(history.runs)}")
        )
    console.print(Text("Why a run went as it did: watcher --explain RUN"))


def _what_came_of_it(run: PastRun) -> Text:
    facts: list[str] = [] if run.kind == "pipeline" else [run.kind]
    if run.kind == "pipeline":
        facts += _steps("done", run.steps_done)
        facts += _steps("skipped", run.steps_skipped)
        facts += _steps(_STOPPED.get(run.state, "stopped"), run.steps_failed)
    if run.retries:
        facts.append("1 retry" if run.retries == 1 else f"{run.retries} retries")
    if run.resumed:
        facts.append("resumed" if run.resumed == 1 else f"resumed {run.resumed} times")
    if run.winner:
        facts.append(f"winner {run.winner}")
    line = " ".join(run.message.split())
    if len(line) > _MESSAGE_CHARACTERS:
        line = line[: _MESSAGE_CHARACTERS - 4] + " ..."
    return Text.assemble("; ".join(facts), ("\n" if facts and line else "", ""), (line, "dim"))


def _steps(word: str, numbers: Sequence[int]) -> list[str]:
    if not numbers:
        return []
    return [f"step{'s' if len(numbers) > 1 else ''} {_listed(numbers)} {word}"]


def _listed(numbers: Sequence[int]) -> str:
    """0, 2..5"""
    # Numbers that follow each other are as far from their places.
    rows = groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ranges = [[number for _, number in row] for _, row in rows]
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}..{r[-1]}" for r in ranges)
