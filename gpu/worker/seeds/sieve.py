"""Hold ranges of seeds against what was seen, as many at once as there is memory for.

Every seed is looked at as often as the first looks go; those that pass wait, and are held against
all looks together. Nothing waits for the device but the count of those that are left.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from gpu.protocol.seeds import PartSifted, SiftSeeds
from gpu.worker.failures import BadJob, is_out_of_memory
from gpu.worker.seeds.kernels import KERNELS, Constants, Kernel, Moves
from gpu.worker.seeds.words import at_most, shifted_right, signed, turned_left, width

Test = tuple[int, int, int, int]

# A GPU is busy with so many words; on a CPU so many stay in its cache.
_MOST_ON_GPU, _MOST_ON_CPU = 1 << 22, 1 << 16
_FEWEST = 1 << 10
# Words of 64 bits that a seed takes in the hungriest kernel, and bytes more for each look.
_WORDS_A_SEED, _BYTES_A_LOOK = 16, 4
# Of the memory that is free: it is broken up, and others may come.
_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Question:
    """What seeds are held against; as in SiftSeeds."""

    kernel: Kernel
    constants: Constants
    moves: Moves
    shift: int
    tests: Sequence[Test]

    @classmethod
    def of(cls, job: SiftSeeds) -> Question:
        """Raises BadJob for constants that are not the kernel's."""
        kernel, wanted = KERNELS[job.kernel]
        if len(job.constants) != wanted:
            raise BadJob(f"{job.kernel} takes {wanted} constants, got {len(job.constants)}")
        return cls(kernel, job.constants, job.moves, job.shift, job.tests)

    def first(self, looks: int) -> Question:
        """With the first looks only."""
        return Question(
            self.kernel, self.constants, self.moves[:looks], self.shift, self.tests[:looks]
        )

    def matches(self, seeds: torch.Tensor) -> torch.Tensor:
        """How many looks each seed matches: uint8 (n,) of seeds int64 (n,)."""
        counts = torch.zeros(seeds.shape, dtype=torch.uint8, device=seeds.device)
        outputs = self.kernel(seeds, self.constants, self.moves)
        for out, (less, inverse, right, ceiling) in zip(outputs, self.tests, strict=True):
            bits = width(out)
            rest = shifted_right(out, self.shift) - signed(less, bits)
            rest.mul_(signed(inverse, bits))
            counts += at_most(turned_left(rest, bits - right), ceiling)
        return counts


@dataclass(slots=True)
class _Survivors:
    """Of one part: how many, and the best."""

    keep: int
    count: int = 0
    seeds: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    matched: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    def add(self, seeds: NDArray[np.uint64], matched: NDArray[np.uint8]) -> None:
        """More of them, whose seeds come after those that are here."""
        self.count += seeds.shape[0]
        seeds = np.concatenate([self.seeds, seeds])
        matched = np.concatenate([self.matched, matched])
        best = np.argsort(-matched.astype(np.int64), kind="stable")[: self.keep]
        self.seeds, self.matched = seeds[best], matched[best]


