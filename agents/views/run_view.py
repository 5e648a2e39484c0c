"""Tell people how a run goes, on stderr: in silence, in plain lines, or live on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from rich.console import Console
from rich.text import Text

from agents.attempt import AttemptSpec
from agents.durations import words
from agents.views.screen import SEVERITY_STYLE
from steps.contract import Progress

Level = Literal["info", "warning", "critical"]


class RunView(Protocol):
    """The face that the runner talks to."""

    def say(self, message: str, level: Level = "warning") -> None:
        """A message for people, once."""

    def step(self, spec: AttemptSpec) -> AbstractContextManager[None]:
        """An attempt is on while the context is open."""

    def progress(self, progress: Progress) -> None:
        """A newer snapshot of the attempt that is on."""


class QuietView:
    """Says only what must not be missed."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, message: str, level: Level = "warning") -> None:
        """Print warnings and worse."""
        if level != "info":
            say(self._console, message, level)

    def step(self, spec: AttemptSpec) -> AbstractContextManager[None]:  # noqa: ARG002
        """Show nothing."""
        return contextlib.nullcontext()

    def progress(self, progress: Progress) -> None:
        """Show nothing."""


class PlainView:
    """One line now and then: a new phase, each tenth of the trials, and once a minute."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: tuple[str, int, int] | None = None

    def say(self, message: str, level: Level = "warning") -> None:
        """Print the message."""
        say(self._console, message, level)

    @contextlib.contextmanager
    def step(self, spec: AttemptSpec) -> Iterator[None]:
        """Print that it begins."""
        self._shown = None
        say(self._console, started_line(spec), "info")
        yield

    def progress(self, progress: Progress) -> None:
        """Print a line if the phase, the tenth of the trials done, or the minute is new."""
        trials = sum(family.trials for family in progress.families.values())
        done = sum(family.finished for family in progress.families.values())
        tenth = 10 * done // trials if trials else 0
        stage = (progress.phase, tenth, int(progress.elapsed_s // 60))
        if stage != self._shown:
            self._shown = stage
            say(self._console, progress_line(progress, done, trials), "info")


def say(console: Console, message: str, level: Level) -> None:
    """One message; a long one is left to the terminal to wrap, so that paths stay whole."""
    word = {"info": "", "warning": "warning: ", "critical": "error: "}[level]
    line = Text.assemble((word, SEVERITY_STYLE[level]), message)
    console.print(line, soft_wrap=True)


def started_line(spec: AttemptSpec) -> str:
    """What begins, which attempt it is, how long it may take."""
    attempt = f", attempt {spec.attempt}" if spec.attempt > 1 else ""
    return (
        f"step {spec.step} ({spec.agent_name}){attempt}: {spec.title or spec.module}; "
        f"limit {words(spec.limit_s)}\nrun {spec.run_id}"
    )


def progress_line(progress: Progress, done: int, trials: int) -> str:
    """A snapshot in one line."""
    parts = [f"step {progress.step}", progress.phase]
    if trials:
        parts.append(f"{done} of {trials} trials")
    if best := best_family(progress):
        parts.append(f"best {best[0]} R2 {best[1]:.4f}")
    parts.append(f"{words(progress.elapsed_s)} so far")
    if progress.time_left_s is not None:
        parts.append(f"about {words(progress.time_left_s)} left")
    if progress.message:
        parts.append(progress.message)
    return " | ".join(part for part in parts if part)


def best_family(progress: Progress) -> tuple[str, float] | None:
    """The family that leads, with its mean R2 over folds; None before any trial is ranked."""
    scored = [(f.best, name) for name, f in progress.families.items() if f.best is not None]
    if not scored:
        return None
    best, name = max(scored)
    return name, best
