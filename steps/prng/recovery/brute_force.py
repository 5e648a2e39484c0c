"""Search a range of seeds for those that make the draws, where no algebra gives the state.

Every seed is held against the first draws only; survivors, few by the plan, against more of them;
what is left against the whole history. Memory does not grow with the number of survivors. Draws
that may be wrong are made up for by further draws; draws missing from the record are not, before
the last of the draws that are looked at.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.prng.base import Words
from steps.prng.law import Law
from steps.prng.recovery.found import CannotRecover, Search
from steps.prng.recovery.looks import MAY_PASS, Looks, Odds, observations_wanted, plan_looks
from steps.prng.recovery.question import Judge, Origin, Question
from steps.prng.recovery.seed_kernels import Work
from steps.prng.recovery.seed_lanes import SeedLanes, lanes_of
from steps.prng.recovery.shown import Numbers, Shown, show

BLOCK_SEEDS = 4096
# Blocks between two questions whether to stop: 4 million seeds, milliseconds.
_BLOCKS_AT_ONCE = 1024
_SLOW_BLOCKS_AT_ONCE = 16  # by numpy: slower, and memory for each word of a state
_ROOM = 1 << 17
# What the counts of the kernels can hold.
_MOST_OBSERVATIONS = 127
_MAY_PASS_CHEAPLY = 1e-5

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SeedCandidate:
    """A seed that is left after the looks; matches: of the observations looked at."""

    matches: int
    seed: int
    gap: int
    offset: int


@dataclass(frozen=True, slots=True)
class SeedSearch:
    """What a search over seeds came to.

    best: the seeds with the most matches, the best first, bounded. first_looks: seeds that passed
    the first looks, of `tested`; a wrong one does with the probability `expected`. survivors: how
    many passed all. next_block: where the search goes on, with the same arguments; None at its end.
    """

    search: Search
    best: tuple[SeedCandidate, ...]
    tested: int
    first_looks: int
    expected: float
    survivors: int
    next_block: int | None


def search_seeds(
    question: Question,
    seeding: str,
    *,
    seeds: range,
    offsets: Sequence[int] = (0,),
    threads: int = 1,
    start_block: int = 0,
    keep: int = 64,
    progress: Progress | None = None,
) -> SeedSearch:
    """Find the seed, gap and offset among those given. Ends at the first that is beyond doubt.

    seeds: with step 1, within 0..2^64 - 1. offsets: calls before draw 0. The search is a row of
    blocks of BLOCK_SEEDS, for every gap and offset in turn; start_block: of an earlier search with
    the same arguments. question.should_stop is asked between pieces of about a thousand blocks,
    progress is told the blocks done and the blocks in all. Raises CannotRecover, TooFewDraws.
    """
    if seeds.step != 1 or not seeds or seeds.start < 0 or seeds.stop > 1 << 64:
        raise ValueError(f"seeds must be a range within 0..2^64 - 1 with step 1, got {seeds}")
    if not offsets or min(offsets) < 0:
        raise ValueError(f"offsets must be one or more numbers from 0 up, got {offsets!r}")
    plan = _Plan.of(question, seeding, seeds, offsets)
    judge = Judge(question, math.log(len(seeds)) + math.log(len(offsets)))
    best: list[SeedCandidate] = []
    tested = first_looks = survivors = 0
    done = start_block
    pieces = deque(plan.pieces(start_block))
    running: deque[tuple[_Piece, Future[_Sifted]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while pieces or running:
            stop = question.should_stop()
            if stop and not running:
                break
            while pieces and not stop and len(running) < 2 * threads:
                piece = pieces.popleft()
                running.append((piece, pool.submit(plan.sift, piece)))
            piece, future = running.popleft()
            sifted = future.result()
            done = piece.stop
            tested += sifted.tested
            first_looks += sifted.first_looks
            survivors += len(sifted.candidates)
            best = sorted([*best, *sifted.candidates], key=lambda c: -c.matches)[:keep]
            for candidate in sifted.candidates[:keep]:
                if _holds(question, judge, seeding, candidate):
                    pieces.clear()
                    for _, waiting in running:
                        waiting.cancel()
                    running.clear()
                    break
            if progress is not None:
                progress(done, plan.blocks)
    finished = done >= plan.blocks
    return SeedSearch(
        judge.search(finished),
        tuple(best),
        tested,
        first_looks,
        plan.expected,
        survivors,
        None if finished else done,
    )


def _holds(question: Question, judge: Judge, seeding: str, candidate: SeedCandidate) -> bool:
    generator = question.generator
    seeded = generator.seed(np.array([candidate.seed], np.uint64), seeding)
    law = Law(generator, question.mapping, question.modulus, candidate.gap, candidate.offset)
    origin = Origin(candidate.seed, seeding, candidate.offset)
    return judge.try_state(law.states_before(seeded, 0)[0], candidate.gap, 0, origin)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Blocks start..stop - 1 of the whole search, all with one gap and offset."""

    gap: int
    offset: int
    seeds: range
    stop: int


@dataclass(frozen=True, slots=True)
class _Sifted:
    tested: int
    first_looks: int
    candidates: list[SeedCandidate]


