"""Seed one generator many times over, look at a few of its outputs, and keep the seeds that match.

One file, because numba's cache sees a change in a kernel's own file only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steps.prng.recovery.compiled import (
    add32,
    and32,
    compiled,
    left32,
    multiply32,
    or32,
    right32,
    subtract32,
    xor32,
)

# So many side by side that a block stays in the cache nearest to the processor.
LANES = 1024
# Blocks that are collected at once, and lanes that are looked at together then.
_BLOCKS = 16
_GROUP = 32

Words = NDArray[np.uint64]
Halves = NDArray[np.uint32]
Bytes = NDArray[np.uint8]

_LANE = np.uint64(LANES - 1)
_FULL = 128
_ANY_FULL = np.uint64(0x8080808080808080)
_LOW_32 = np.uint64(0xFFFFFFFF)
_STRIDE = np.uint64(0x9E3779B97F4A7C15)
_STAR = np.uint64(0x2545F4914F6CDD1D)


class Work(NamedTuple):
    """What a kernel is told, and where it writes.

    Seeds are first, first + 1, ..., `size` of them, or those of the pool (n,) where it is not
    empty. constants and moves (looks, 2): of the generator's own meaning. shift, tests (looks, 4):
    as Shown.tests has them, for an output shifted to the right. floor: the matches wanted, 1..127.
    Seeds and their matches go to kept and matched (capacity,); a kernel returns how many there
    were, which may be more than the capacity.
    """

    first: np.uint64
    pool: Words
    size: int
    constants: Words
    moves: Words
    shift: np.uint64
    tests: Words
    floor: int
    kept: Words
    matched: Bytes


@compiled
def java(work: Work) -> int:
    """constants: the scramble. moves: multiplier and addend from the seeded state on."""
    own, out, counts = _lanes64(), _lanes32(), _counts()
    ahead = _ahead(work, work.constants[0] & _LANE)
    scramble = work.constants[0]
    total = 0
    for block in range(0, work.size, LANES):
        first = work.first + np.uint64(block)
        # Upper bits and lane of a seed add up, and so do their products.
        tabled = not work.pool.shape[0] and not first & _LANE
        hits = _cleared(counts, block, work.floor)
        for look in range(work.moves.shape[0]):
            factor, addend = work.moves[look, 0], work.moves[look, 1]
            if tabled:
                table = ahead[look]
                start = ((first ^ scramble) & ~_LANE) * factor + addend
            else:
                table, start = own, addend
                _load(work, block, own)
                for lane in range(LANES):
                    own[lane] = (own[lane] ^ scramble) * factor
            for lane in range(LANES):
                out[lane] = np.uint32((table[lane] + start) >> np.uint64(16))
            _tally32(out, work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def pcg32(work: Work) -> int:
    """constants: the increment. moves: multiplier and addend from seed + increment."""
    own, low, high = _lanes64(), _lanes32(), _lanes32()
    out, counts = _lanes32(), _counts()
    ahead = _ahead(work, np.uint64(0))
    looks = work.moves.shape[0]
    # 64-bit words by their halves: twice as many lanes in a vector.
    lows, highs = np.empty((looks, LANES), np.uint32), np.empty((looks, LANES), np.uint32)
    for look in range(looks):
        _halve(ahead[look], lows[look], highs[look])
    total = 0
    for block in range(0, work.size, LANES):
        hits = _cleared(counts, block, work.floor)
        for look in range(looks):
            factor, addend = work.moves[look, 0], work.moves[look, 1]
            upper, lower = highs[look], lows[look]
            start = (work.first + np.uint64(block) + work.constants[0]) * factor + addend
            if work.pool.shape[0]:
                start = work.constants[0] * factor + addend
                _load(work, block, own)
                for lane in range(LANES):
                    own[lane] *= factor
                _halve(own, low, high)
                upper, lower = high, low
            start_low, start_high = np.uint32(start), np.uint32(start >> np.uint64(32))
            for lane in range(LANES):
                l32 = add32(lower[lane], start_low)
                h32 = add32(add32(upper[lane], start_high), np.uint32(l32 < start_low))
                # Bits 27 to 58 of word ^ word >> 18.
                shown = or32(right32(l32, np.uint32(27)), left32(h32, np.uint32(5)))
                shown = xor32(shown, right32(h32, np.uint32(13)))
                turn = right32(h32, np.uint32(27))
                back = and32(subtract32(np.uint32(0), turn), np.uint32(31))
                out[lane] = or32(right32(shown, turn), left32(shown, back))
            _tally32(out, work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def xorshift32(work: Work) -> int:
    """constants: 1 where the seed goes through splitmix64 first. moves: steps to the output."""
    seeds, state, counts = _lanes64(), _lanes32(), _counts()
    total = 0
    for block in range(0, work.size, LANES):
        if work.constants[0] or work.pool.shape[0]:
            _load(work, block, seeds)
            for lane in range(LANES):
                seed = _mixed(seeds[lane] + _STRIDE) if work.constants[0] else seeds[lane]
                state[lane] = np.uint32(seed)
        else:
            first = np.uint32(work.first + np.uint64(block))
            for lane in range(LANES):
                state[lane] = add32(first, np.uint32(lane))
        hits = _cleared(counts, block, work.floor)
        for look in range(work.moves.shape[0]):
            for _ in range(work.moves[look, 0]):
                for lane in range(LANES):
                    word = state[lane]
                    word = xor32(word, left32(word, np.uint32(13)))
                    word = xor32(word, right32(word, np.uint32(17)))
                    state[lane] = xor32(word, left32(word, np.uint32(5)))
            _tally32(state, work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def xorshift64(work: Work) -> int:
    """constants: as xorshift32; 1 for xorshift64*, shifts (3,) right, left, right of it or not."""
    state, out, counts = _lanes64(), _lanes64(), _counts()
    first, second, third = work.constants[2], work.constants[3], work.constants[4]
    total = 0
    for block in range(0, work.size, LANES):
        hits = _begun(work, block, state, counts)
        if work.constants[0]:
            for lane in range(LANES):
                state[lane] = _mixed(state[lane] + _STRIDE)
        for look in range(work.moves.shape[0]):
            for _ in range(work.moves[look, 0]):
                if work.constants[1]:
                    for lane in range(LANES):
                        word = state[lane]
                        word ^= word >> first
                        word ^= word << second
                        state[lane] = word ^ (word >> third)
                else:
                    for lane in range(LANES):
                        word = state[lane]
                        word ^= word << first
                        word ^= word >> second
                        state[lane] = word ^ (word << third)
            if work.constants[1]:
                for lane in range(LANES):
                    out[lane] = state[lane] * _STAR
                _tally64(out, work.shift, work.tests, look, hits)
            else:
                _tally64(state, work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def splitmix64(work: Work) -> int:
    """moves: what to add to the seed."""
    seeds, out, counts = _lanes64(), _lanes64(), _counts()
    total = 0
    for block in range(0, work.size, LANES):
        hits = _begun(work, block, seeds, counts)
        for look in range(work.moves.shape[0]):
            addend = work.moves[look, 0]
            for lane in range(LANES):
                out[lane] = _mixed(seeds[lane] + addend)
            _tally64(out, work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def xoshiro256plusplus(work: Work) -> int:
    """moves: steps before the one that gives the output."""
    seeds, out, counts = _lanes64(), _lanes64(), _counts()
    a, b, c, d = _lanes64(), _lanes64(), _lanes64(), _lanes64()
    total = 0
    for block in range(0, work.size, LANES):
        hits = _begun(work, block, seeds, counts)
        for lane in range(LANES):
            a[lane] = _mixed(seeds[lane] + _STRIDE)
            b[lane] = _mixed(seeds[lane] + _STRIDE * np.uint64(2))
            c[lane] = _mixed(seeds[lane] + _STRIDE * np.uint64(3))
            d[lane] = _mixed(seeds[lane] + _STRIDE * np.uint64(4))
        for look in range(work.moves.shape[0]):
            for _ in range(work.moves[look, 0]):
                for lane in range(LANES):
                    c_a, d_b = c[lane] ^ a[lane], d[lane] ^ b[lane]
                    c[lane] = c_a ^ (b[lane] << np.uint64(17))
                    a[lane] ^= d_b
                    b[lane] ^= c_a
                    d[lane] = _turned(d_b, np.uint64(45))
            for lane in range(LANES):
                out[lane] = _turned(a[lane] + d[lane], np.uint64(23)) + a[lane]
            _tally64(out, work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def sfc64(work: Work) -> int:
    """The seed in three words. moves: steps before the one that gives the output."""
    seeds, out, counts = _lanes64(), _lanes64(), _counts()
    a, b, c = _lanes64(), _lanes64(), _lanes64()
    total = 0
    for block in range(0, work.size, LANES):
        hits = _begun(work, block, seeds, counts)
        for lane in range(LANES):
            a[lane] = b[lane] = c[lane] = seeds[lane]
        counter = np.uint64(1)
        for look in range(work.moves.shape[0]):
            for _ in range(work.moves[look, 0]):
                for lane in range(LANES):
                    summed = a[lane] + b[lane] + counter
                    a[lane] = b[lane] ^ (b[lane] >> np.uint64(11))
                    b[lane] = c[lane] * np.uint64(9)
                    c[lane] = _turned(c[lane], np.uint64(24)) + summed
                counter += np.uint64(1)
            for lane in range(LANES):
                out[lane] = a[lane] + b[lane] + counter
            _tally64(out, work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def philox4x32(work: Work) -> int:
    """The seed is the key. moves: the counter, and which of its four outputs."""
    seeds, out, counts = _lanes64(), _lanes32(), _counts()
    total = 0
    for block in range(0, work.size, LANES):
        hits = _begun(work, block, seeds, counts)
        for look in range(work.moves.shape[0]):
            counter, which = work.moves[look, 0], work.moves[look, 1]
            for lane in range(LANES):
                w0, w1 = counter & _LOW_32, counter >> np.uint64(32)
                w2 = w3 = np.uint64(0)
                low, high = seeds[lane] & _LOW_32, seeds[lane] >> np.uint64(32)
                for _ in range(10):
                    left, right = w0 * np.uint64(0xD2511F53), w2 * np.uint64(0xCD9E8D57)
                    w0, w1 = (right >> np.uint64(32)) ^ w1 ^ low, right & _LOW_32
                    w2, w3 = (left >> np.uint64(32)) ^ w3 ^ high, left & _LOW_32
                    low = (low + np.uint64(0x9E3779B9)) & _LOW_32
                    high = (high + np.uint64(0xBB67AE85)) & _LOW_32
                even, odd = (w0, w1) if which < 2 else (w2, w3)
                out[lane] = np.uint32(odd if which & np.uint64(1) else even)
            _tally32(out, work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def mt19937(work: Work) -> int:
    """init_genrand. moves: number of the output, 0..226, ascending: those of untwisted words."""
    seeds, state, counts = _lanes64(), _lanes32(), _counts()
    looks = work.moves.shape[0]
    joined = np.empty((looks, LANES), np.uint32)
    last = np.int64(work.moves[looks - 1, 0]) + 397
    total = 0
    for block in range(0, work.size, LANES):
        hits = _begun(work, block, seeds, counts)
        for lane in range(LANES):
            state[lane] = np.uint32(seeds[lane])
        for number in range(last + 1):
            if number:
                for lane in range(LANES):
                    word = xor32(state[lane], right32(state[lane], np.uint32(30)))
                    word = multiply32(word, np.uint32(1812433253))
                    state[lane] = add32(word, np.uint32(number))
            for look in range(looks):
                behind = number - np.int64(work.moves[look, 0])
                if behind == 0:
                    for lane in range(LANES):
                        joined[look, lane] = and32(state[lane], np.uint32(0x80000000))
                elif behind == 1:
                    for lane in range(LANES):
                        low = and32(state[lane], np.uint32(0x7FFFFFFF))
                        joined[look, lane] = or32(joined[look, lane], low)
                elif behind == 397:
                    _temper(joined[look], state)
                    _tally32(joined[look], work.shift, work.tests, look, hits)
        if _due(block, work.size):
            total = _collect(work, counts, block, total)
    return total


@compiled
def _temper(joined: Halves, ahead: Halves) -> None:
    """Outputs, in place, of the joined words and the words 397 places ahead."""
    for lane in range(LANES):
        word = joined[lane]
        odd = subtract32(np.uint32(0), and32(word, np.uint32(1)))
        word = xor32(right32(word, np.uint32(1)), and32(odd, np.uint32(0x9908B0DF)))
        word = xor32(word, ahead[lane])
        word = xor32(word, right32(word, np.uint32(11)))
        word = xor32(word, and32(left32(word, np.uint32(7)), np.uint32(0x9D2C5680)))
        word = xor32(word, and32(left32(word, np.uint32(15)), np.uint32(0xEFC60000)))
        joined[lane] = xor32(word, right32(word, np.uint32(18)))


@compiled
def _mixed(word: np.uint64) -> np.uint64:
    """The output function of splitmix64."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@compiled
