from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from steps.prng import GENERATORS
from steps.prng.recovery.brute_force import BLOCK_SEEDS, search_seeds
from steps.prng.recovery.found import CannotRecover, TooFewDraws
from steps.prng.recovery.seed_lanes import lanes_of

LANES = [
    (name, seeding)
    for name, generator in sorted(GENERATORS.items())
    for seeding in generator.seedings
    if lanes_of(name, seeding) is not None
]
MANY = range(1 << 20)


@pytest.mark.parametrize(("generator", "seeding"), LANES)
def test_a_kernel_finds_the_seed_behind_gap_offset_and_corruption(history, generator, seeding):
    made = history(
        generator, draws=30, gap=2, offset=3, seed=9_001, seeding=seeding, corruption=0.1
    )
    question = made.question(range(1, 3), corruption=0.1)
    search = search_seeds(question, seeding, seeds=range(9000, 13_000), offsets=(0, 3))
    found = search.search.found
    assert (found.seed, found.seeding, found.gap, found.offset) == (9001, seeding, 2, 3)
    assert (found.state, found.matches) == (made.state, 27)


@pytest.mark.parametrize(
    ("generator", "mapping", "modulus"),
    [
        ("java", "next_int", 1000),
        ("java", "digits_next_int", 1000),
        ("java", "multiply", 1000),
        ("pcg32", "mod", 49),
        ("xoshiro256plusplus", "multiply", 64),
        ("xorshift64star", "next_int", 1000),
        ("mt19937", "multiply", 1000),
    ],
)
def test_every_mapping_and_m_will_do(history, generator, mapping, modulus):
    made = history(generator, mapping, modulus, draws=30, gap=1, offset=0, seed=777)
    seeding = GENERATORS[generator].seedings[0]
    found = search_seeds(made.question(), seeding, seeds=range(5000)).search.found
    assert (found.seed, found.matches, found.offset) == (777, 30, 0)


@pytest.mark.parametrize(
    ("generator", "seeding"),
    [
        ("xorshift128", "splitmix64"),
        ("lcg32", "srandom"),
        ("sfc64", "seed_sequence"),
        ("mt19937", "init_by_array"),
        ("mt19937_64", "init_genrand"),
    ],
)
def test_what_has_no_kernel_is_searched_by_numpy(history, generator, seeding):
    made = history(generator, draws=20, gap=1, offset=2, seed=450, seeding=seeding)
    question = made.question((0, 1))
    search = search_seeds(question, seeding, seeds=range(400, 500), offsets=(2,))
    assert (search.search.found.seed, search.search.found.gap) == (450, 1)


def test_draws_far_down_a_twister_s_stream_are_searched_by_numpy(history):
    made = history("mt19937", draws=20, offset=400, seed=450)
    search = search_seeds(made.question(), "init_genrand", seeds=range(500), offsets=(400,))
    assert search.search.found.seed == 450


@pytest.mark.parametrize("generator", ["java", "xorshift32", "pcg32", "splitmix64"])
@pytest.mark.parametrize("modulus", [10, 1000])
def test_as_many_seeds_pass_the_first_looks_as_chance_has_it(noise, generator, modulus):
    question = noise(generator, modulus=modulus, seed=3)
    search = search_seeds(question, GENERATORS[generator].seedings[0], seeds=MANY)
    expected = search.expected * len(MANY)
    assert search.tested == len(MANY)
    assert search.first_looks == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert (search.survivors, search.search.found) == (0, None)


def test_random_draws_are_never_found(noise):
    for seed in range(30):
        question = noise("xorshift32", draws=12, seed=seed, gaps=(0, 1), corruption=0.1)
        search = search_seeds(question, "raw", seeds=range(1 << 14))
        assert (search.search.found, search.search.complete) == (None, True)


def test_a_search_goes_on_where_it_was_stopped(history):
    made = history("java", "next_int", draws=30, offset=0, seed=9_000_000)
    asked = iter([False, True])
    stopped = replace(made.question(), should_stop=lambda: next(asked, True))
    first = search_seeds(stopped, "scramble", seeds=range(10_000_000))
    assert (first.search.found, first.search.complete) == (None, False)
    assert first.tested == first.next_block * BLOCK_SEEDS
    again = search_seeds(
        made.question(), "scramble", seeds=range(10_000_000), start_block=first.next_block
    )
    assert again.search.found.seed == 9_000_000
    assert again.tested <= 10_000_000 - first.tested


def test_threads_find_the_same_and_tell_their_progress(history):
    made = history("java", "next_int", draws=30, offset=0, seed=9_000_000)
    told = []
    search = search_seeds(
        made.question(),
        "scramble",
        seeds=range(10_000_000),
        threads=3,
        progress=lambda done, blocks: told.append((done, blocks)),
    )
    assert search.search.found.seed == 9_000_000
    assert told == sorted(told)
    assert told[-1][1] == -(-10_000_000 // BLOCK_SEEDS)


def test_survivors_are_bounded_and_counted(history):
    # Of java's state u % 2 shows the lower 17 bits: seeds that agree in these draw the same.
    made = history("java", "mod", 2, draws=120, offset=0, seed=5)
    search = search_seeds(made.question(), "scramble", seeds=range(1 << 16), keep=1)
    assert search.search.found.seed == 5
    assert search.survivors > len(search.best) == 1


def test_seeds_of_more_bits_than_a_range_of_32_are_searched(history):
    seed = (1 << 40) + 123
    made = history("java", "next_int", draws=20, offset=0, seed=seed)
    seeds = range((1 << 40) - 500, (1 << 40) + 500)
    assert search_seeds(made.question(), "scramble", seeds=seeds).search.found.seed == seed


def test_too_few_draws_are_refused(history):
    with pytest.raises(TooFewDraws, match="got 3"):
        search_seeds(history("java", draws=3).question(), "scramble", seeds=range(1 << 32))


def test_draws_that_are_hardly_ever_right_are_refused(history):
    made = history("java", "mod", 10, draws=2000, corruption=0.8)
    with pytest.raises(CannotRecover, match="80% of the draws corrupted"):
        search_seeds(made.question(corruption=0.8), "scramble", seeds=range(1 << 32))


def test_a_seeding_that_does_not_exist_is_refused(history):
    with pytest.raises(ValueError, match="seeding must be one of scramble, raw"):
        search_seeds(history("java").question(), "init_genrand", seeds=range(10))


@pytest.mark.parametrize("seeds", [range(0), range(0, 10, 2), range(-5, 5), range(2**64 + 1)])
def test_seeds_that_are_no_plain_range_are_refused(history, seeds):
    with pytest.raises(ValueError, match="seeds must be a range"):
        search_seeds(history("java").question(), "scramble", seeds=seeds)


def test_what_is_found_predicts(history):
    made = history("pcg32", "mod", draws=40, offset=0, seed=31)
    seen = replace(made, draws=made.draws[:25])
    found = search_seeds(seen.question(), "default_stream", seeds=range(100)).search.found
    state = np.array([found.state], np.uint64)
    assert made.law.draws(state, 15, first=25)[0].tolist() == made.draws[25:].tolist()