@dataclass(frozen=True, eq=False)
class _Plan:
    """What does not depend on the piece. lanes: None where numpy does the work."""

    question: Question
    seeding: str
    seeds: range
    passes: list[tuple[int, int]]
    lanes: SeedLanes | None
    shown: Shown
    looks: Looks
    expected: float

    @classmethod
    def of(cls, question: Question, seeding: str, seeds: range, offsets: Sequence[int]) -> _Plan:
        generator = question.generator
        generator.seed(np.zeros(1, np.uint64), seeding)  # raises for a seeding it does not know
        passes = [(gap, offset) for gap in question.gaps for offset in offsets]
        shown = show(question)
        by_chance = question.corruption if shown.per_draw == 1 else 0.0
        hit = 1 - question.corruption + by_chance * shown.chance
        odds = Odds(shown.chance, hit, shown.per_draw)
        log_candidates = math.log(len(seeds)) + math.log(len(passes))
        observations = observations_wanted(odds, log_candidates)
        observations = -(-observations // shown.per_draw) * shown.per_draw
        if observations > _MOST_OBSERVATIONS:
            raise CannotRecover(
                f"{question.name}: with {question.corruption:.0%} of the draws corrupted "
                f"{observations} observations are wanted; {_MOST_OBSERVATIONS} is the most"
            )
        question.require(observations // shown.per_draw, "the search over seeds")
        shown = shown.rows(0, observations)
        lanes = lanes_of(generator.name, seeding)
        if lanes is not None:
            places = _places(question, shown, max(question.gaps), max(offsets))
            if int(places[-1]) >= lanes.places or seeds.stop > 1 << lanes.seed_bits:
                lanes = None
        may_pass = _MAY_PASS_CHEAPLY if lanes is not None and lanes.looks_cheap else MAY_PASS
        looks = plan_looks(observations, odds, log_candidates, may_pass)
        assert looks is not None, "so many observations are enough"  # noqa: S101
        expected = odds.wrong_reaches(looks.looks, looks.floor)
        return cls(question, seeding, seeds, passes, lanes, shown, looks, expected)

    @property
    def blocks_per_pass(self) -> int:
        return -(-len(self.seeds) // BLOCK_SEEDS)

    @property
    def blocks(self) -> int:
        return self.blocks_per_pass * len(self.passes)

    def pieces(self, start_block: int) -> Iterator[_Piece]:
        words = self.question.generator.state_words
        at_once = _BLOCKS_AT_ONCE if self.lanes else max(1, _SLOW_BLOCKS_AT_ONCE // words)
        block = start_block
        while block < self.blocks:
            number, first = divmod(block, self.blocks_per_pass)
            last = min(first + at_once, self.blocks_per_pass)
            block += last - first
            gap, offset = self.passes[number]
            yield _Piece(gap, offset, self.seeds[first * BLOCK_SEEDS : last * BLOCK_SEEDS], block)

    def sift(self, piece: _Piece) -> _Sifted:
        """The piece's seeds that pass all looks, the best first."""
        sift = self._sift_slowly if self.lanes is None else self._sift_in_lanes
        passed, seeds, matched = sift(piece)
        order = np.argsort(-matched.astype(np.int64), kind="stable")
        candidates = [
            SeedCandidate(int(matched[row]), int(seeds[row]), piece.gap, piece.offset)
            for row in order
        ]
        return _Sifted(len(piece.seeds), passed, candidates)

    def _sift_in_lanes(self, piece: _Piece) -> tuple[int, Words, NDArray[np.uint8]]:
        lanes = self.lanes
        assert lanes is not None  # noqa: S101
        places = _places(self.question, self.shown, piece.gap, piece.offset)
        moves = lanes.work_moves([int(place) for place in places])
        nobody = np.empty(0, np.uint64)
        work = Work(
            first=np.uint64(piece.seeds.start),
            pool=nobody,
            size=len(piece.seeds),
            constants=np.array(lanes.constants, np.uint64),
            moves=moves,
            shift=np.uint64(self.shown.shift),
            tests=self.shown.tests(lanes.word),
            floor=self.looks.total_floor,
            kept=nobody,
            matched=np.empty(0, np.uint8),
        )
        first_look = work._replace(
            moves=moves[: self.looks.looks],
            tests=work.tests[: self.looks.looks],
            floor=self.looks.floor,
        )
        passed, _ = _run(lanes, first_look)
        if not passed.shape[0]:
            return 0, nobody, work.matched
        seeds, matched = _run(lanes, work._replace(pool=passed, size=passed.shape[0]))
        return passed.shape[0], seeds, matched

    def _sift_slowly(self, piece: _Piece) -> tuple[int, Words, NDArray[np.uint8]]:
        question = self.question
        seeds = np.arange(piece.seeds.start, piece.seeds.stop, dtype=np.uint64)
        law = Law(question.generator, question.mapping, question.modulus, piece.gap, piece.offset)
        per_draw = self.shown.per_draw
        drawn = self.shown.draw[::per_draw]
        looks = -(-self.looks.looks // per_draw)
        states = question.generator.seed(seeds, self.seeding)
        matched = np.zeros(seeds.shape, np.uint8)
        for number, draw in enumerate(drawn, 1):
            made = law.draws(states, 1, first=int(draw))[:, 0]
            matched += np.where(made == question.draws[draw], np.uint8(per_draw), np.uint8(0))
            if number == looks:
                passed = int(np.count_nonzero(matched >= self.looks.floor))
            if number >= looks:
                left = (drawn.shape[0] - number) * per_draw
                alive = matched + left >= self.looks.total_floor
                seeds, states, matched = seeds[alive], states[alive], matched[alive]
                if not seeds.size:
                    break
        return passed, seeds, matched


def _run(lanes: SeedLanes, work: Work) -> tuple[Words, NDArray[np.uint8]]:
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


def _places(question: Question, shown: Shown, gap: int, offset: int) -> Numbers:
    return shown.places(question, gap) + offset * question.outputs_per_draw
