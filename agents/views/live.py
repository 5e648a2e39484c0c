"""Show a running step on a terminal: one row a family, redrawn in place, gone when it ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from agents.attempt import AttemptSpec
from agents.durations import clock, words
from agents.views.run_view import Level, best_family, say, started_line
from steps.contract import FamilyProgress, Progress

_REDRAWS_A_SECOND = 4


class LiveView:
    """A progress panel under the messages."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._panel: _Panel | None = None

    def say(self, message: str, level: Level = "warning") -> None:
        """Print the message above the panel."""
        say(self._console, message, level)

    @contextlib.contextmanager
    def step(self, spec: AttemptSpec) -> Iterator[None]:
        """Draw the panel while the attempt is on."""
        say(self._console, started_line(spec), "info")
        self._panel = _Panel()
        with Live(
            self._panel,
            console=self._console,
            refresh_per_second=_REDRAWS_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield
        self._panel = None

    def progress(self, progress: Progress) -> None:
        """Show this snapshot from the next redraw on."""
        if self._panel is not None:
            self._panel.take(progress)


class _Panel:
    """Drawn by rich's refresh thread; take() replaces one reference, which needs no lock."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._spinner = Spinner("dots")
        self._latest: tuple[Progress, float] | None = None

    def take(self, progress: Progress) -> None:
        self._latest = (progress, time.monotonic())

    def __rich__(self) -> RenderableType:
        now = time.monotonic()
        head = Table.grid(padding=(0, 1))
        if self._latest is None:
            head.add_row(self._spinner, f"starting, {clock(now - self._started)}")
            return head
        progress, taken_at = self._latest
        head.add_row(self._spinner, _head_line(progress, now - taken_at, now - self._started))
        parts: list[RenderableType] = [head]
        if progress.families:
            parts.append(families_table(progress))
        if progress.message:
            parts.append(Text(f"  {progress.message}", overflow="ellipsis", no_wrap=True))
        return Group(*parts)


def families_table(progress: Progress) -> Table:
    """One row a family: name, bar, trials in a final state, what trains now, best R2 so far."""
    leader = best_family(progress)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(width=20)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name, family in progress.families.items():
        leads = leader is not None and leader[0] == name
        best = "" if family.best is None else f"best R2 {family.best:.4f}"
        table.add_row(
            Text(f"  {name}", style="bold" if leads else ""),
            ProgressBar(total=max(family.trials, 1), completed=family.finished, width=20),
            f"{family.finished}/{family.trials}",
            Text(best, style="bold green" if leads else ""),
            _running(family),
        )
    return table


def _head_line(progress: Progress, age_s: float, elapsed_s: float) -> Text:
    line = Text.assemble((progress.phase or "running", "bold"), f", {clock(elapsed_s)} so far")
    if progress.time_left_s is not None:
        line.append(f", about {words(max(0.0, progress.time_left_s - age_s))} left")
    return line


def _running(family: FamilyProgress) -> Text:
    lost = [
        f"{count} {word}"
        for count, word in ((family.pruned, "pruned"), (family.failed, "failed"))
        if count
    ]
    now = [f"trial {trial.trial} fold {trial.fold}/{trial.folds}" for trial in family.running[:2]]
    more = len(family.running) - len(now)
    words_now = ", ".join(now) + (f" +{more}" if more > 0 else "")
    return Text("; ".join(part for part in (words_now, ", ".join(lost)) if part), style="dim")
