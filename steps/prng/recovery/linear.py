"""Recover the state of a small generator that is linear over GF(2): the xorshift family.

Every bit of an output is a sum of bits of the state. With u % M and M = 2^k * q the lower k bits of
a draw are bits of the output, with a part of the range its first bits are as far as the range's
ends agree: a linear equation each, three a draw for M = 1000. As many as the state has bits give
the state, whatever the gap; what the other draws say is the test. xorshift64* multiplies its
output, which leaves the lowest three bits linear, and no other.

With corrupted draws the state is solved from random subsets, until one of clean draws is met. From
a long history and for M = 1000 that is one subset of 13 draws in 25 for xorshift32 at a quarter
corrupted; of 24 draws one in 9 for xorshift64 at a tenth, in 380 at a quarter; of 45 draws one in 8
for xorshift128 at a twentieth, in 62 at a tenth. A short history has fewer clean subsets still:
four times the draws of a subset are well spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.prng.base import Words
from steps.prng.generators.xorshift import Xorshift, Xorshift128, XorshiftStar
from steps.prng.recovery.found import CannotRecover, Search
from steps.prng.recovery.linear_kernels import product, rows_of_draws, subset_solution
from steps.prng.recovery.looks import Odds, observations_wanted, plan_looks
from steps.prng.recovery.question import Judge, Question
from steps.prng.recovery.shown import Shown, show
from steps.prng.recovery.windows import windows

_WORD = 64
# Draws beyond those that have an equation for each unknown, lest some equations repeat.
_SPARE_DRAWS = 2
# Upper bits of neighbouring outputs of xorshift128 repeat more: M 1000 takes 23 draws, not 15.
_SPARE_UPPER_BITS = 9
# Trials in all, with 128 unknowns a few minutes; and between two questions whether to stop.
_MOST_TRIALS = 1 << 22
_TRIALS_AT_ONCE = 1 << 14
# A true state may be passed over as often as this.
_MISS = 2e-3
# The multiplier of xorshift64* is 5 modulo 8: x * 5 = x ^ (x << 2) as far as three bits go.
_STAR_BITS = 0b111


def recover_linear(question: Question) -> Search:
    """Find state and gap of xorshift32, 64, 128 or xorshift64*, wherever in its stream.

    Raises CannotRecover for another generator, for draws that show no bits of an output (M odd) and
    where corruption would take too many trials; TooFewDraws.
    """
    system = _System.of(question)
    judge = Judge(question, system.unknowns * math.log(2))
    # Windows alike in which draws can be read share their coefficients.
    apart = np.zeros(0, np.int64)
    rows_of: dict[int, Words] = {}
    for number, shown in enumerate(windows(question, system.shown, system.draws)):
        known, right = system.right_sides(shown)
        if not np.array_equal(apart, shown.draw - shown.draw[0]):
            apart = shown.draw - shown.draw[0]
            rows_of.clear()
        for gap in question.gaps:
            if gap not in rows_of:
                rows_of[gap] = system.rows(shown, (gap + 1) * question.outputs_per_draw)
            rows = rows_of[gap]
            for done in range(0, system.trials, _TRIALS_AT_ONCE):
                if question.should_stop():
                    return judge.search(complete=False)
                solution = np.zeros(2, np.uint64)
                trial = subset_solution(
                    rows,
                    known,
                    right,
                    system.unknowns,
                    min(_TRIALS_AT_ONCE, system.trials - done),
                    np.uint64(0x9E3779B97F4A7C15 ^ (done << 20) ^ number),
                    system.floor,
                    solution,
                )
                if trial >= 0:
                    if judge.try_state(system.state(solution), gap, int(shown.draw[0])):
                        return judge.search()
                    break
    return judge.search()


def subsets_of(question: Question) -> tuple[int, int]:
    """Draws that recover_linear works on from one start, and subsets of them that it may try.

    Raises as recover_linear does before it begins.
    """
    system = _System.of(question)
    question.require(system.draws, "the search for a state")
    return system.draws, system.trials


@dataclass(frozen=True, eq=False)
class _System:
    """What does not depend on window and gap.

    step (unknowns, 2): a step's matrix by rows; outputs (b, 2): rows of the output's bits that
    draws can show, whose numbers `bits` (b,) has. draws: a window's, of which `floor` must agree.
    """

    shown: Shown
    unknowns: int
    words: int
    step: Words
    outputs: Words
    bits: NDArray[np.int64]
    draws: int
    floor: int
    trials: int

    @classmethod
    def of(cls, question: Question) -> _System:
        generator = question.generator
        if not isinstance(generator, Xorshift | Xorshift128):
            raise CannotRecover(f"{generator.name} is not linear over GF(2), or has its own method")
        shown = show(question)
        usable = _STAR_BITS if isinstance(generator, XorshiftStar) else (1 << _WORD) - 1
        mask = shown.known_bits()[0] & np.uint64(usable)
        union = int(np.bitwise_or.reduce(mask, initial=0))
        bits = np.array([bit for bit in range(_WORD) if union >> bit & 1], np.int64)
        unknowns, words = generator.state_bits, generator.state_words
        known = np.bitwise_count(mask).reshape(-1, shown.per_draw).sum(axis=1)
        per_draw = float(known.mean()) if known.size else 1.0
        if not per_draw:
            raise CannotRecover(
                f"{question.name}: draws show no bits of an output; wanted u % M with M even"
            )
        width = unknowns // words
        unit = np.zeros((unknowns, words), np.uint64)
        places = np.arange(unknowns)
        unit[places, places // width] = np.uint64(1) << (places % width).astype(np.uint64)
        outputs, after = generator.step(unit)
        shifts = np.arange(width, dtype=np.uint64)
        step = (after[:, :, np.newaxis] >> shifts & np.uint64(1)).reshape(unknowns, unknowns).T
        output = (outputs[:, np.newaxis] >> bits.astype(np.uint64) & np.uint64(1)).T

        corruption = question.corruption
        chance = float(np.mean(0.5 ** known.astype(np.float64))) if known.size else 0.5
        by_chance = corruption if shown.per_draw == 1 else 0.0
        odds = Odds(chance, 1 - corruption + by_chance * chance)
        # Random subsets are of draws apart.
        repeats = isinstance(generator, Xorshift128) and not corruption and bits[0] > 0
        spare = _SPARE_UPPER_BITS if repeats else _SPARE_DRAWS
        solving = math.ceil(unknowns / per_draw) + spare
        log_gaps = math.log(len(question.gaps))
        fewest = solving + observations_wanted(odds, log_gaps + math.log(1 + 1e3 * corruption))
        # From a window hardly larger than a subset there are few subsets without a corrupted draw.
        roomy = fewest if not corruption else fewest * (4 if not question.missing_rate else 2)
        draws = max(fewest, min(roomy, known.shape[0]))
        trials = _trials(draws, solving, odds.hit)
        if trials is None or trials * len(question.gaps) > _MOST_TRIALS:
            raise CannotRecover(
                f"{question.name}: with {corruption:.0%} of the draws corrupted, {draws} draws and "
                f"{len(question.gaps)} gaps want more than {_MOST_TRIALS} subsets of {solving}; "
                "wanted fewer gaps or cleaner draws"
                + (", or more of them" if draws < roomy else "")
            )
        plan = plan_looks(draws - solving, odds, math.log(trials) + log_gaps)
        return cls(
            shown,
            unknowns,
            words,
            _packed(step),
            _packed(output),
            bits,
            draws,
            solving + (plan.total_floor if plan else draws - solving),
            trials,
        )

    def rows(self, shown: Shown, stride: int) -> Words:
        """Coefficients (draws, per_draw * b, 2) of the window's draws, `stride` outputs apart."""
        start = [self.outputs]
        for _ in range(shown.per_draw - 1):
            start.append(product(start[-1], self.step))
        drawn = shown.draw[:: shown.per_draw]
        span = int(drawn[-1] - drawn[0]) + 1
        rows = np.empty((span, self.bits.shape[0] * shown.per_draw, 2), np.uint64)
        rows_of_draws(np.concatenate(start), _power(self.step, stride), rows)
        return np.ascontiguousarray(rows[drawn - drawn[0]])

    def right_sides(self, shown: Shown) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Which equations hold and what they sum to, (draws, per_draw * b) each."""
        mask, value = shown.known_bits()
        shifts = self.bits.astype(np.uint64)
        sides = (mask[:, np.newaxis] >> shifts, value[:, np.newaxis] >> shifts)
        draws = shown.draw.shape[0] // shown.per_draw
        known, right = ((side & np.uint64(1)).astype(np.uint8).reshape(draws, -1) for side in sides)
        return known, right

    def state(self, solution: Words) -> Words:
        """The generator's words (state_words,) of a solution (2,)."""
        whole = int(solution[0]) | int(solution[1]) << _WORD
        width = self.unknowns // self.words
        mask = (1 << width) - 1
        return np.array([whole >> width * word & mask for word in range(self.words)], np.uint64)


