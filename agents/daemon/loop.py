"""Run the pipeline again and again: every so often, or when a file is new; one run at a time.

When the next run starts is worked out by a pure function on the monotonic clock, so nobody who sets
the wall clock moves it. Clock, sleep, the run itself and the watched files are passed in.
"""

from __future__ import annotations

import hashlib
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol, Self

from agents.durations import words
from agents.errors import Halted, UsageError, WatcherError
from steps.contract import ExitCode
from steps.policies import PolicyError

SHORTEST_EVERY_S = 10.0
LONGEST_EVERY_S = 366 * 86400.0
LOOK_EVERY_S = 0.5
LOOK_AT_HALT_EVERY_S = 1.0
BUSY_AGAIN_S = 60.0

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Level = Literal["info", "warning", "critical"]
Say = Callable[[str, Level], None]

_LEVELS: dict[ExitCode, Level] = {
    ExitCode.DONE: "info",
    ExitCode.HALTED: "warning",
    ExitCode.WAITING_FOR_APPROVAL: "warning",
    ExitCode.NO_SIGNAL: "warning",
    ExitCode.INTERRUPTED: "warning",
}


class Ended(Protocol):
    """What the daemon asks of a run that has ended; a RunReport has it."""

    @property
    def run_id(self) -> str:
        """The run's id."""

    @property
    def exit_code(self) -> ExitCode:
        """What the command would exit with."""

    @property
    def message(self) -> str:
        """One sentence."""


class Changes(Protocol):
    """What the daemon asks of the files it watches."""

    def look(self, now_s: float) -> str | None:
        """The name of a file whose content is new and at rest, or None. now_s: monotonic."""

    def begin(self) -> None:
        """A run starts: what the files hold now is no longer new."""


@dataclass(frozen=True, slots=True)
class DaemonReport:
    """What a daemon did until it was ended. turns: runs tried; failed: those that came to grief."""

    exit_code: ExitCode
    turns: int
    failed: int


