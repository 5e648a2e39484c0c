"""Watch a running step: its progress, the policy, the halt file, Ctrl-C; say what to do.

Everything that people change while a run is on is seen here, within about a second, and said once.
Files are read in threads of their own: one that hangs (a network mount) stalls no time limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from agents.background import Background
from agents.durations import words
from agents.interrupts import Interrupts
from agents.step_process import Order
from agents.workspace import Workspace, halt_reason
from steps.contract import Progress, StepRequest
from steps.policies import LivePolicy, Policy, PolicyChange

LOOK_EVERY_S = 0.5
PROGRESS_EVERY_S = 0.2
SLOW_S = 10.0


class Observer(Protocol):
    """Who is told; implemented by the views, and by tests."""

    def note(self, code: str, message: str) -> None:
        """Something that people must hear of, once, and that is kept."""

    def warn(self, message: str) -> None:
        """The same, said at once and kept nowhere: the disk may be what hangs."""

    def progress(self, progress: Progress) -> None:
        """A newer snapshot of the running step."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What people want, as of one look.

    change: None where the policy is as at the look before. halt: why nothing may start or go on.
    own_policy: whether the workspace has a policy file.
    """

    change: PolicyChange | None
    halt: str | None
    own_policy: bool


class Watch:
    """What a run keeps an eye on. `tick` is called often and looks when it is time.

    halt: why nothing may start or go on, as of the last look; None if nothing forbids it. read:
    reads what people want; called in another thread, never twice at a time.
    """

    def __init__(
        self,
        workspace: Workspace,
        live: LivePolicy,
        interrupts: Interrupts,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[], Wishes] | None = None,
    ) -> None:
        self._workspace = workspace
        self._policy = live.current
        self._interrupts = interrupts
        self._observer = observer
        self._clock = clock
        self._had_own_policy = workspace.own_policy_file.exists()
        self._looks = Background(read or partial(read_wishes, workspace, live), "watch")
        self._snapshots: Background[Progress | str | None] | None = None
        self._next_look = self._next_progress = self._asked_s = 0.0
        self._is_slow = False
        self._stop_asked_s: float | None = None
        self._said: set[str] = set()
        self.halt: str | None = None

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    def follow(self, request: StepRequest | None) -> None:
        """Follow the progress of this attempt from now on."""
        self._snapshots = Background(Snapshots(request).newer, "progress") if request else None
        self._stop_asked_s = None

    def tick(self) -> Order:
        """What the running step must be told now; never waits for a file."""
        now = self._clock()
        self._look_at_progress(now)
        if now >= self._next_look:
            self._begin_look(now)
        self._heed(now)
        if self.interrupted_again:
            self._say("interrupt", "interrupted again: killing the step and all it has started")
            return "kill"
        order: Order = "interrupt" if self.interrupted else "halt" if self.halt else None
        if order == "interrupt":
            self._say(
                "interrupt", "interrupted: the step stops at its next safe point; again to kill it"
            )
        if order is not None and self._stop_asked_s is None:
            self._stop_asked_s = now
        return "give_up" if self._has_not_stopped(now) else order

    def look(self, limit_s: float = SLOW_S) -> str | None:
        """Read policy and halt file now; returns why nothing may start, or None.

        limit_s: seconds; what has not been read by then counts as at the look before.
        """
        if self._looks.wait(limit_s):  # one under way may have begun before what is asked for
            self._begin_look(self._clock())
            self._looks.wait(limit_s)
        self._heed(self._clock())
        return self.halt

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C (or SIGTERM) came at least once."""
        return self._interrupts.count > 0

    @property
    def interrupted_again(self) -> bool:
        """Whether it came twice: now."""
        return self._interrupts.count > 1

    def _begin_look(self, now: float) -> None:
        if not self._looks.is_asking:
            self._asked_s = now
            self._next_look = now + LOOK_EVERY_S
            self._looks.begin()

    def _heed(self, now: float) -> None:
        """Take in what has been read since the last time."""
        for wishes in self._looks.answers():
            self._take(wishes)
            if self._is_slow:
                self._is_slow = False
                message = f"{self._files} answer again, after {words(now - self._asked_s)}"
                self._observer.note("slow_policy", message)
        if self._looks.is_asking and now - self._asked_s >= SLOW_S and not self._is_slow:
            self._is_slow = True
            self._observer.warn(
                f"{self._files} have not answered for {words(SLOW_S)}; what they last said counts"
            )

    @property
    def _files(self) -> str:
        names = (self._workspace.own_policy_file.name, self._workspace.halt_file.name)
        return f"{' and '.join(names)} in {self._workspace.root}"

    def _take(self, wishes: Wishes) -> None:
        change = wishes.change
        if change is not None and change.problem:
            self._observer.note(
                "policy_problem", f"{change.problem}; the policy before it stays in force"
            )
        if change is not None and change.changed:
            self._observer.note("policy_changed", f"policy changed: {'; '.join(change.changed)}")
        if change is not None:
            self._policy = change.policy
        if not self._had_own_policy and wishes.own_policy:
            self._say(
                "policy_appeared",
                f"{self._workspace.own_policy_file.name} is new here and counts from the next run "
                f"on; to stop this one, make {self._workspace.halt_file.name}",
            )
        before, self.halt = self.halt, wishes.halt
        if self.halt and not before:
            self._observer.note("halt", f"halt: {self.halt}; stopping at the next safe point")

    def _has_not_stopped(self, now: float) -> bool:
        """Whether a step that was asked to stop has used up its time for that."""
        grace_s = self._policy.steps.halt_grace_s
        asked_s = self._stop_asked_s
        if self._snapshots is None or asked_s is None or now - asked_s < grace_s:
            return False
        self._say(
            "not_stopped",
            f"the step did not stop within {words(grace_s)} (steps.halt_grace_s) of being asked: "
            "killing it and all it has started",
        )
        return True

    def _say(self, code: str, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._observer.note(code, message)

    def _look_at_progress(self, now: float) -> None:
        if self._snapshots is None:
            return
        for snapshot in self._snapshots.answers():
            if isinstance(snapshot, Progress):
                self._observer.progress(snapshot)
            elif snapshot is not None:
                self._say("bad_progress", snapshot)
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_EVERY_S
            self._snapshots.begin()


def read_wishes(workspace: Workspace, live: LivePolicy) -> Wishes:
    """Read the policy and the halt file; both may hang."""
    change = live.refresh()
    # Path.exists raises where the folder may not be searched.
    has_own = os.path.exists(workspace.own_policy_file)  # noqa: PTH110
    return Wishes(change, halt_reason(workspace, live.current), has_own)


class Snapshots:
    """The progress file of one attempt."""

    def __init__(self, request: StepRequest) -> None:
        self._request = request
        self._stamp: tuple[int, int] | None = None

    def newer(self) -> Progress | str | None:
        """A snapshot that is new; a text, why it cannot be shown; None where nothing is new."""
        path = self._request.progress_path
        try:
            stat = path.stat()
        except OSError:
            return None
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            return read_progress(path, self._request)
        except ValueError as error:
            return f"{path}: cannot be shown: {error}"


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
