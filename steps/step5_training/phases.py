"""Time the phases of a run, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable


class Phases:
    """Tells `say` of each phase as it begins, and keeps how long each has taken."""

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._clock = clock
        self._since: tuple[str, float] | None = None
        self._seconds: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """A phase begins, and with it the one before ends."""
        now = self._clock()
        if self._since is not None:
            before, started = self._since
            self._seconds[before] = self._seconds.get(before, 0.0) + now - started
        self._since = (name, now)
        self._say(name)

    @property
    def seconds(self) -> dict[str, float]:
        """Of the phases that have ended, in order."""
        return dict(self._seconds)
