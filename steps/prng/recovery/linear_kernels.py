"""Small systems over GF(2): up to 128 unknowns, a row of coefficients in two words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steps.prng.recovery.compiled import compiled

Words = NDArray[np.uint64]
Flags = NDArray[np.uint8]

_WORD = 64
_ONE = np.uint64(1)
_BYTE = np.uint64(255)


@compiled
def product(left: Words, right: Words) -> Words:
    """The product of bit matrices, rows (n, 2) each: first `right`, then `left`."""
    made = np.empty_like(left)
    for row in range(left.shape[0]):
        made[row, 0], made[row, 1] = _sum_of_rows(left[row, 0], left[row, 1], right)
    return made


@compiled
def rows_of_draws(start: Words, step: Words, made: Words) -> None:
    """Fill made (draws, r, 2): start (r, 2), times step (n, 2) once more from draw to draw."""
    draws, rows, _ = made.shape
    for row in range(rows):
        made[0, row, 0], made[0, row, 1] = start[row, 0], start[row, 1]
        for draw in range(1, draws):
            low, high = _sum_of_rows(made[draw - 1, row, 0], made[draw - 1, row, 1], step)
            made[draw, row, 0], made[draw, row, 1] = low, high


@compiled
def subset_solution(
    rows: Words,
    known: Flags,
    right: Flags,
    unknowns: int,
    trials: int,
    seed: np.uint64,
    floor: int,
    solution: Words,
) -> int:
    """Solve from random subsets of draws until `floor` draws agree; returns the trial, or -1.

    rows: (draws, r, 2); known, right (draws, r): whether an equation holds and its right side. A
    trial takes draws in random order until they determine all unknowns; a draw agrees if all its
    equations do. No state of zeros counts: it explains nothing but zeros. solution (2,) is written
    at a return other than -1.
    """
    draws, per_draw = known.shape
    order = np.arange(draws)
    pivots = np.empty((unknowns, 2), np.uint64)
    sides = np.empty(unknowns, np.uint8)
    taken = np.empty(unknowns, np.uint8)
    random = seed | _ONE
    for trial in range(trials):
        for lead in range(unknowns):
            taken[lead] = 0
        rank = 0
        sound = True
        for place in range(draws):
            random ^= random << np.uint64(13)
            random ^= random >> np.uint64(7)
            random ^= random << np.uint64(17)
            other = place + np.int64((random >> np.uint64(11)) % np.uint64(draws - place))
            draw = order[other]
            order[other] = order[place]
            order[place] = draw
            for number in range(per_draw):
                if sound and known[draw, number]:
                    low, high = rows[draw, number, 0], rows[draw, number, 1]
                    side = right[draw, number]
                    while low | high:
                        lead = _lowest_bit(low, high)
                        if not taken[lead]:
                            pivots[lead, 0], pivots[lead, 1] = low, high
                            sides[lead] = side
                            taken[lead] = 1
                            rank += 1
                            break
                        low ^= pivots[lead, 0]
                        high ^= pivots[lead, 1]
                        side ^= sides[lead]
                    if low | high == 0 and side:
                        sound = False
            if rank == unknowns or not sound:
                break
        if not sound or rank < unknowns:
            continue
        low = high = np.uint64(0)
        for lead in range(unknowns - 1, -1, -1):
            side = sides[lead] ^ _parity((pivots[lead, 0] & low) ^ (pivots[lead, 1] & high))
            if side:
                if lead < _WORD:
                    low |= _ONE << np.uint64(lead)
                else:
                    high |= _ONE << np.uint64(lead - _WORD)
        if low | high == 0:
            continue
        agreed = 0
        for draw in range(draws):
            agrees = 1
            for number in range(per_draw):
                if known[draw, number]:
                    bits = (rows[draw, number, 0] & low) ^ (rows[draw, number, 1] & high)
                    agrees &= _parity(bits) == right[draw, number]
            agreed += agrees
        if agreed >= floor:
            solution[0], solution[1] = low, high
            return trial
    return -1


@compiled
def _sum_of_rows(low: np.uint64, high: np.uint64, rows: Words) -> tuple[np.uint64, np.uint64]:
    """The sum of the rows (n, 2) whose bits are set in the two words."""
    total_low = total_high = np.uint64(0)
    for row in range(rows.shape[0]):
        word = low if row < _WORD else high
        if (word >> np.uint64(row % _WORD)) & _ONE:
            total_low ^= rows[row, 0]
            total_high ^= rows[row, 1]
    return total_low, total_high


@compiled
def _lowest_bit(low: np.uint64, high: np.uint64) -> int:
    bits, place = low, 0
    if low == 0:
        bits, place = high, _WORD
    while not bits & _BYTE:
        bits >>= np.uint64(8)
        place += 8
    while not bits & _ONE:
        bits >>= _ONE
        place += 1
    return place


@compiled
def _parity(bits: np.uint64) -> np.uint8:
    bits ^= bits >> np.uint64(32)
    bits ^= bits >> np.uint64(16)
    bits ^= bits >> np.uint64(8)
    bits ^= bits >> np.uint64(4)
    bits ^= bits >> np.uint64(2)
    bits ^= bits >> np.uint64(1)
    return np.uint8(bits & _ONE)
