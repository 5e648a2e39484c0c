"""End the daemon when people ask: between runs at once, during a run after its safe point."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self

from agents.interrupts import Interrupts, handle_with, put_back
from steps.contract import ExitCode


class Asked(KeyboardInterrupt):
    """The daemon is asked to end; exit_code: 0 for SIGTERM and SIGHUP, 130 for Ctrl-C."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class EndOnSignal:
    """Raise Asked once, at once, when asked to end. Use in the main thread only.

    A run counts these signals itself, in what of_run() has given it, and puts these handlers back
    when it ends; `exit_code` says afterwards whether one came.
    """

    def __init__(self) -> None:
        self._asked: signal.Signals | None = None
        self._run = Interrupts()

    def __enter__(self) -> Self:
        self._before = handle_with(self._raise)
        return self

    def __exit__(self, *_: object) -> None:
        put_back(self._before)

    def of_run(self) -> Interrupts:
        """What the next run is to count in."""
        self._run = Interrupts()
        return self._run

    def exit_code(self) -> ExitCode | None:
        """What the daemon must end with; None while nobody has asked it to."""
        number = self._asked or self._run.first
        return None if number is None else _exit_code(number)

    def _raise(self, number: int, _frame: FrameType | None) -> None:
        if self._asked is not None:  # already on the way out
            return
        self._asked = signal.Signals(number)
        raise Asked(_exit_code(self._asked))


def _exit_code(number: signal.Signals) -> ExitCode:
    return ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.DONE
