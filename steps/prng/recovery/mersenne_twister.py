"""Recover the state of a Mersenne twister from draws alone, whatever seeded it.

Every bit of an output is a sum of the 19,937 bits of the state. With M = 2^k * q and u % M the
lower k bits of a draw are bits of an output, with floor(u * M) its first bits as far as the range's
ends agree. Draws with 19,937 independent such bits give the state; each further bit is a test that
a wrong answer passes with probability one half.

All of these draws must be right and in their places: one corrupted or missing draw among the
thousands spoils the equations, and there is no telling which. Draws that are known to be unreadable
are left out. With enough draws up to 64 windows are solved at once, which share their coefficients,
so that a slip now and then is survived: one clean window will do. A rate of corruption above one in
a few thousand is out of reach.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from steps.prng.base import Words
from steps.prng.generators.mersenne import MersenneTwister
from steps.prng.recovery.found import UNREAD, CannotRecover, Search, TooFewDraws
from steps.prng.recovery.gf2 import Solution, solve
from steps.prng.recovery.question import Judge, Question
from steps.prng.recovery.shown import Shown, show
from steps.prng.recovery.twister_kernels import fill_equations

_DEGREE = 19937
_WORD = 64
# Equations beyond the unknowns. Consecutive outputs' lower bits repeat themselves: 8,000 draws of
# u % 1000 determine the state where 6,720 do not, though these have more equations than unknowns.
_SPARE = 1.2
# Where these do not do: so many times as many.
_MORE = 1.25
_SYSTEMS = 64


def recover_mersenne_twister(question: Question) -> Search:
    """Find state and gap of mt19937 or mt19937_64, wherever in its stream the draws begin.

    Mappings mod and digits_mod with M even, next_int, multiply. Draws wanted: 8,000 of u % 1000,
    24,000 of u % 10. A gap costs a few seconds. Raises CannotRecover, TooFewDraws.
    """
    twister = question.generator
    if not isinstance(twister, MersenneTwister):
        raise CannotRecover(f"{twister.name} is no Mersenne twister")
    shown = show(question)
    known = np.bitwise_count(shown.known_bits()[0]).reshape(-1, shown.per_draw).sum(axis=1)
    if not known.any():
        raise CannotRecover(
            f"{question.name}: draws show no bits of an output; wanted u % M with M even"
        )
    judge = Judge(question, _DEGREE * math.log(2))
    for gap in question.gaps:
        for windows in _windows(question, shown, known):
            if question.should_stop():
                return judge.search(complete=False)
            solution = _solve(question, twister, windows, gap)
            if solution.rank < _DEGREE:
                continue
            for state, first in _states(twister, windows, solution):
                if judge.try_state(state, gap, first):
                    return judge.search()
            break
        else:
            wanted = math.ceil(known.shape[0] * _MORE)
            raise TooFewDraws(f"the state of {question.name} (gap {gap})", wanted, known.shape[0])
    return judge.search()


def _windows(question: Question, shown: Shown, known: NDArray[np.uint8]) -> Iterator[list[Shown]]:
    """Windows of the history to be solved together, longer and longer ones."""
    equations = np.cumsum(known)
    readable = known.shape[0]
    if equations[-1] < _DEGREE * _SPARE:
        wanted = math.ceil(_DEGREE * _SPARE / float(known.mean()))
        raise TooFewDraws(f"the state of {question.name}", wanted, readable)
    draws = int(np.searchsorted(equations, _DEGREE * _SPARE)) + 1
    # Windows share coefficients where all draws can be read and show the same bits.
    alike = bool((question.draws != UNREAD).all() and (known == known[0]).all())
    while True:
        starts = np.linspace(0, readable - draws, _SYSTEMS if alike else 1).astype(np.int64)
        yield [
            shown.rows(start * shown.per_draw, (start + draws) * shown.per_draw)
            for start in np.unique(starts).tolist()
        ]
        if draws == readable:
            return
        draws = min(math.ceil(draws * _MORE), readable)


def _solve(
    question: Question, twister: MersenneTwister, windows: list[Shown], gap: int
) -> Solution:
    """The systems of all windows, which differ in their right sides only."""
    twist = twister.twist
    shifts = np.arange(twist.word_bits, dtype=np.uint64)
    mask, _ = windows[0].known_bits()
    sides = np.zeros((mask.shape[0], twist.word_bits), np.uint64)
    for system, window in enumerate(windows):
        bits = window.known_bits()[1][:, np.newaxis] >> shifts & np.uint64(1)
        sides |= bits << np.uint64(system)
    columns = twist.words * twist.word_bits
    matrix = np.zeros((int(np.bitwise_count(mask).sum()), columns // _WORD + 1), np.uint64)
    places = windows[0].places(question, gap)
    fill_equations(
        matrix,
        places - (places[0] - windows[0].place[0]),
        mask,
        sides,
        twist.words,
        twist.shift,
        np.uint64(twist.matrix),
        _tempering(twister),
    )
    return solve(matrix, columns)


def _states(
    twister: MersenneTwister, windows: list[Shown], solution: Solution
) -> Iterator[tuple[Words, int]]:
    """States (state_words,) that no equation contradicts, and the draw each comes before."""
    twist = twister.twist
    values = solution.values.reshape(twist.words, twist.word_bits)
    shifts = np.arange(twist.word_bits, dtype=np.uint64)
    sound = np.flatnonzero(solution.inconsistent[: len(windows)] == 0)
    for system in sound.tolist():
        bits = values >> np.uint64(system) & np.uint64(1)
        words = np.bitwise_or.reduce(bits << shifts, axis=1)
        state = np.append(words, np.uint64(0))[np.newaxis]
        # There and back: the bits that are never read become what they would have been.
        yield twister.jump(twister.jump(state, 1), -1)[0], int(windows[system].draw[0])


def _tempering(twister: MersenneTwister) -> Words:
    """Which bits of a word (word_bits,) each bit of an output is the sum of."""
    places = np.arange(twister.word_bits, dtype=np.uint64)
    words = np.uint64(1) << places
    for shift, mask in twister.twist.tempering:
        moved = words >> np.uint64(shift) if shift > 0 else words << np.uint64(-shift)
        words = words ^ (moved & np.uint64(mask))
    # Bit b of words[a] says that input bit a goes into output bit b.
    goes = words[np.newaxis, :] >> places[:, np.newaxis] & np.uint64(1)
    made: Words = np.bitwise_or.reduce(goes << places, axis=1)
    return made
