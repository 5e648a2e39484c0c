"""Ask what may hang, such as a file on a network mount, in a thread of its own: nobody else waits.

One question at a time; no answer is lost, and none is asked for twice while one is under way.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Background(Generic[Answer]):
    """ask: called in a thread of its own, never in two at once; must not raise."""

    def __init__(self, ask: Callable[[], Answer], name: str) -> None:
        self._ask = ask
        self._name = name
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_asking(self) -> bool:
        """Whether a question is under way."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> None:
        """Ask, and return at once; nothing while a question is under way."""
        if not self.is_asking:
            # A daemon: a mount that hangs for ever must not keep the process from ending.
            self._thread = threading.Thread(target=self._answer, name=self._name, daemon=True)
            self._thread.start()

    def answers(self) -> list[Answer]:
        """The answers that have come since the last call, in order; does not wait."""
        found = []
        while not self._answers.empty():
            found.append(self._answers.get())
        return found

    def wait(self, limit_s: float) -> bool:
        """Wait at most this long for the question under way; whether none is any more."""
        if self._thread is not None:
            self._thread.join(limit_s)
        return not self.is_asking

    def _answer(self) -> None:
        self._answers.put(self._ask())
