"""The kernels by torch keep what those by numba keep: the same seeds, with the same matches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gpu.worker.seeds.kernels import KERNELS, mt19937
from gpu.worker.seeds.sieve import Question
from steps.prng import GENERATORS
from steps.prng.recovery.seed_kernels import Work
from steps.prng.recovery.seed_lanes import lanes_of

LANES = [
    (name, seeding)
    for name, generator in sorted(GENERATORS.items())
    for seeding in generator.seedings
    if lanes_of(name, seeding) is not None
]
# Mapping, M, gap, offset; multiply by 64 shifts an output, digits are several outputs a draw.
READINGS = [
    ("mod", 1000, 0, 0),
    ("mod", 49, 2, 3),
    ("next_int", 1024, 1, 0),
    ("digits_mod", 1000, 0, 5),
    ("multiply", 64, 3, 1),
]
COUNT = 2500


def by_numba(sifting, looks, floor, pool=()):
    lanes, count = sifting.lanes, len(pool) or len(sifting.seeds)
    kept, matched = np.zeros(count, np.uint64), np.zeros(count, np.uint8)
    found = lanes.kernel(
        Work(
            first=np.uint64(sifting.seeds.start),
            pool=np.array(pool, np.uint64),
            size=count,
            constants=np.array(lanes.constants, np.uint64),
            moves=sifting.moves[:looks],
            shift=np.uint64(sifting.shift),
            tests=sifting.tests[:looks],
            floor=floor,
            kept=kept,
            matched=matched,
        )
    )
    return kept[:found], matched[:found]


def by_torch(job, looks, floor, pool):
    seeds = torch.from_numpy(np.array(pool, np.uint64).view(np.int64))
    matches = Question.of(job).first(looks).matches(seeds).numpy()
    kept = matches >= floor
    return np.array(pool, np.uint64)[kept], matches[kept]


@pytest.mark.parametrize(("generator", "seeding"), LANES)
@pytest.mark.parametrize(("mapping", "modulus", "gap", "offset"), READINGS)
def test_every_kernel_is_numba_s(asked, job, generator, seeding, mapping, modulus, gap, offset):
    lanes = lanes_of(generator, seeding)
    # Where the seeds' upper bit changes, as far as there are such seeds.
    first = (1 << 31) - COUNT // 2 if lanes.seed_bits == 32 else (1 << 63) - COUNT // 2
    sifting = asked(
        generator,
        seeding,
        mapping,
        modulus,
        seeds=range(first, first + COUNT),
        made_by=first + 2000,
        gap=gap,
        offset=offset,
        corruption=0.1,
    )
    looks = len(sifting.moves)
    for some, floor, pool in (
        (sifting.looks.looks, sifting.looks.floor, sifting.seeds),
        (looks, 1, sifting.seeds),
        (looks, sifting.looks.total_floor, sifting.seeds),
    ):
        wanted = by_numba(sifting, some, floor)
        made = by_torch(job(sifting), some, floor, pool)
        np.testing.assert_array_equal(made, wanted)
    assert wanted[0].tolist() == [first + 2000]


@pytest.mark.parametrize("generator", ["java", "pcg32", "xorshift32", "splitmix64", "mt19937"])
def test_a_pool_of_seeds_is_sifted_as_numba_does_it(asked, job, generator):
    seeding = GENERATORS[generator].seedings[0]
    sifting = asked(generator, seeding, modulus=10, seeds=range(2000), made_by=777)
    most = (1 << lanes_of(generator, seeding).seed_bits) - 1
    pool = np.random.default_rng(2).integers(0, most, 1500, np.uint64, endpoint=True)
    pool = [0, 777, most, *pool.tolist()]
    looks = len(sifting.moves)
    wanted = by_numba(sifting, looks, 1, pool)
    assert wanted[0].shape[0] > 300
    np.testing.assert_array_equal(by_torch(job(sifting), looks, 1, pool), wanted)


def test_shifts_and_turns_of_every_m_come_out(asked, job):
    """Factors 2 of M turn a word; M of 2^k leaves nothing but the turn."""
    for modulus in (2, 3, 10, 64, 96, 1000, 10_000):
        sifting = asked(
            "xorshift64", "raw", "mod", modulus, seeds=range(1, 1500), made_by=5, draws=200
        )
        looks = len(sifting.moves)
        wanted = by_numba(sifting, looks, 1)
        made = by_torch(job(sifting), looks, 1, sifting.seeds)
        np.testing.assert_array_equal(made, wanted)


def test_there_is_a_kernel_for_each_of_the_cpu_s():
    assert {lanes_of(*lane).kernel.__name__ for lane in LANES} == set(KERNELS)


@pytest.mark.parametrize("places", [(0, 227), (3, 2), (4, 4)])
def test_outputs_that_the_twister_s_kernel_cannot_make_are_refused(places):
    moves = [(place, 0) for place in places]
    with pytest.raises(ValueError, match=r"places must ascend within 0\.\.226"):
        next(mt19937(torch.zeros(1, dtype=torch.int64), (), moves))


def test_kernels_leave_their_seeds_as_they_are(asked, job):
    for generator, seeding in LANES:
        sifting = asked(generator, seeding, seeds=range(1, 20), made_by=7)
        question = Question.of(job(replace(sifting)))
        seeds = torch.arange(50, dtype=torch.int64)
        first = question.matches(seeds)
        assert torch.equal(seeds, torch.arange(50))
        assert torch.equal(question.matches(seeds), first)
