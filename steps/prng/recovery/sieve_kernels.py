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
# A byte of the counts starts so that it reaches this bit exactly at `floor`.
_FULL = 128
_ANY_FULL = np.uint64(0x8080808080808080)
_ONE = np.uint64(1)
_PRIME = np.uint64((1 << 31) - 1)
_PRIME_BITS = np.uint64(31)

Words = NDArray[np.uint64]
Halves = NDArray[np.uint32]


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
    observations = scale.shape[0]
    lanes = np.empty(LANES, np.uint32)
    hits = np.empty(LANES, np.uint8)
    flags = hits.view(np.uint64)
    found = 0
    for block in range(0, count, LANES):
        for lane in range(LANES):
            lanes[lane] = add32(start, np.uint32(block + lane))
            hits[lane] = np.uint8(_FULL - floor)
        for look in range(looks):
            factor, addend = scale[look], offset[look]
            for lane in range(LANES):
                hits[lane] += add32(multiply32(lanes[lane], factor), addend) < ceiling
        for word in range(LANES // 8):
            if flags[word] & _ANY_FULL:
                for lane in range(8 * word, min(8 * word + 8, count - block)):
                    if hits[lane] >= _FULL:
                        matches = 0
                        for j in range(observations):
                            value = add32(multiply32(lanes[lane], scale[j]), offset[j])
                            matches += int(value < ceiling)
                        if matches >= total_floor:
                            if found < kept.shape[0]:
                                kept[found] = lanes[lane]
                            found += 1
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
    (observations, 4): as in numbers.output_tests. kept, result: as in low_candidates.
    """
    observations = scale.shape[0]
    lanes = np.empty(LANES, np.uint64)
    hits = np.empty(LANES, np.uint8)
    flags = hits.view(np.uint64)
    found = 0
    for block in range(0, count, LANES):
        for lane in range(LANES):
            lanes[lane] = base + stride * np.uint64(block + lane)
            hits[lane] = np.uint8(_FULL - floor)
        for look in range(looks):
            factor, addend = scale[look], offset[look]
            less, inverse = tests[look, 0], tests[look, 1]
            right, ceiling = tests[look, 2], tests[look, 3]
            left = (np.uint64(64) - right) & np.uint64(63)
            for lane in range(LANES):
                rest = (((lanes[lane] * factor + addend) & mask) >> shift) - less
                rest *= inverse
                hits[lane] += ((rest >> right) | (rest << left)) <= ceiling
        for word in range(LANES // 8):
            if flags[word] & _ANY_FULL:
                for lane in range(8 * word, min(8 * word + 8, count - block)):
                    if hits[lane] >= _FULL:
                        matches = 0
                        for j in range(observations):
                            less, inverse = tests[j, 0], tests[j, 1]
                            right, ceiling = tests[j, 2], tests[j, 3]
                            left = (np.uint64(64) - right) & np.uint64(63)
                            rest = (((lanes[lane] * scale[j] + offset[j]) & mask) >> shift) - less
                            rest *= inverse
                            matches += ((rest >> right) | (rest << left)) <= ceiling
                        if matches >= total_floor:
                            if found < kept.shape[0]:
                                kept[found] = lanes[lane]
                            found += 1
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
    observations = scale.shape[0]
    lanes = np.empty(LANES, np.uint64)
    hits = np.empty(LANES, np.uint8)
    flags = hits.view(np.uint64)
    found = 0
    for block in range(0, count, LANES):
        for lane in range(LANES):
            lanes[lane] = base + stride * np.uint64(block + lane)
            hits[lane] = np.uint8(_FULL - floor)
        for look in range(looks):
            less, inverse = tests[look, 0], tests[look, 1]
            right, ceiling = tests[look, 2], tests[look, 3]
            left = (np.uint64(64) - right) & np.uint64(63)
            for lane in range(LANES):
                rest = (_reduced(lanes[lane] * scale[look]) - less) * inverse
                hits[lane] += ((rest >> right) | (rest << left)) <= ceiling
        for word in range(LANES // 8):
            if flags[word] & _ANY_FULL:
                for lane in range(8 * word, min(8 * word + 8, count - block)):
                    if hits[lane] >= _FULL:
                        matches = 0
                        for j in range(observations):
                            less, inverse = tests[j, 0], tests[j, 1]
                            right, ceiling = tests[j, 2], tests[j, 3]
                            left = (np.uint64(64) - right) & np.uint64(63)
                            rest = (_reduced(lanes[lane] * scale[j]) - less) * inverse
                            matches += ((rest >> right) | (rest << left)) <= ceiling
                        if matches >= total_floor:
                            if found < kept.shape[0]:
                                kept[found] = lanes[lane]
                            found += 1
    return found


@compiled
def _reduced(product: np.uint64) -> np.uint64:
    """A product of two numbers under 2^31 modulo 2^31 - 1, as 1..2^31 - 1 where it is not 0."""
    folded = (product & _PRIME) + (product >> _PRIME_BITS)
    return (folded & _PRIME) + (folded >> _PRIME_BITS)
