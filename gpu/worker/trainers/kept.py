"""Keep what a library has made of a fold's rows, so that the next trial need not make it again.

What is kept depends on the rows and the number of bins only, never on the other parameters of a
trial or its seed; so a trial's result is the same whether its data was kept or made for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from gpu.worker.trainers.base import Split

Binned = TypeVar("Binned")

# Counted as float32 rows. What the libraries keep is between a quarter of that and all of it.
MOST_BYTES = 256 << 20


class Kept(Generic[Binned]):
    """Binned data of folds of one table at one number of bins, up to most_bytes of their rows."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._of: tuple[str, int] | None = None
        self._bytes = 0
        self._folds: dict[int, Binned] = {}

    def get(self, split: Split, bins: int, make: Callable[[], Binned]) -> Binned:
        """What make() makes of the split; made anew where the split has no key or does not fit.

        Another table or number of bins drops all that was kept. What came first stays: trials go
        through their folds in turn, so dropping the oldest would drop each just before its use.
        """
        if split.key is None:
            return make()
        table, fold = split.key
        if self._of != (table, bins):
            self.clear()
            self._of = (table, bins)
        if fold in self._folds:
            return self._folds[fold]
        binned = make()
        size = split.X_train.nbytes + (0 if split.X_val is None else split.X_val.nbytes)
        if self._bytes + size <= self._most_bytes:
            self._folds[fold] = binned
            self._bytes += size
        return binned

    def clear(self) -> None:
        """Drop all that is kept."""
        self._folds.clear()
        self._of = None
        self._bytes = 0
