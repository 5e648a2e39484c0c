from __future__ import annotations

import numpy as np
import pytest

from steps.forensics.multiplicity import holm
from steps.step0_regimes.uniformity import uniformity_tests

ALPHA = 0.01
ONE_SESSION = [""] * 4000


def rejected(draws, modulus=1000, sessions=None):
    tests = uniformity_tests(draws, modulus, sessions or ONE_SESSION[: draws.size])
    values = holm([test.p_value for test in tests])
    return {test.name for test, value in zip(tests, values, strict=True) if value <= ALPHA}


def uniform(n=4000, modulus=1000, seed=1):
    return np.random.default_rng(seed).integers(0, modulus, n)


def test_uniform_draws_are_called_so():
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        modulus, n = ((10, 300), (26, 1400), (1000, 500), (4096, 2000))[seed % 4]
        draws = rng.integers(0, modulus, n)
        draws[rng.random(n) < 0.05] = -1
        alarms += bool(rejected(draws, modulus, ["early", "late"] * (n // 2)))
    # A chance of 0.01 each; six or more of 100 would come once in 2,000 times.
    assert alarms <= 5


def test_a_value_that_is_too_likely_is_seen():
    draws = uniform(modulus=26)
    draws[::20] = 7
    assert "values" in rejected(draws, 26)


def test_a_digit_that_is_too_likely_is_seen_where_values_are_too_many():
    draws = uniform(1000)
    draws[::8] = draws[::8] // 10 * 10 + 7
    assert rejected(draws) == {"digits"}


def test_values_that_come_too_evenly_are_seen():
    draws = np.concatenate([np.random.default_rng(s).permutation(100) for s in range(20)])
    tests = {test.name: test for test in uniformity_tests(draws, 100, ONE_SESSION[:2000])}
    assert tests["values"].statistic == 0
    assert tests["values"].p_value < 1e-9
    assert "more even than chance" in tests["values"].sentence
    # No draw comes again within its hundred either.
    assert "repeats" in rejected(draws, 100)


def test_draws_that_come_again_soon_are_seen_although_every_value_is_as_likely():
    draws = uniform()
    draws[1::25] = draws[0::25]
    assert "repeats" in rejected(draws)


def test_a_draw_that_follows_the_size_of_the_last_one_is_seen():
    draws = uniform()
    draws[1::3] = (draws[0::3][: draws[1::3].size] + uniform(draws[1::3].size, 300)) % 1000
    assert rejected(draws) == {"pairs by size"}


def test_low_bits_that_turn_in_a_short_circle_are_seen():
    # As of a linear congruential generator modulo a power of two: the lowest bit alternates.
    draws = uniform() // 2 * 2 + np.arange(4000) % 2
    assert "pairs by remainder by 8" in rejected(draws)


def test_sessions_that_draw_differently_are_seen():
    draws, sessions = uniform(), ["midday", "evening"] * 2000
    draws[::2][::10] = draws[::2][::10] // 10 * 10
    draws[1::2][::10] = draws[1::2][::10] // 10 * 10 + 5
    assert "sessions" in rejected(draws, sessions=sessions)
    assert "sessions" not in rejected(draws, sessions=["midday"] * 2000 + ["evening"] * 2000)


@pytest.mark.parametrize("modulus", [2, 10, 1000, 10_000])
def test_every_history_of_fifty_draws_or_more_can_be_tested(modulus):
    tests = uniformity_tests(uniform(50, modulus), modulus, ["a", "b"] * 25)
    assert len(tests) >= 4
    assert all(0 <= test.p_value <= 1 for test in tests)
    assert uniformity_tests(uniform(49, modulus), modulus, ONE_SESSION[:49]) == ()


def test_a_machine_that_always_draws_the_same_is_not_uniform():
    assert "values" in rejected(np.full(500, 3), 10)


def test_what_leaves_nothing_to_compare_is_no_test():
    tests = uniformity_tests(np.full(500, 3), 10, ["a", "b"] * 250)
    assert [test.name for test in tests] == ["values"]


def test_a_sentence_says_which_way_the_counts_lean():
    draws = uniform(modulus=26)
    draws[::20] = 7
    values = next(t for t in uniformity_tests(draws, 26, ONE_SESSION) if t.name == "values")
    assert "the counts are further apart than chance" in values.sentence
