"""The sieves keep just the candidates that explain what is seen, wherever in a block they are."""

from __future__ import annotations

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS
from steps.prng.recovery.question import Question
from steps.prng.recovery.shown import show
from steps.prng.recovery.sieve_kernels import (
    LANES,
    binary_candidates,
    low_candidates,
    prime_candidates,
)

PRIME = (1 << 31) - 1
# Two of four observations are looked at first, of which one must match; three of all.
LOOKS, FLOOR, TOTAL_FLOOR = 2, 1, 3
SIZES = (1, 31, LANES, LANES + 1, 30_000)
DRAWS = np.array([3, 7, 1, 0])


def kept_of(matched, lanes):
    """By plain numpy, from matches (observations, candidates)."""
    keep = (matched[:LOOKS].sum(axis=0) >= FLOOR) & (matched.sum(axis=0) >= TOTAL_FLOOR)
    return lanes[keep]


@pytest.mark.parametrize("size", SIZES)
def test_low_bits_are_kept_that_explain_the_low_bits_seen(size):
    chance = np.random.default_rng(1)
    scale, offset = chance.integers(0, 1 << 32, (2, 4)).astype(np.uint32)
    ceiling = np.uint32(1 << 30)
    lanes = np.arange(size, dtype=np.uint64) + np.uint64(5)
    made = lanes * scale[:, np.newaxis].astype(np.uint64) + offset[:, np.newaxis]
    kept = np.zeros(30_000, np.uint64)
    found = low_candidates(
        np.uint32(5), size, scale, offset, ceiling, LOOKS, FLOOR, TOTAL_FLOOR, kept
    )
    matched = (made & np.uint64(0xFFFFFFFF)) < ceiling
    np.testing.assert_array_equal(kept[:found], kept_of(matched, lanes))


@pytest.mark.parametrize("size", SIZES)
def test_states_are_kept_that_explain_the_draws(size):
    chance = np.random.default_rng(2)
    # Factors as large as the mask, so that draws are of no visible pattern.
    scale, offset = chance.integers(0, 1 << 40, (2, 4)).astype(np.uint64) | np.uint64(1)
    mask, shift = np.uint64((1 << 40) - 1), np.uint64(3)
    lanes = np.arange(size, dtype=np.uint64) * np.uint64(1001) + np.uint64(9)
    made = ((lanes * scale[:, np.newaxis] + offset[:, np.newaxis]) & mask) >> shift
    tests = show(Question(GENERATORS["splitmix64"], MAPPINGS["mod"], 10, DRAWS)).tests()
    kept = np.zeros(30_000, np.uint64)
    found = binary_candidates(
        np.uint64(9),
        np.uint64(1001),
        size,
        scale,
        offset,
        mask,
        shift,
        tests,
        LOOKS,
        FLOOR,
        TOTAL_FLOOR,
        kept,
    )
    matched = made % np.uint64(10) == DRAWS[:, np.newaxis]
    np.testing.assert_array_equal(kept[:found], kept_of(matched, lanes))
    assert found > 0 or size < LANES


@pytest.mark.parametrize("size", SIZES)
def test_states_modulo_a_prime_are_kept_that_explain_the_draws(size):
    scale = np.random.default_rng(3).integers(1, PRIME, 4).astype(np.uint64)
    lanes = np.arange(size, dtype=np.uint64) * np.uint64(1001) + np.uint64(9)
    made = lanes * scale[:, np.newaxis] % np.uint64(PRIME)
    tests = show(Question(GENERATORS["minstd_rand"], MAPPINGS["mod"], 10, DRAWS)).tests()
    kept = np.zeros(30_000, np.uint64)
    found = prime_candidates(
        np.uint64(9), np.uint64(1001), size, scale, tests, LOOKS, FLOOR, TOTAL_FLOOR, kept
    )
    matched = made % np.uint64(10) == DRAWS[:, np.newaxis]
    np.testing.assert_array_equal(kept[:found], kept_of(matched, lanes))
    assert found > 0 or size < LANES


def test_what_there_is_no_room_for_is_counted():
    scale = np.array([1, 1, 1, 1], np.uint32)
    offset = np.zeros(4, np.uint32)
    kept = np.zeros(10, np.uint64)
    found = low_candidates(
        np.uint32(0), 500, scale, offset, np.uint32(300), LOOKS, FLOOR, TOTAL_FLOOR, kept
    )
    assert found == 300
    np.testing.assert_array_equal(kept, np.arange(10))
