"""Keep what finished jobs taught about estimates of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpu.host.vram import GPU_BASE_MIB, LIBRARY_MIB, DataSize, networks_that_fit
from gpu.params import NeuralNetParams

# A lesson beyond this says that something else is wrong.
LARGEST_FACTOR = 64.0


@dataclass(frozen=True, slots=True)
class MemoryLessons:
    """What finished jobs taught about estimates of one family. factor: they were that much too low.

    Values only: each lesson gives a new one.
    """

    factor: float = 1.0

    def networks(
        self, free_mib: float, records: Sequence[NeuralNetParams], size: DataSize, *, on_gpu: bool
    ) -> int:
        """As networks_that_fit, corrected."""
        base = GPU_BASE_MIB if on_gpu else LIBRARY_MIB["neural_net"]
        return networks_that_fit(
            base + (free_mib - base) / self.factor, records, size, on_gpu=on_gpu
        )

    def after_batch(self, asked: int, trained: int) -> MemoryLessons:
        """A batch in which `trained` networks ran at once where `asked` could have."""
        if trained >= asked:
            return self
        return MemoryLessons(min(LARGEST_FACTOR, self.factor * asked / max(1, trained)))

    def after_oom(self) -> MemoryLessons:
        """A job that failed although nothing was left to halve."""
        return MemoryLessons(min(LARGEST_FACTOR, self.factor * 2))
