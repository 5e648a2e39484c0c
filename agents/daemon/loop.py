"""Run the pipeline again and again: every so often, or when a file is new; one run at a time.

When the next run starts is worked out on the monotonic clock, so nobody who sets the wall clock
moves it. Clock, sleep, the run itself and the watched files are passed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from agents.daemon.ending import Asked
from agents.daemon.schedule import next_start
from agents.durations import words
from agents.errors import Halted, UsageError, WatcherError, WorkspaceBusy
from steps.contract import ExitCode
from steps.policies import PolicyError

LOOK_EVERY_S = 0.5
LOOK_AT_HOLD_EVERY_S = 1.0
BUSY_AGAIN_S = 60.0
LONGEST_AGAIN_S = 3600.0

Level = Literal["info", "warning", "critical"]
Say = Callable[[str, Level], None]

_LEVELS: dict[ExitCode, Level] = {
    ExitCode.DONE: "info",
    ExitCode.HALTED: "warning",
    ExitCode.WAITING_FOR_APPROVAL: "warning",
    ExitCode.NO_SIGNAL: "warning",
    ExitCode.INTERRUPTED: "warning",
}


# What was stopped before its end, and is gone on with.
_NOT_DONE = frozenset({ExitCode.HALTED, ExitCode.WAITING_FOR_APPROVAL})


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


class NothingToDo(Exception):
    """A turn has found that nothing is to be done; the message says why."""


class Daemon:
    """The loop. Everything it touches is passed in; `work` returns when it is asked to end.

    every_s: seconds between starts, None: only when `changes` names a file. changes: None: only by
    time. run: one whole turn, re-reading manifests and policy. held: why nothing may start, a
    sentence. asked: what to end with once people have asked during a turn, else None. say: tells
    whoever looks on; cannot_start: tells people who do not, once for each reason. clock, sleep:
    seconds, monotonic; sleep raises KeyboardInterrupt when asked to end (see Asked).
    """

    def __init__(
        self,
        run: Callable[[], Ended],
        held: Callable[[], str | None],
        say: Say,
        *,
        every_s: float | None,
        jitter: Iterator[float],
        changes: Changes | None,
        asked: Callable[[], ExitCode | None],
        cannot_start: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if every_s is None and changes is None:
            raise UsageError("--daemon: needs --every or --on-change, got neither")
        self._run = run
        self._held = held
        self._say = say
        self._every_s = every_s
        self._jitter = jitter
        self._changes = changes
        self._asked = asked
        self._cannot_start = cannot_start
        self._clock = clock
        self._sleep = sleep
        self._due_s: float | None = clock()  # the first run is at once
        self._again_s = BUSY_AGAIN_S
        self._said: dict[str, str] = {}
        self._told: set[str] = set()
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
                elif self._is_held():
                    self._sleep(LOOK_AT_HOLD_EVERY_S)
                else:
                    code = self._turn(why)
                    asked = self._asked()
                    if asked is not None or code == ExitCode.INTERRUPTED:
                        return self._report(ExitCode.INTERRUPTED if asked is None else asked)
        except KeyboardInterrupt as asked_now:
            code = asked_now.exit_code if isinstance(asked_now, Asked) else ExitCode.INTERRUPTED
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

    def _is_held(self) -> bool:
        why = self._held()
        if why is not None:
            self._say_once("hold", why)
        elif self._said.pop("hold", None) is not None:
            self._say("nothing holds it up any more; going on", "info")
        return why is not None

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
            self._tell(str(fault))
            if not self._proved:
                raise
            self._not_started(started_s, str(fault), "critical")
            return None
        except NothingToDo as found:
            self._proved = True
            self._due_s = self._next_due(started_s)
            self._say(f"{found}; {self._then()}", "info")
            return None
        except Halted as fault:
            self._not_started(started_s, str(fault), "warning")
            return None
        except WorkspaceBusy as fault:
            self._proved = True
            self._not_started(started_s, str(fault), "critical")
            return None
        except (WatcherError, OSError) as fault:
            self._proved = True
            self._tell(str(fault))
            self._not_started(started_s, str(fault), "critical")
            return None
        self._proved = True
        self._said.pop("turn", None)
        self._told.clear()
        level = _LEVELS.get(ended.exit_code, "critical")
        self._failed += level == "critical"
        how = f"run {ended.run_id} ended with {int(ended.exit_code)}: {ended.message}"
        if ended.exit_code == ExitCode.INTERRUPTED or self._asked() is not None:
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
        then = self._goes_on() if ended.exit_code in _NOT_DONE else None
        if then is None:
            self._again_s = BUSY_AGAIN_S
        self._say(f"{how}; {then or self._then()}", level)
        return ended.exit_code

    def _goes_on(self) -> str:
        """Set when a run that was stopped before its end goes on; returns that in words."""
        now_s = self._clock()
        if self._held() is not None:
            self._due_s = now_s
            return "it goes on as soon as it may"
        # What stopped it has gone already, or is nothing that is looked for between runs (a step
        # that the policy names): look soon, and less often each time.
        again_s = now_s + self._again_s
        self._due_s = again_s if self._due_s is None else min(again_s, self._due_s)
        self._again_s = min(2 * self._again_s, LONGEST_AGAIN_S)
        return f"it goes on in {words(self._due_s - now_s)}"

    def _not_started(self, started_s: float, message: str, level: Level) -> None:
        """The turn came to nothing (busy, halted, no input); it is tried again at the next one."""
        self._failed += level == "critical"
        self._due_s = self._next_due(started_s)
        if self._due_s is None:  # only by change: what is new must not be lost
            self._due_s = self._clock() + BUSY_AGAIN_S
        self._say_once("turn", f"{message}; {self._then()}", level, key=message)

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._cannot_start(reason)

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