def parse_every(text: str) -> float:
    """Seconds from 90s, 30m, 6h, 1d; raises UsageError naming what is taken."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"--every: must be a number with s, m, h or d, such as 30m; got {text!r}")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if not SHORTEST_EVERY_S <= seconds <= LONGEST_EVERY_S:
        raise UsageError(f"--every: must be 10s..366d, got {text.strip()}")
    return seconds


def next_start(last_start_s: float, every_s: float, jitter_s: float, now_s: float) -> float:
    """When the next run starts: an interval and the jitter after the last start, or now.

    Starts that a long run has missed are not made up for. All in seconds, monotonic.
    """
    return max(last_start_s + every_s + jitter_s, now_s)


def jitters(workspace: Path, every_s: float) -> Iterator[float]:
    """Seconds to add to each interval: up to 10 % of it, at most 5 minutes.

    Seeded from the workspace's path: the same there after a restart, another elsewhere, so that
    the workspaces of a machine spread.
    """
    seed = int.from_bytes(hashlib.sha256(str(workspace).encode("utf-8", "replace")).digest()[:8])
    source = random.Random(seed)  # noqa: S311 - nothing secret
    while True:
        yield source.uniform(0.0, min(0.1 * every_s, 300.0))


class Daemon:
    """The loop. Everything it touches is passed in; `work` returns when it is asked to end.

    every_s: seconds between starts, None: only when `changes` names a file. changes: None: only by
    time. run: one whole turn, re-reading manifests and policy. halted: why nothing may start.
    say: tells people. clock, sleep: seconds, monotonic; sleep raises KeyboardInterrupt when asked
    to end (see Asked).
    """

    def __init__(
        self,
        run: Callable[[], Ended],
        halted: Callable[[], str | None],
        say: Say,
        *,
        every_s: float | None,
        jitter: Iterator[float],
        changes: Changes | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if every_s is None and changes is None:
            raise UsageError("--daemon: needs --every or --on-change, got neither")
        self._run = run
        self._halted = halted
        self._say = say
        self._every_s = every_s
        self._jitter = jitter
        self._changes = changes
        self._clock = clock
        self._sleep = sleep
        self._due_s: float | None = clock()  # the first run is at once
        self._said: dict[str, str] = {}
        self._proved = False
        self._turns = self._failed = 0

    def work(self) -> DaemonReport:
        """Stay until SIGTERM or Ctrl-C; a failed run does not end it.

        Raises UsageError or PolicyError for one that shows at the first turn.
        """
        try:
            while True:
                why = self._reason_to_start()
                if why is None:
                    self._sleep(self._nap_s())
                elif self._is_halted():
                    self._sleep(LOOK_AT_HALT_EVERY_S)
                else:
                    code = self._turn(why)
                    if code == ExitCode.INTERRUPTED:
                        return self._report(code)
        except KeyboardInterrupt as asked:
            code = asked.exit_code if isinstance(asked, Asked) else ExitCode.INTERRUPTED
            return self._report(code)

    def _reason_to_start(self) -> str | None:
        now_s = self._clock()
        if self._due_s is not None and now_s >= self._due_s:
            return "it is time"
        name = self._changes.look(now_s) if self._changes else None
        return f"{name} is new" if name else None

    def _nap_s(self) -> float:
        left_s = None if self._due_s is None else max(0.0, self._due_s - self._clock())
        if self._changes is None:
            return left_s if left_s is not None else LOOK_EVERY_S
        return LOOK_EVERY_S if left_s is None else min(left_s, LOOK_EVERY_S)

    def _is_halted(self) -> bool:
        reason = self._halted()
        before = self._said.get("halt")
        if reason is not None:
            self._say_once("halt", f"halted: {reason}; nothing starts until that is gone")
        elif before is not None:
            del self._said["halt"]
            self._say("the halt is gone; going on", "info")
        return reason is not None

    def _turn(self, why: str) -> ExitCode | None:
        """Run once; returns the run's exit code, None if nothing was started."""
        started_s = self._clock()
        self._turns += 1
        if self._changes is not None:
            self._changes.begin()
        self._say(f"starting a run: {why}", "info")
        try:
            ended = self._run()
        except (UsageError, PolicyError) as fault:
            if not self._proved:
                raise
            self._not_started(started_s, str(fault), "critical")
            return None
        except Halted as fault:
            self._not_started(started_s, str(fault), "warning")
            return None
        except (WatcherError, OSError) as fault:
            self._proved = True
            self._not_started(started_s, str(fault), "critical")
            return None
        self._proved = True
        self._said.pop("turn", None)
        level = _LEVELS.get(ended.exit_code, "critical")
        self._failed += level == "critical"
        how = f"run {ended.run_id} ended with {int(ended.exit_code)}: {ended.message}"
        if ended.exit_code == ExitCode.INTERRUPTED:
            self._say(how, level)
            return ended.exit_code
        took_s = self._clock() - started_s
        if self._every_s is not None and took_s > self._every_s:
            self._say_once(
                "slow",
                f"a run took {words(took_s)}, longer than the {words(self._every_s)} between "
                "starts: the next one starts when it has ended, and missed starts are left out",
                key="slow",
            )
        self._due_s = self._next_due(started_s)
        if ended.exit_code == ExitCode.HALTED and self._halted() is not None:
            self._due_s = self._clock()  # its work is not done: goes on as soon as it may
        self._say(f"{how}; {self._then()}", level)
        return ended.exit_code

    def _not_started(self, started_s: float, message: str, level: Level) -> None:
        """The turn came to nothing (busy, halted, no input); it is tried again at the next one."""
        self._failed += level == "critical"
        self._due_s = self._next_due(started_s)
        if self._due_s is None:  # only by change: what is new must not be lost
            self._due_s = self._clock() + BUSY_AGAIN_S
        self._say_once("turn", f"{message}; {self._then()}", level, key=message)

    def _next_due(self, started_s: float) -> float | None:
        if self._every_s is None:
            return None
        return next_start(started_s, self._every_s, next(self._jitter), self._clock())

    def _then(self) -> str:
        watched = "when a watched file is new" if self._changes is not None else ""
        if self._due_s is None:
            return f"the next run starts {watched}"
        left_s = max(0.0, self._due_s - self._clock())
        when = f"the next run starts in {words(left_s)}" if left_s else "the next run starts now"
        return f"{when}, or {watched}" if watched else when

    def _say_once(
        self, about: str, message: str, level: Level = "warning", key: str | None = None
    ) -> None:
        if self._said.get(about) != (key or message):
            self._said[about] = key or message
            self._say(message, level)

    def _report(self, code: ExitCode) -> DaemonReport:
        return DaemonReport(code, self._turns, self._failed)


class Asked(KeyboardInterrupt):
    """The daemon is asked to end; exit_code: 0 for SIGTERM, 130 for Ctrl-C."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class EndOnSignal:
    """Raise Asked once, at once, on SIGTERM or Ctrl-C. Use in the main thread only.

    A run counts both signals itself (agents.interrupts) and puts these handlers back when it ends.
    """

    def __init__(self) -> None:
        self._asked = False

    def __enter__(self) -> Self:
        self._before: dict[signal.Signals, Any] = {
            number: signal.signal(number, self._raise) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        if self._asked:  # already on the way out
            return
        self._asked = True
        raise Asked(ExitCode.DONE if number == signal.SIGTERM else ExitCode.INTERRUPTED)