class SeedSieve:
    """Sifts on one device; what it learns about its memory it keeps.

    most: seeds at once, at most; out of memory halves it for good.
    """

    def __init__(self, device: str, most: int | None = None) -> None:
        self._device = torch.device(device)
        on_gpu = self._device.type == "cuda"
        self.most = most or (_MOST_ON_GPU if on_gpu else _MOST_ON_CPU)

    def sift(self, job: SiftSeeds) -> tuple[PartSifted, ...]:
        """What came of each part. Raises BadJob, and what torch raises where memory runs out for
        the smallest of chunks.
        """
        with torch.inference_mode():
            return _Sifting(self, job).made()

    def range(self, first: int, size: int) -> torch.Tensor:
        """Seeds first..first + size - 1, int64 (size,)."""
        seeds = torch.arange(size, dtype=torch.int64, device=self._device)
        return seeds.add_(signed(first, 64))

    def room(self, looks: int) -> int:
        """Seeds that there is memory for now, looked at so often."""
        if self._device.type != "cuda":
            return self.most
        free, _ = torch.cuda.mem_get_info(self._device)
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        fit = int(_SHARE * free) // (8 * _WORDS_A_SEED + _BYTES_A_LOOK * looks)
        return max(_FEWEST, min(self.most, fit))

    def in_chunks(self, size: int, at_once: int, do: Callable[[int, int], None]) -> None:
        """Call do(start, stop) over 0..size; again, with half as many, where memory runs out.

        What did not come to its end must have changed nothing.
        """
        at_once, start = min(at_once, self.most), 0
        while start < size:
            stop = min(start + at_once, size)
            if self._tried(do, start, stop):
                start = stop
            else:
                at_once = self.most = max(_FEWEST, (stop - start) // 2)
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()

    def _tried(self, do: Callable[[int, int], None], start: int, stop: int) -> bool:
        """False where memory ran out; what the failure held on to is then free again."""
        try:
            do(start, stop)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or stop - start <= _FEWEST:
                raise
            return False
        return True


class _Sifting:
    """One job on its way. Seeds that have passed wait here, across parts and in their order."""

    def __init__(self, sieve: SeedSieve, job: SiftSeeds) -> None:
        self._sieve = sieve
        self._job = job
        self._all = Question.of(job)
        self._first = self._all.first(job.looks)
        self._at_once = sieve.room(len(job.moves))
        parts = -(-job.size // job.part)
        self._passed = [0] * parts
        self._survivors = [_Survivors(job.keep) for _ in range(parts)]
        self._waiting: list[torch.Tensor] = []
        self._n_waiting = 0

    def made(self) -> tuple[PartSifted, ...]:
        job = self._job
        for part in range(len(self._passed)):
            start = part * job.part
            size = min(job.part, job.size - start)
            self._sieve.in_chunks(size, self._at_once, self._look(part, job.first + start))
            if self._n_waiting >= self._at_once:
                self._empty()
        self._empty()
        return tuple(
            PartSifted(
                passed=passed,
                survivors=survivors.count,
                seeds=tuple(survivors.seeds.tolist()),
                matched=tuple(survivors.matched.tolist()),
            )
            for passed, survivors in zip(self._passed, self._survivors, strict=True)
        )

    def _look(self, part: int, first: int) -> Callable[[int, int], None]:
        def look(start: int, stop: int) -> None:
            seeds = self._sieve.range(first + start, stop - start)
            passed = seeds[self._first.matches(seeds) >= self._job.floor]
            # The count is all that the device is waited for.
            count = passed.shape[0]
            self._passed[part] += count
            if count:
                self._waiting.append(passed)
                self._n_waiting += count

        return look

    def _empty(self) -> None:
        """Hold what waits against all looks."""
        if not self._n_waiting:
            return
        pool = torch.cat(self._waiting)
        self._waiting, self._n_waiting = [], 0

        def look(start: int, stop: int) -> None:
            seeds = pool[start:stop]
            matches = self._all.matches(seeds)
            left = matches >= self._job.total_floor
            kept, matched = seeds[left], matches[left]
            if kept.shape[0]:
                self._share_out(kept.cpu().numpy().view(np.uint64), matched.cpu().numpy())

        self._sieve.in_chunks(pool.shape[0], self._at_once, look)

    def _share_out(self, seeds: NDArray[np.uint64], matched: NDArray[np.uint8]) -> None:
        parts = (seeds - np.uint64(self._job.first)) // np.uint64(self._job.part)
        edges = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), seeds.shape[0]]
        for start, stop in itertools.pairwise(edges):
            survivors = self._survivors[int(parts[start])]
            survivors.add(seeds[start:stop], matched[start:stop])


@lru_cache(maxsize=1)
def sieve_on(device: str) -> SeedSieve:
    """The one sieve of a worker process."""
    return SeedSieve(device)
