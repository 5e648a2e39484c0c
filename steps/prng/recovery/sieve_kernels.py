"""Try many candidates for a part of a congruence's state against what the draws show of it.

Candidates go by in blocks of LANES. Every block is first held against a few observations at once
(`looks`, with vector instructions); whoever has `floor` matches there is held against all of them,
and kept with `total_floor`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steps.prng.recovery.compiled import add32, compiled, multiply32

LANES = 4096
# Lanes that are looked at together for one whose count is full.
_GROUP = 32
# A byte of the counts starts so that it reaches this bit exactly at `floor`.
_FULL = 128
_ANY_FULL = np.uint64(0x8080808080808080)
_PRIME = np.uint64((1 << 31) - 1)
_PRIME_BITS = np.uint64(31)

Words = NDArray[np.uint64]
Halves = NDArray[np.uint32]
Bytes = NDArray[np.uint8]
Counts = NDArray[np.uint8] | NDArray[np.int64]
Numbers = NDArray[np.int64]


@compiled
def low_candidates(
    start: np.uint32,
    count: int,
    scale: Halves,
    offset: Halves,
    ceiling: np.uint32,
    looks: int,
    floor: int,
    total_floor: int,
    kept: Words,
) -> int:
    """Low bits of a state, start..start + count - 1, that explain the observed low bits.

    scale, offset (observations,): candidate x matches observation j if x * scale[j] + offset[j],
    modulo 2^32, is under `ceiling`. Writes what it keeps into kept (capacity,); returns how many
    there were, which may be more than the capacity.
    """
    lanes = np.empty(LANES, np.uint32)
    hits, matches = np.empty(LANES, np.uint8), np.empty(LANES, np.int64)
    found = 0
    for block in range(0, count, LANES):
        for lane in range(LANES):
            lanes[lane] = add32(start, np.uint32(block + lane))
        hits[:] = _FULL - floor
        _low_matches(lanes, LANES, scale[:looks], offset, ceiling, hits)
        passed = _gather(lanes, hits, count - block)
        matches[:passed] = 0
        _low_matches(lanes, passed, scale, offset, ceiling, matches)
        found = _keep(lanes, matches, passed, total_floor, kept, found)
    return found


@compiled
def binary_candidates(
    base: np.uint64,
    stride: np.uint64,
    count: int,
    scale: Words,
    offset: Words,
    mask: np.uint64,
    shift: np.uint64,
    tests: Words,
    looks: int,
    floor: int,
    total_floor: int,
    kept: Words,
) -> int:
    """States base + t * stride, t < count, of a congruence modulo a power of two.

    The output at observation j is ((state * scale[j] + offset[j]) & mask) >> shift. tests
    (observations, 4): as Shown.tests has them. kept, result: as in low_candidates.
    """
    lanes, out = np.empty(LANES, np.uint64), np.empty(LANES, np.uint64)
    hits, matches = np.empty(LANES, np.uint8), np.empty(LANES, np.int64)
    found = 0
    for block in range(0, count, LANES):
        for lane in range(LANES):
            lanes[lane] = base + stride * np.uint64(block + lane)
        hits[:] = _FULL - floor
        _binary_matches(lanes, LANES, scale[:looks], offset, mask, shift, tests, out, hits)
        passed = _gather(lanes, hits, count - block)
        matches[:passed] = 0
        _binary_matches(lanes, passed, scale, offset, mask, shift, tests, out, matches)
        found = _keep(lanes, matches, passed, total_floor, kept, found)
    return found


@compiled
def prime_candidates(
    base: np.uint64,
    stride: np.uint64,
    count: int,
    scale: Words,
    tests: Words,
    looks: int,
    floor: int,
    total_floor: int,
    kept: Words,
) -> int:
    """States base + t * stride, t < count, of s -> scale * s modulo 2^31 - 1, which are the output.

    tests, kept, result: as in binary_candidates.
    """
    lanes, out = np.empty(LANES, np.uint64), np.empty(LANES, np.uint64)
    hits, matches = np.empty(LANES, np.uint8), np.empty(LANES, np.int64)
    found = 0
    for block in range(0, count, LANES):
        for lane in range(LANES):
            lanes[lane] = base + stride * np.uint64(block + lane)
        hits[:] = _FULL - floor
        _prime_matches(lanes, LANES, scale[:looks], tests, out, hits)
        passed = _gather(lanes, hits, count - block)
        matches[:passed] = 0
        _prime_matches(lanes, passed, scale, tests, out, matches)
        found = _keep(lanes, matches, passed, total_floor, kept, found)
    return found


@compiled
def _low_matches(
    lanes: Halves, size: int, scale: Halves, offset: Halves, ceiling: np.uint32, counts: Counts
) -> None:
    """Count the matches of the first `size` lanes."""
    for look in range(scale.shape[0]):
        factor, addend = scale[look], offset[look]
        for lane in range(size):
            counts[lane] += add32(multiply32(lanes[lane], factor), addend) < ceiling


@compiled
def _binary_matches(
    lanes: Words,
    size: int,
    scale: Words,
    offset: Words,
    mask: np.uint64,
    shift: np.uint64,
    tests: Words,
    out: Words,
    counts: Counts,
) -> None:
    for look in range(scale.shape[0]):
        factor, addend = scale[look], offset[look]
        for lane in range(size):
            out[lane] = ((lanes[lane] * factor + addend) & mask) >> shift
        _tally(out, size, tests, look, counts)


@compiled
def _prime_matches(
    lanes: Words, size: int, scale: Words, tests: Words, out: Words, counts: Counts
) -> None:
    for look in range(scale.shape[0]):
        factor = scale[look]
        for lane in range(size):
            # A product of two numbers under 2^31, as 1..2^31 - 1 where it is not 0.
            product = lanes[lane] * factor
            folded = (product & _PRIME) + (product >> _PRIME_BITS)
            out[lane] = (folded & _PRIME) + (folded >> _PRIME_BITS)
        _tally(out, size, tests, look, counts)


@compiled
def _tally(out: Words, size: int, tests: Words, look: int, counts: Counts) -> None:
    less, inverse = tests[look, 0], tests[look, 1]
    right, ceiling = tests[look, 2], tests[look, 3]
    left = (np.uint64(64) - right) & np.uint64(63)
    for lane in range(size):
        rest = (out[lane] - less) * inverse
        counts[lane] += ((rest >> right) | (rest << left)) <= ceiling


@compiled
def _gather(lanes: Words | Halves, hits: Bytes, size: int) -> int:
    """Move those of the first `size` lanes whose count is full to the front; how many there are.

    What is written down without a branch, a processor need not foresee.
    """
    flags = hits.view(np.uint64)
    groups = np.empty(LANES // _GROUP + 1, np.int64)
    marked = 0
    for group in range(LANES // _GROUP):
        some = np.uint64(0)
        for word in range(_GROUP // 8):
            some |= flags[group * (_GROUP // 8) + word]
        groups[marked] = group * _GROUP
        marked += int((some & _ANY_FULL) != 0)
    passed = 0
    for mark in range(marked):
        for lane in range(groups[mark], min(groups[mark] + _GROUP, size)):
            lanes[passed] = lanes[lane]
            passed += int(hits[lane] >= _FULL)
    return passed


@compiled
def _keep(
    lanes: Words | Halves, matches: Numbers, size: int, floor: int, kept: Words, found: int
) -> int:
    """Keep those of the first `size` lanes that have matches enough; returns the new total."""
    for lane in range(size):
        if matches[lane] >= floor:
            if found < kept.shape[0]:
                kept[found] = lanes[lane]
            found += 1
    return found
