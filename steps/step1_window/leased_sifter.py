"""Sift seeds in worker processes on leased devices, and trust them no further than they agree.

Each kernel is held against the one for the CPU first, on every device, on some of the very seeds
that are to be sifted. One thread drives it: the one that opened the pool.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast, get_args

import numpy as np

from gpu.host.pool import JobEnded, Pool
from gpu.protocol import Outcome, TrainFailed
from gpu.protocol.seeds import PartSifted, SeedKernel, SiftDone, SiftSeeds
from steps.prng.recovery.looks import Looks
from steps.prng.recovery.seed_lanes import SeedLanes
from steps.prng.recovery.sifting import Sifted, SifterFailed, Sifting, sift_here

# From the lease to the answer, the start of a worker included.
DEADLINE_S = 240.0
# Of parts of four million seeds so many are one job, long beside the way there and back; and of a
# generator that is slow to seed, so that nobody waits long for the end of one.
PARTS_AT_ONCE, SLOW_PARTS_AT_ONCE = 64, 4
# Seeds by which a kernel is tried: some of them match by chance.
_TRIED_SEEDS = 1 << 16
# Without a lease, though nothing of ours is at work, for so long: others have the devices.
_LEASE_PATIENCE_S = 2.0
_WAIT_S = 0.05


class GpusTaken(SifterFailed):
    """Other runs hold all devices; they may come back."""


class LeasedSifter:
    """A Sifter over a pool. devices: how many the pool has."""

    def __init__(
        self, pool: Pool, devices: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.at_once = 2 * devices  # one at work, one that follows at once
        self._pool = pool
        self._devices = devices
        self._clock = clock
        self._jobs = 0
        self._waiting: deque[SiftSeeds] = deque()
        self._wanted: set[str] = set()
        self._ended: dict[str, Outcome] = {}
        self._tried: set[tuple[SeedKernel | None, tuple[int, ...]]] = set()

    def parts_at_once(self, lanes: SeedLanes) -> int:
        """See Sifter.parts_at_once."""
        if kernel_of(lanes) is None:
            return 0
        return SLOW_PARTS_AT_ONCE if lanes.looks_cheap else PARTS_AT_ONCE

    def submit(self, sifting: Sifting) -> SentSifting:
        """See Sifter.submit. The first time it tries the kernel, and waits for that."""
        # One kernel may be of several generators, which its constants tell apart.
        kernel = kernel_of(sifting.lanes), sifting.lanes.constants
        if kernel not in self._tried:
            self._try(_trial_of(sifting))
            self._tried.add(kernel)
        return self._send(sifting)

    def answer(self, job: SiftSeeds) -> SiftDone:
        """Wait for the outcome of a job. Raises SifterFailed where it is none."""
        idle_since = self._clock()
        while job.id not in self._ended:
            self._start()
            if self._pool.running:
                idle_since = self._clock()
            elif self._clock() - idle_since > _LEASE_PATIENCE_S:
                raise GpusTaken("other runs hold every GPU")
            for event in self._pool.wait(_WAIT_S if self._waiting else 1.0):
                if isinstance(event, JobEnded) and event.job.id in self._wanted:
                    self._ended[event.job.id] = event.outcome
        self._wanted.discard(job.id)
        match self._ended.pop(job.id):
            case SiftDone() as done:
                return done
            case TrainFailed(kind=kind, message=message):
                raise SifterFailed(f"a worker failed ({kind}): {message}")
            case other:
                raise SifterFailed(f"a worker answered {other.status} to sift_seeds")

    def forget(self, job: SiftSeeds) -> None:
        """Its answer is not wanted. What a worker is at it finishes, which is sooner than another
        worker would be there.
        """
        self._wanted.discard(job.id)
        self._ended.pop(job.id, None)
        if job in self._waiting:
            self._waiting.remove(job)

    def _try(self, trial: Sifting) -> None:
        """Sift the same seeds on every device and here."""
        (expected,) = sift_here(trial)
        # As many at once as there are devices: each takes the lease of another one.
        sent = [self._send(trial) for _ in range(self._devices)]
        try:
            for one in sent:
                (made,) = one.result()
                if not _alike(expected, made):
                    kernel = kernel_of(trial.lanes)
                    raise SifterFailed(
                        f"the GPU kernel {kernel} and the one for the CPU differ on "
                        f"{len(trial.seeds)} seeds from {trial.seeds.start} on"
                    )
        finally:
            for one in sent:
                one.cancel()

    def _send(self, sifting: Sifting) -> SentSifting:
        self._jobs += 1
        job = job_of(sifting, f"sift-{self._jobs}")
        self._wanted.add(job.id)
        self._waiting.append(job)
        self._start()
        return SentSifting(self, sifting, job)

    def _start(self) -> None:
        while self._waiting and self._pool.try_start(self._waiting[0]):
            self._waiting.popleft()


@dataclass(frozen=True, eq=False)
class SentSifting:
    """A Pending of a LeasedSifter."""

    sifter: LeasedSifter
    sifting: Sifting
    job: SiftSeeds

    def result(self) -> list[Sifted]:
        """See Pending.result."""
        done = self.sifter.answer(self.job)
        parts = self.sifting.parts
        if len(done.parts) != len(parts):
            raise SifterFailed(f"a worker answered {len(done.parts)} parts of {len(parts)}")
        keep = self.sifting.keep
        return [_sifted(part, seeds, keep) for part, seeds in zip(done.parts, parts, strict=True)]

    def cancel(self) -> None:
        """See Pending.cancel."""
        self.sifter.forget(self.job)


def kernel_of(lanes: SeedLanes) -> SeedKernel | None:
    """The worker's kernel for the lanes; None where it has none."""
    name = lanes.kernel.__name__
    return cast(SeedKernel, name) if name in get_args(SeedKernel) else None


