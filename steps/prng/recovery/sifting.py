"""Sift ranges of seeds with a kernel, here or elsewhere: one description, one answer, one face.

Every seed is held against the first looks only; those that pass, few by the plan, against all of
them; of the survivors the best are kept. Memory does not grow with the number of survivors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from steps.prng.base import Words
from steps.prng.recovery.looks import Looks
from steps.prng.recovery.seed_kernels import Work
from steps.prng.recovery.seed_lanes import SeedLanes

Matches = NDArray[np.uint8]

_ROOM = 1 << 17


class SifterFailed(Exception):
    """A sifter elsewhere cannot go on; the message says why. What it was given is not sifted."""


@dataclass(frozen=True, eq=False)
class Sifting:
    """Seeds, and what they are held against. moves (looks, 2), tests (looks, 4): as Work has them.

    part: so many seeds are counted together; the last part may be smaller. keep: most survivors
    that are kept of a part.
    """

    lanes: SeedLanes
    seeds: range
    part: int
    moves: Words
    shift: int
    tests: Words
    looks: Looks
    keep: int

    @property
    def parts(self) -> list[range]:
        """The seeds of each part."""
        return [
            self.seeds[start : start + self.part] for start in range(0, len(self.seeds), self.part)
        ]


@dataclass(frozen=True, eq=False)
class Sifted:
    """What came of one part. passed: the first looks; survivors: all of them.

    seeds, matched: of the survivors with the most matches, the best first, equal ones in order.
    """

    tested: int
    passed: int
    survivors: int
    seeds: Words
    matched: Matches

    @classmethod
    def of(cls, tested: int, passed: int, seeds: Words, matched: Matches, keep: int) -> Sifted:
        """Of all survivors of the part, in order."""
        best = np.argsort(-matched.astype(np.int64), kind="stable")[:keep]
        return cls(tested, passed, seeds.shape[0], seeds[best], matched[best])


class Pending(Protocol):
    """An answer that is on its way."""

    def result(self) -> Sequence[Sifted]:
        """One a part, in order; waits for them. Raises SifterFailed."""
        ...

    def cancel(self) -> object:
        """Nobody wants the answer any more."""
        ...


class Sifter(Protocol):
    """Sifts seeds somewhere else, with the same answers as sift_here.

    at_once: siftings that it wants to be given before the first of them is asked for.
    """

    at_once: int

    def parts_at_once(self, lanes: SeedLanes) -> int:
        """Parts that it wants in one sifting; 0 where it has no such kernel."""
        ...

    def submit(self, sifting: Sifting) -> Pending:
        """Begin with it. Raises SifterFailed."""
        ...


def sift_here(sifting: Sifting) -> list[Sifted]:
    """One a part, by the kernel for the CPU, in this thread."""
    return [_sift_part(sifting, seeds) for seeds in sifting.parts]


def _sift_part(sifting: Sifting, seeds: range) -> Sifted:
    lanes, looks = sifting.lanes, sifting.looks
    nobody = np.empty(0, np.uint64)
    work = Work(
        first=np.uint64(seeds.start),
        pool=nobody,
        size=len(seeds),
        constants=np.array(lanes.constants, np.uint64),
        moves=sifting.moves,
        shift=np.uint64(sifting.shift),
        tests=sifting.tests,
        floor=looks.total_floor,
        kept=nobody,
        matched=np.empty(0, np.uint8),
    )
    first_look = work._replace(
        moves=work.moves[: looks.looks], tests=work.tests[: looks.looks], floor=looks.floor
    )
    passed, _ = _run(lanes, first_look)
    if not passed.shape[0]:
        return Sifted(len(seeds), 0, 0, nobody, work.matched)
    survivors = _run(lanes, work._replace(pool=passed, size=passed.shape[0]))
    return Sifted.of(len(seeds), passed.shape[0], *survivors, sifting.keep)


def _run(lanes: SeedLanes, work: Work) -> tuple[Words, Matches]:
    """Seeds and matches of what the kernel keeps; in halves where there is not room enough."""
    kept, matched = np.empty(_ROOM, np.uint64), np.empty(_ROOM, np.uint8)
    found = lanes.kernel(work._replace(kept=kept, matched=matched))
    if found <= _ROOM:
        return kept[:found].copy(), matched[:found].copy()
    half = work.size // 2
    first = _run(lanes, work._replace(size=half, pool=work.pool[:half]))
    rest = work._replace(
        first=np.uint64(int(work.first) + half), size=work.size - half, pool=work.pool[half:]
    )
    second = _run(lanes, rest)
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])