def _turned(word: np.uint64, bits: np.uint64) -> np.uint64:
    return (word << bits) | (word >> (np.uint64(64) - bits))


@compiled
def _lanes64() -> Words:
    return np.empty(LANES, np.uint64)


@compiled
def _lanes32() -> Halves:
    return np.empty(LANES, np.uint32)


@compiled
def _halve(words: Words, low: Halves, high: Halves) -> None:
    """The lower and the upper 32 bits of every lane."""
    for lane in range(LANES):
        low[lane], high[lane] = np.uint32(words[lane]), np.uint32(words[lane] >> np.uint64(32))


@compiled
def _counts() -> Bytes:
    """Matches of every lane of as many blocks as are collected at once."""
    return np.empty((_BLOCKS, LANES), np.uint8)


@compiled
def _cleared(counts: Bytes, block: int, floor: int) -> Bytes:
    """The block's counts. With `floor` more, a count has its upper bit set."""
    hits: Bytes = counts[block // LANES % _BLOCKS]
    for lane in range(LANES):
        hits[lane] = np.uint8(_FULL - floor)
    return hits


@compiled
def _ahead(work: Work, turn: np.uint64) -> Words:
    """How much further each lane is than lane 0, (looks, LANES): (lane ^ turn) * multiplier."""
    made = np.empty((work.moves.shape[0], LANES), np.uint64)
    for look in range(work.moves.shape[0]):
        for lane in range(LANES):
            made[look, lane] = (np.uint64(lane) ^ turn) * work.moves[look, 0]
    return made


@compiled
def _begun(work: Work, block: int, seeds: Words, counts: Bytes) -> Bytes:
    """Fill in the block's seeds; its counts, cleared."""
    _load(work, block, seeds)
    return _cleared(counts, block, work.floor)


@compiled
def _load(work: Work, block: int, seeds: Words) -> None:
    if work.pool.shape[0]:
        for lane in range(LANES):
            seeds[lane] = work.pool[min(block + lane, work.pool.shape[0] - 1)]
    else:
        for lane in range(LANES):
            seeds[lane] = work.first + np.uint64(block + lane)


@compiled
def _tally32(out: Halves, shift: np.uint64, tests: Words, look: int, hits: Bytes) -> None:
    """Count the outputs that match."""
    less, inverse = np.uint32(tests[look, 0]), np.uint32(tests[look, 1])
    right, ceiling = np.uint32(tests[look, 2]), np.uint32(tests[look, 3])
    left = and32(subtract32(np.uint32(0), right), np.uint32(31))
    low = np.uint32(shift)
    for lane in range(LANES):
        rest = multiply32(subtract32(right32(out[lane], low), less), inverse)
        hits[lane] += or32(right32(rest, right), left32(rest, left)) <= ceiling


@compiled
def _tally64(out: Words, shift: np.uint64, tests: Words, look: int, hits: Bytes) -> None:
    less, inverse = tests[look, 0], tests[look, 1]
    right, ceiling = tests[look, 2], tests[look, 3]
    left = (np.uint64(64) - right) & np.uint64(63)
    for lane in range(LANES):
        rest = ((out[lane] >> shift) - less) * inverse
        hits[lane] += ((rest >> right) | (rest << left)) <= ceiling


@compiled
def _due(block: int, size: int) -> bool:
    """Whether counts are full up or this is the last block."""
    return block // LANES % _BLOCKS + 1 == _BLOCKS or block + LANES >= size


@compiled
def _collect(work: Work, counts: Bytes, block: int, total: int) -> int:
    """Keep the seeds whose count is full, up to this block; returns the new total.

    One lane in a thousand is full, and a branch there, which no processor foresees, would cost as
    much as all else. So places are written down without one, and only then gone to.
    """
    row = block // LANES % _BLOCKS
    hits = counts.reshape(-1)
    flags = hits.view(np.uint64)
    groups, lanes = np.empty(hits.shape[0] // _GROUP + 1, np.int64), np.empty(_GROUP + 1, np.int64)
    marked = 0
    for group in range((row + 1) * LANES // _GROUP):
        some = np.uint64(0)
        for word in range(_GROUP // 8):
            some |= flags[group * (_GROUP // 8) + word]
        groups[marked] = group * _GROUP
        marked += int((some & _ANY_FULL) != 0)
    for mark in range(marked):
        full = 0
        for lane in range(groups[mark], groups[mark] + _GROUP):
            lanes[full] = lane
            full += int(hits[lane] >= _FULL)
        for place in range(full):
            lane = lanes[place]
            number = block - row * LANES + lane
            if number < work.size:
                if total < work.kept.shape[0]:
                    seed = work.first + np.uint64(number)
                    if work.pool.shape[0]:
                        seed = work.pool[number]
                    work.kept[total] = seed
                    work.matched[total] = hits[lane] - _FULL + work.floor
                total += 1
    return total
