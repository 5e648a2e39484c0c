from __future__ import annotations

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS
from steps.prng.recovery.seed_behind import seed_behind, seen_bits


def state_after(generator, seed, outputs, seeding=None):
    made = GENERATORS[generator]
    return made.jump(made.seed(np.array([seed], np.uint64), seeding or made.seedings[0]), outputs)


@pytest.mark.parametrize(
    ("generator", "seeding", "seed", "calls"),
    [
        ("java", "scramble", 424_242, 0),
        ("java", "scramble", 424_242, 20_000),
        ("minstd_rand", "std", 42, 50),
        ("minstd_rand0", "std", 7, 4000),
        ("lcg32", "srandom", 12_345, 1),
        ("xorshift32", "raw", 12_345, 2),
        ("xorshift64", "raw", 1_700_000_000, 4000),
        ("xorshift128", "first_word", 3_000_000_000, 300),
        ("xorshift128", "last_word", 3_000_000_000, 300),
    ],
)
def test_a_small_seed_is_read_off_a_later_state(generator, seeding, seed, calls):
    state = state_after(generator, seed, 3 * calls, seeding)
    behind = seed_behind(GENERATORS[generator], state, 3, 30_000 if calls > 4096 else 4096, None)
    assert (behind.seed, behind.seeding, behind.calls) == (seed, seeding, calls)
    assert behind.evidence


@pytest.mark.parametrize("generator", ["java", "minstd_rand", "lcg32", "xorshift32", "xorshift64"])
def test_a_state_of_no_small_seed_has_an_equivalent_one_and_no_evidence(generator):
    made = GENERATORS[generator]
    state = state_after(generator, 0xC0FF_EE12_3456 % (1 << 31), 3)
    behind = seed_behind(made, state, 1, 0, None)
    assert made.seed(np.array([behind.seed], np.uint64), behind.seeding).tolist() == state.tolist()
    assert behind.calls == 0
    assert not behind.evidence


def test_random_states_hardly_ever_show_evidence_of_a_seed():
    made = GENERATORS["lcg32"]
    states = np.random.default_rng(7).integers(0, 1 << 31, (2000, 1)).astype(np.uint64)
    shown = [seed_behind(made, state[np.newaxis], 1, 256, None).evidence for state in states]
    # Once in a thousand at most.
    assert sum(shown) <= 6


def test_a_seed_too_far_behind_is_not_found():
    state = state_after("java", 5, 100)
    behind = seed_behind(GENERATORS["java"], state, 1, 99, None)
    assert behind.seed != 5
    assert not behind.evidence


@pytest.mark.parametrize(
    ("generator", "mapping", "modulus", "seen"),
    [
        ("java", "mod", 1024, 26),
        ("java", "mod", 1000, None),
        ("java", "next_int", 1024, None),
        ("lcg32", "mod", 8, 3),
        ("minstd_rand", "mod", 8, None),
        ("xorshift32", "mod", 8, None),
    ],
)
def test_of_a_congruence_through_a_power_of_two_only_low_bits_are_seen(
    generator, mapping, modulus, seen
):
    assert seen_bits(GENERATORS[generator], MAPPINGS[mapping], modulus) == seen


def test_of_seeds_that_cannot_be_told_apart_the_smallest_is_told():
    java = GENERATORS["java"]
    state = state_after("java", (99 << 26) + 50_000_001, 0)
    assert seed_behind(java, state, 1, 0, 26).seed == 50_000_001
    small = seed_behind(java, state_after("java", (99 << 26) + 12, 3), 1, 100, 26)
    assert (small.seed, small.calls, small.evidence) == (12, 3, True)
