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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from steps.prng.law import Law
from steps.prng.recovery.found import CannotRecover, Search
from steps.prng.recovery.looks import MAY_PASS, Looks, Odds, observations_wanted, plan_looks
from steps.prng.recovery.question import Judge, Origin, Question
from steps.prng.recovery.seed_lanes import SeedLanes, lanes_of
from steps.prng.recovery.shown import Numbers, Shown, show
from steps.prng.recovery.sifting import Pending, Sifted, Sifter, Sifting, sift_here

BLOCK_SEEDS = 4096
# Blocks between two questions whether to stop: 4 million seeds, milliseconds.
_BLOCKS_AT_ONCE = 1024
_SLOW_BLOCKS_AT_ONCE = 16  # by numpy: slower, and memory for each word of a state
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
    sifter: Sifter | None = None,
) -> SeedSearch:
    """Find the seed, gap and offset among those given. Ends at the first that is beyond doubt.

    seeds: with step 1, within 0..2^64 - 1. offsets: calls before draw 0. The search is a row of
    blocks of BLOCK_SEEDS, for every gap and offset in turn; start_block: of an earlier search with
    the same arguments. question.should_stop is asked between pieces of about a thousand blocks, or
    of as many as the sifter takes at once; progress is told the blocks done and the blocks in all.
    sifter: does the work of the kernels elsewhere, as far as it has them; the result is the same.
    Raises CannotRecover, TooFewDraws, and SifterFailed, after which what was done is lost.
    """
    if seeds.step != 1 or not seeds or seeds.start < 0 or seeds.stop > 1 << 64:
        raise ValueError(f"seeds must be a range within 0..2^64 - 1 with step 1, got {seeds}")
    if not offsets or min(offsets) < 0:
        raise ValueError(f"offsets must be one or more numbers from 0 up, got {offsets!r}")
    plan = _Plan.of(question, seeding, seeds, offsets)
    judge = Judge(question, math.log(len(seeds)) + math.log(len(offsets)))
    parts = 0
    if sifter is not None and plan.lanes is not None:
        parts = sifter.parts_at_once(plan.lanes)
    if not parts:
        sifter = None
    at_once = 2 * threads if sifter is None else sifter.at_once
    tally = _Tally(keep, start_block)
    groups = deque(plan.groups(start_block, parts or 1))
    running: deque[tuple[list[_Piece], Pending]] = deque()
    found = False
    with ThreadPoolExecutor(threads) as pool:

        def submit(group: list[_Piece]) -> Pending:
            if plan.lanes is None:
                return pool.submit(plan.sift_slowly, group, keep)
            sifting = plan.sifting(plan.lanes, group, keep)
            return pool.submit(sift_here, sifting) if sifter is None else sifter.submit(sifting)

        try:
            while (groups or running) and not found:
                stop = question.should_stop()
                if stop and not running:
                    break
                while groups and not stop and len(running) < at_once:
                    running.append((groups[0], submit(groups.popleft())))
                group, pending = running.popleft()
                for piece, sifted in zip(group, pending.result(), strict=True):
                    candidates = tally.enter(piece, sifted)
                    found = any(_holds(question, judge, seeding, each) for each in candidates)
                    if progress is not None:
                        progress(tally.done, plan.blocks)
                    if found:
                        break
        finally:
            for _, waiting in running:
                waiting.cancel()
    finished = tally.done >= plan.blocks
    return SeedSearch(
        judge.search(finished),
        tuple(tally.best),
        tally.tested,
        tally.first_looks,
        plan.expected,
        tally.survivors,
        None if finished else tally.done,
    )


def _holds(question: Question, judge: Judge, seeding: str, candidate: SeedCandidate) -> bool:
    generator = question.generator
    seeded = generator.seed(np.array([candidate.seed], np.uint64), seeding)
    law = Law(generator, question.mapping, question.modulus, candidate.gap, candidate.offset)
    origin = Origin(candidate.seed, seeding, candidate.offset)
    return judge.try_state(law.states_before(seeded, 0)[0], candidate.gap, 0, origin)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Seeds with one gap and offset. stop: the block of the whole search that comes after them."""

    gap: int
    offset: int
    seeds: range
    stop: int


@dataclass(slots=True)
class _Tally:
    """What the pieces that are done have come to. done: the block that comes after them."""

    keep: int
    done: int
    tested: int = 0
    first_looks: int = 0
    survivors: int = 0
    best: list[SeedCandidate] = field(default_factory=list)

    def enter(self, piece: _Piece, sifted: Sifted) -> list[SeedCandidate]:
        """Enter the next piece; its best candidates, the best first."""
        self.done = piece.stop
        self.tested += sifted.tested
        self.first_looks += sifted.passed
        self.survivors += sifted.survivors
        candidates = [
            SeedCandidate(matches, seed, piece.gap, piece.offset)
            for matches, seed in zip(sifted.matched.tolist(), sifted.seeds.tolist(), strict=True)
        ]
        self.best = sorted([*self.best, *candidates], key=lambda c: -c.matches)[: self.keep]
        return candidates


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

    def groups(self, start_block: int, parts: int) -> Iterator[list[_Piece]]:
        """The pieces from that block on, up to `parts` with one gap and offset together."""
        words = self.question.generator.state_words
        at_once = _BLOCKS_AT_ONCE if self.lanes else max(1, _SLOW_BLOCKS_AT_ONCE // words)
        block, group = start_block, list[_Piece]()
        while block < self.blocks:
            number, first = divmod(block, self.blocks_per_pass)
            last = min(first + at_once, self.blocks_per_pass)
            block += last - first
            seeds = self.seeds[first * BLOCK_SEEDS : last * BLOCK_SEEDS]
            group.append(_Piece(*self.passes[number], seeds, block))
            if len(group) == parts or last == self.blocks_per_pass:
                yield group
                group = []

    def sifting(self, lanes: SeedLanes, group: Sequence[_Piece], keep: int) -> Sifting:
        """What is asked of a kernel about a group; one part a piece."""
        first, last = group[0], group[-1]
        places = _places(self.question, self.shown, first.gap, first.offset)
        return Sifting(
            lanes=lanes,
            seeds=range(first.seeds.start, last.seeds.stop),
            part=_BLOCKS_AT_ONCE * BLOCK_SEEDS,
            moves=lanes.work_moves([int(place) for place in places]),
            shift=self.shown.shift,
            tests=self.shown.tests(lanes.word),
            looks=self.looks,
            keep=keep,
        )

    def sift_slowly(self, group: Sequence[_Piece], keep: int) -> list[Sifted]:
        """By numpy, what has no kernel; one a piece."""
        return [self._sift_slowly(piece, keep) for piece in group]

    def _sift_slowly(self, piece: _Piece, keep: int) -> Sifted:
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
        return Sifted.of(len(piece.seeds), passed, seeds, matched, keep)


def _places(question: Question, shown: Shown, gap: int, offset: int) -> Numbers:
    return shown.places(question, gap) + offset * question.outputs_per_draw
