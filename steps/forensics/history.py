"""A draw history in memory: draws of 0..modulus - 1 in the order in which they were made."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steps.forensics.documents import HistoryFacts
from steps.prng.mappings import Draws

ALL = "all"


@dataclass(frozen=True, eq=False)
class DrawHistory:
    """Draws int64 (n,) of 0..facts.modulus - 1, -1 where one cannot be read, oldest first.

    dates: as text, None where the file has none; sessions: the session of each draw, "" where the
    file has none. A draw's value in the file is draws[i] + facts.low.
    """

    draws: Draws = field(repr=False)
    dates: tuple[str | None, ...] = field(repr=False)
    sessions: tuple[str, ...] = field(repr=False)
    facts: HistoryFacts

    def rows(self, stream: str) -> NDArray[np.intp]:
        """Which draws belong to a stream, in order: "all", or "session NAME"."""
        if stream == ALL:
            return np.arange(self.draws.shape[0])
        name = stream.removeprefix("session ")
        return np.flatnonzero(np.array([session == name for session in self.sessions]))

    def stream(self, stream: str) -> Draws:
        """The draws of a stream."""
        return self.draws[self.rows(stream)]
