"""Hold candidates against the record of their stream, a block at a time, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.forensics.documents import CandidateRecord
from steps.forensics.matches import Block, blocks_of, predicted_beside, predicted_draws
from steps.forensics.mixture import Belief
from steps.prng.mappings import Draws
from steps.step3_scoring.count_kernel import PARTS, SUMS, count_matches
from steps.step3_scoring.parts_of_draws import Parts

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]

# Draws by which two candidates are told apart, and the chance that two are taken for one.
_TOLD_APART_BY = 64
_CONFUSED = 1e-6


@dataclass(frozen=True, eq=False)
class Record:
    """What is on record of one stream, -1 where unread. trials: readable draws of holdout that
    count.
    """

    train: Draws
    holdout: Draws
    trials: int

    @property
    def compared(self) -> int:
        """Readable draws of train."""
        return int(np.count_nonzero(self.train >= 0))

    @property
    def judged(self) -> Draws:
        """The draws of holdout up to the last that counts."""
        if self.trials == 0:
            return self.holdout[:0]
        return self.holdout[: np.flatnonzero(self.holdout >= 0)[self.trials - 1] + 1]


@dataclass(frozen=True, eq=False)
class Measured:
    """Of n candidates: counts and sums over train as count_matches has them; hits: of the judged
    draws of holdout. keys: (n, 1 + remainders), equal where two candidates say the same in all the
    draws looked at, whole or modulo one of M's prime powers; 0 where that cannot be told.
    """

    counts: Integers
    sums: Floats
    hits: Integers
    keys: Keys


def measure(
    candidates: Sequence[CandidateRecord],
    record: Record,
    parts: Parts,
    belief: Belief,
    *,
    threads: int,
    should_stop: Callable[[], bool],
) -> Measured | None:
    """Candidates of one stream against its record; None where it was told to stop.

    Draws missing from the record inside of what a candidate explains lie where they give the most
    matches with train; the holdout has no say in that.
    """
    judged = record.judged
    train, count = record.train, record.train.shape[0] + judged.shape[0]
    measured = _nothing_yet(len(candidates), parts)
    task = _Task(record, parts, belief, measured, _telling(parts, count, len(candidates)))
    whole = [row for row, candidate in enumerate(candidates) if not candidate.missing]
    holed = [row for row, candidate in enumerate(candidates) if candidate.missing]
    if holed:
        some = [candidates[row] for row in holed]
        beside = predicted_beside(some, train, threads=threads)
        ahead = predicted_draws(some, train.shape[0], judged.shape[0], threads=threads)
        task.take(np.array(holed), np.concatenate([beside, ahead], axis=1))
    blocks = blocks_of([candidates[row] for row in whole], 0, count)
    rows = np.array(whole, np.intp)
    stopped = False

    def take(block: Block) -> None:
        task.take(rows[block.rows], block.draws(0, count))

    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(take, block) for block in blocks]:
            stopped = stopped or should_stop()
            if not (stopped and future.cancel()):
                future.result()
    return None if stopped else measured


@dataclass(frozen=True, eq=False)
class _Task:
    """Where the measurements of one stream go; blocks write to rows of their own."""

    record: Record
    parts: Parts
    belief: Belief
    measured: Measured
    telling: tuple[int, ...]

    def take(self, rows: NDArray[np.intp], predicted: Draws) -> None:
        train = self.record.train
        n_train = train.shape[0]
        counts = np.zeros((rows.size, self.measured.counts.shape[1]), np.int64)
        sums = np.zeros((rows.size, SUMS))
        readable = train >= 0
        count_matches(
            np.ascontiguousarray(predicted),
            train,
            self.parts.codes,
            lane_of(self.parts, self.belief),
            late_from(train),
            weights_of(train, self.belief),
            times_of(readable),
            counts,
            sums,
        )
        judged = self.record.judged
        hit = (predicted[:, n_train:] == judged) & (judged >= 0)
        self.measured.counts[rows] = counts
        self.measured.sums[rows] = sums
        self.measured.hits[rows] = np.count_nonzero(hit, axis=1)
        self.measured.keys[rows] = _keys(predicted[:, :_TOLD_APART_BY], self.telling)


def lane_of(parts: Parts, belief: Belief) -> int:
    """Which part of a draw is the scorer's lane; -1 where it is none."""
    name = f"mod_{belief.lane}"
    return parts.names.index(name) if name in parts.names else -1


def late_from(train: Draws) -> int:
    """The draw that the last quarter of the readable ones begins with."""
    readable = np.flatnonzero(train >= 0)
    return int(readable[readable.size * 3 // 4]) if readable.size else 0


def weights_of(train: Draws, belief: Belief) -> Floats:
    """What each draw's evidence counts (t,): the last one 1, or all 1 without recency."""
    return np.asarray(belief.keep ** np.arange(train.shape[0] - 1, -1, -1.0), np.float64)


def times_of(readable: NDArray[np.bool_]) -> Floats:
    """Numbers of the readable draws less their mean (t,); 0 where unread."""
    times = np.zeros(readable.shape[0])
    times[readable] = np.arange(np.count_nonzero(readable))
    times[readable] -= times[readable].mean() if readable.any() else 0.0
    return times


def _nothing_yet(rows: int, parts: Parts) -> Measured:
    return Measured(
        np.zeros((rows, PARTS + len(parts.names)), np.int64),
        np.zeros((rows, SUMS)),
        np.zeros(rows, np.int64),
        np.zeros((rows, 1 + len(parts.remainders)), np.uint64),
    )


def _telling(parts: Parts, count: int, rows: int) -> tuple[int, ...]:
    """The divisors by which candidates can be told apart, M first; 0 for one by which they cannot.

    Among `rows` candidates there are under rows^2 pairs, each alike by chance with 1 in
    divisor^draws.
    """
    draws = min(count, _TOLD_APART_BY)
    enough = 2 * np.log(max(rows, 1)) - np.log(_CONFUSED)
    divisors = (parts.modulus, *parts.remainders)
    return tuple(value if draws * np.log(value) > enough else 0 for value in divisors)


def _keys(predicted: Draws, telling: Sequence[int]) -> Keys:
    """A number for what each row says modulo each divisor (n, divisors); 0 for divisor 0."""
    keys = np.zeros((predicted.shape[0], len(telling)), np.uint64)
    # Odd multipliers, modulo 2^64, from a fixed seed: equal rows have equal keys in every run.
    rng = np.random.default_rng(3)
    factors = rng.integers(0, 1 << 64, predicted.shape[1], np.uint64) | np.uint64(1)
    for place, divisor in enumerate(telling):
        if divisor:
            remainders = (predicted % divisor).astype(np.uint64)
            keys[:, place] = ((remainders + np.uint64(1)) * factors).sum(axis=1, dtype=np.uint64)
            keys[:, place] ^= keys[:, place] >> np.uint64(32)
    return keys
