"""Watch a running step: its progress, the policy, the halt file, Ctrl-C; say what to do.

Everything that people change while a run is on is seen here, within about a second, and said once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from agents.interrupts import Interrupts
from agents.step_process import Order
from agents.workspace import Workspace, halt_reason
from steps.contract import Progress, StepRequest
from steps.policies import LivePolicy, Policy

LOOK_EVERY_S = 0.5
PROGRESS_EVERY_S = 0.2


class Observer(Protocol):
    """Who is told; implemented by the views, and by tests."""

    def note(self, code: str, message: str) -> None:
        """Something that people must hear of, once."""

    def progress(self, progress: Progress) -> None:
        """A newer snapshot of the running step."""


class Watch:
    """What a run keeps an eye on. `tick` is called often and looks when it is time.

    halt: why nothing may start or go on, as of the last look; None if nothing forbids it.
    """

    def __init__(
        self,
        workspace: Workspace,
        live: LivePolicy,
        interrupts: Interrupts,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace = workspace
        self._live = live
        self._interrupts = interrupts
        self._observer = observer
        self._clock = clock
        self._had_own_policy = workspace.own_policy_file.exists()
        self._next_look = self._next_progress = 0.0
        self._request: StepRequest | None = None
        self._progress_stamp: tuple[int, int] | None = None
        self._said: set[str] = set()
        self.halt: str | None = None

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._live.current

    def follow(self, request: StepRequest | None) -> None:
        """Follow the progress of this attempt from now on."""
        self._request = request
        self._progress_stamp = None

    def tick(self) -> Order:
        """What the running step must be told now."""
        now = self._clock()
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_EVERY_S
            self._look_at_progress()
        if self._interrupts.count >= 2:
            self._say("interrupt", "interrupted again: killing the step and all it has started")
            return "kill"
        if self._interrupts.count == 1:
            self._say(
                "interrupt", "interrupted: the step stops at its next safe point; again to kill it"
            )
            return "interrupt"
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY_S
            self.look()
        return "halt" if self.halt else None

    def look(self) -> str | None:
        """Read policy and halt file now; returns why nothing may start, or None."""
        change = self._live.refresh()
        if change is not None and change.problem:
            self._observer.note(
                "policy_problem", f"{change.problem}; the policy before it stays in force"
            )
        if change is not None and change.changed:
            self._observer.note("policy_changed", f"policy changed: {'; '.join(change.changed)}")
        if not self._had_own_policy and self._workspace.own_policy_file.exists():
            self._say(
                "policy_appeared",
                f"{self._workspace.own_policy_file.name} is new here and counts from the next run "
                f"on; to stop this one, make {self._workspace.halt_file.name}",
            )
        before, self.halt = self.halt, halt_reason(self._workspace, self._live.current)
        if self.halt and not before:
            self._observer.note("halt", f"halt: {self.halt}; stopping at the next safe point")
        return self.halt

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C (or SIGTERM) came at least once."""
        return self._interrupts.count > 0

    def _say(self, code: str, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._observer.note(code, message)

    def _look_at_progress(self) -> None:
        if self._request is None:
            return
        path = self._request.progress_path
        try:
            stat = path.stat()
        except OSError:
            return
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp == self._progress_stamp:
            return
        self._progress_stamp = stamp
        try:
            progress = read_progress(path, self._request)
        except ValueError as error:
            self._say("bad_progress", f"{path}: cannot be shown: {error}")
        else:
            self._observer.progress(progress)


def read_progress(path: Path, request: StepRequest) -> Progress:
    """Read a snapshot; raises ValueError if it is unreadable or another attempt's."""
    try:
        progress = Progress.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except OSError as error:
        raise ValueError(str(error)) from None
    if (progress.run_id, progress.step, progress.attempt) != (
        request.run_id,
        request.step,
        request.attempt,
    ):
        raise ValueError(f"it is of run {progress.run_id}, attempt {progress.attempt}")
    return progress