def job_of(sifting: Sifting, job_id: str) -> SiftSeeds:
    """The sifting as a worker is asked for it. Its lanes must have a kernel there."""
    lanes, looks = sifting.lanes, sifting.looks
    kernel = kernel_of(lanes)
    assert kernel is not None  # noqa: S101
    return SiftSeeds(
        id=job_id,
        kernel=kernel,
        word=32 if lanes.word == 32 else 64,
        first=sifting.seeds.start,
        size=len(sifting.seeds),
        part=sifting.part,
        constants=lanes.constants,
        moves=tuple((first, second) for first, second in sifting.moves.tolist()),
        shift=sifting.shift,
        tests=tuple((a, b, c, d) for a, b, c, d in sifting.tests.tolist()),
        looks=looks.looks,
        floor=looks.floor,
        total_floor=looks.total_floor,
        keep=sifting.keep,
        deadline_s=DEADLINE_S,
    )


def _trial_of(sifting: Sifting) -> Sifting:
    """Its first seeds, of which those that match anything pass."""
    seeds = sifting.seeds[:_TRIED_SEEDS]
    looks = Looks(sifting.looks.looks, 1, 1)
    return replace(sifting, seeds=seeds, part=len(seeds), looks=looks, keep=len(seeds))


def _alike(one: Sifted, other: Sifted) -> bool:
    return (
        (one.passed, one.survivors) == (other.passed, other.survivors)
        and np.array_equal(one.seeds, other.seeds)
        and np.array_equal(one.matched, other.matched)
    )


def _sifted(part: PartSifted, seeds: range, keep: int) -> Sifted:
    """The answer for one part; raises SifterFailed for one that cannot be true."""
    sane = (
        len(seeds) >= part.passed >= part.survivors
        and len(part.seeds) == len(part.matched) == min(part.survivors, keep)
        and all(seed in seeds for seed in part.seeds)
    )
    if not sane:
        raise SifterFailed(
            f"a worker answered {part.passed} passed, {part.survivors} survivors and "
            f"{len(part.seeds)} of them, of {len(seeds)} seeds from {seeds.start} on"
        )
    return Sifted(
        len(seeds),
        part.passed,
        part.survivors,
        np.array(part.seeds, np.uint64),
        np.array(part.matched, np.uint8),
    )
