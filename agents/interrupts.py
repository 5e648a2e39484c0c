"""Count Ctrl-C and SIGTERM instead of dying of them, so that a step can stop in good order.

SIGHUP (the terminal has gone, an ssh connection has closed) asks to stop as SIGTERM does, but never
twice: shells and session managers send it again and again. Where it is ignored (nohup) it stays so.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handler = Callable[[int, FrameType | None], Any]
Handlers = dict[signal.Signals, Any]


class Interrupts:
    """count: interrupts so far; the second one means: now. first: the signal that came first.

    Both stay after the end of `with`. Use in the main thread only.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._hung_up = False
        self._others = 0

    @property
    def count(self) -> int:
        """How often people have asked to stop."""
        return max(self._others, int(self._hung_up))

    def __enter__(self) -> Self:
        self._before = handle_with(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        put_back(self._before)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or signal.Signals(number)
        if number == signal.SIGHUP:
            self._hung_up = True
        else:
            self._others += 1


def handle_with(handler: Handler) -> Handlers:
    """Have a handler get the signals that ask to stop; returns the handlers before it."""
    return {
        number: signal.signal(number, handler)
        for number in _SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    }


def put_back(before: Handlers) -> None:
    """Let the handlers from before have the signals again."""
    for number, handler in before.items():
        signal.signal(number, handler)