def _trials(draws: int, solving: int, hit: float) -> int | None:
    """Subsets of `solving` draws to try until one is clean, but for one history in 500.

    None where more than _MOST_TRIALS would not do.
    """
    clean = np.arange(solving, draws + 1)
    chances = [
        math.comb(draws, int(n)) * hit ** int(n) * (1 - hit) ** (draws - int(n)) for n in clean
    ]
    all_subsets = math.comb(draws, solving)
    sound = np.array([math.comb(int(n), solving) / all_subsets for n in clean])
    trials = 1
    while trials <= _MOST_TRIALS:
        if math.fsum(np.array(chances) * (1 - (1 - sound) ** trials)) >= 1 - _MISS:
            return trials
        trials *= 2
    return None


def _packed(bits: Words) -> Words:
    """Rows (n, 2) of a bit matrix (n, unknowns)."""
    made = np.zeros((bits.shape[0], 2 * _WORD), np.uint64)
    made[:, : bits.shape[1]] = bits
    return np.packbits(made.astype(np.uint8), axis=1, bitorder="little").view(np.uint64)


def _power(matrix: Words, exponent: int) -> Words:
    """A bit matrix (n, 2) times itself, exponent - 1 times."""
    result, square = matrix, matrix
    left = exponent - 1
    while left:
        if left & 1:
            result = product(result, square)
        square = product(square, square)
        left >>= 1
    return result
