"""Kernels keep the seeds that they should, wherever in a block, a batch or a pool these stand."""

from __future__ import annotations

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery.question import Question
from steps.prng.recovery.seed_kernels import LANES, Work
from steps.prng.recovery.seed_lanes import lanes_of
from steps.prng.recovery.shown import show

FIRST = 12_345
MOST = 40_000


def work_of(name, size, pool=(), capacity=MOST):
    """A look at two draws of 0..9: one seed in a hundred matches both, one in five either."""
    generator = GENERATORS[name]
    seeding = generator.seedings[0]
    question = Question(generator, MAPPINGS["mod"], 10, np.array([3, 7]))
    lanes, shown = lanes_of(name, seeding), show(question)
    return lanes.kernel, Work(
        first=np.uint64(FIRST),
        pool=np.array(pool, np.uint64),
        size=size,
        constants=np.array(lanes.constants, np.uint64),
        moves=lanes.work_moves([0, 1]),
        shift=np.uint64(shown.shift),
        tests=shown.tests(lanes.word),
        floor=1,
        kept=np.zeros(capacity, np.uint64),
        matched=np.zeros(capacity, np.uint8),
    )


def matches(name, seeds):
    generator = GENERATORS[name]
    states = generator.seed(np.asarray(seeds, np.uint64), generator.seedings[0])
    made = Law(generator, MAPPINGS["mod"], 10).draws(states, 2)
    return (made == [3, 7]).sum(axis=1)


@pytest.mark.parametrize("name", ["java", "xorshift64"])
def test_every_seed_that_matches_is_kept_once_and_no_other(name):
    seeds = np.arange(FIRST, FIRST + MOST, dtype=np.uint64)
    wanted = matches(name, seeds)
    for size in (1, LANES - 1, LANES + 1, 16 * LANES, 16 * LANES + 1, MOST):
        kernel, work = work_of(name, size)
        found = kernel(work)
        expected = np.flatnonzero(wanted[:size])
        np.testing.assert_array_equal(work.kept[:found], seeds[expected])
        np.testing.assert_array_equal(work.matched[:found], wanted[expected])


def test_a_pool_is_sifted_as_a_range_is():
    pool = np.arange(1, 5 * LANES, 7, dtype=np.uint64) * np.uint64(1_000_003)
    wanted = matches("java", pool)
    kernel, work = work_of("java", pool.shape[0], pool)
    found = kernel(work)
    np.testing.assert_array_equal(work.kept[:found], pool[wanted > 0])
    np.testing.assert_array_equal(work.matched[:found], wanted[wanted > 0])


def test_what_there_is_no_room_for_is_counted():
    kernel, work = work_of("java", MOST, capacity=50)
    _, roomy = work_of("java", MOST)
    assert kernel(work) == kernel(roomy) > 50
    np.testing.assert_array_equal(work.kept, roomy.kept[:50])
