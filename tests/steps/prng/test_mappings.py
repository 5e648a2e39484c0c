from __future__ import annotations

import math

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS, MappingError, Unrejected, mapping_named

JAVA, MINSTD, SPLITMIX = (GENERATORS[name] for name in ("java", "minstd_rand", "splitmix64"))
# Outputs at and around every edge that 32-bit arithmetic could trip over.
EDGES = [0, 1, 7, 999, 1000, 1001, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1001, 2**32 - 1]


def words(values, per_draw=1):
    return np.array(values, np.uint64).reshape(-1, per_draw)


def test_mod_reads_the_whole_output_without_sign():
    assert MAPPINGS["mod"].draw(JAVA, words(EDGES), 1000).tolist() == [u % 1000 for u in EDGES]
    wide = [2**64 - 1, 2**63, 2**63 - 1]
    assert MAPPINGS["mod"].draw(SPLITMIX, words(wide), 1000).tolist() == [u % 1000 for u in wide]


def test_next_int_reads_the_upper_31_bits():
    draws = MAPPINGS["next_int"].draw(JAVA, words(EDGES), 1000)
    assert draws.tolist() == [(u >> 1) % 1000 for u in EDGES]
    assert MAPPINGS["next_int"].draw(MINSTD, words([5, 2**31 - 2]), 7).tolist() == [5, 0]
    assert MAPPINGS["next_int"].draw(SPLITMIX, words([2**64 - 1]), 1000).tolist() == [647]


def test_next_int_takes_the_top_bits_where_m_is_a_power_of_two():
    draws = MAPPINGS["next_int"].draw(JAVA, words(EDGES), 16)
    assert draws.tolist() == [u >> 28 for u in EDGES]
    assert MAPPINGS["next_int"].accepts(JAVA, words(EDGES), 16) is None


@pytest.mark.parametrize("modulus", [3, 10, 1000, 3 << 29, 2**31 - 1])
def test_next_int_throws_away_exactly_what_java_does(modulus):
    tops = [*range(64), *range(2**31 - 700, 2**31)]
    accepted = MAPPINGS["next_int"].accepts(JAVA, words([top << 1 for top in tops])[:, 0], modulus)
    # for (int u = next(31); u - (r = u % bound) + (bound - 1) < 0; ...) in 32-bit arithmetic
    expected = [top - top % modulus + modulus - 1 < 2**31 for top in tops]
    assert accepted.tolist() == expected
    assert not all(expected)


def test_digits_are_drawn_most_significant_first():
    outputs = words([3, 1, 4, 19, 28, 37], per_draw=3)
    assert MAPPINGS["digits_mod"].draw(JAVA, outputs, 1000).tolist() == [314, 987]
    outputs = words([3 << 1, 1 << 1, 4 << 1], per_draw=3)
    assert MAPPINGS["digits_next_int"].draw(JAVA, outputs, 1000).tolist() == [314]
    assert MAPPINGS["digits_mod"].outputs_per_draw(JAVA, 10) == 1
    assert MAPPINGS["digits_mod"].outputs_per_draw(JAVA, 10_000) == 4


def test_digits_throw_away_what_a_draw_of_ten_would():
    outputs = words([2**32 - 1, 2**32 - 17, 0])[:, 0]
    accepted = MAPPINGS["digits_next_int"].accepts(JAVA, outputs, 1000)
    assert accepted.tolist() == [False, True, True]


@pytest.mark.parametrize("name", sorted(GENERATORS))
@pytest.mark.parametrize("modulus", [2, 3, 1000, 1024, 9973])
def test_multiplied_draws_stay_below_m_and_reach_m_minus_1(name, modulus):
    generator = GENERATORS[name]
    mapping = MAPPINGS["multiply"]
    eaten = mapping.outputs_per_draw(generator, modulus)
    low = 1 if name.startswith("minstd") else 0
    high = (1 << generator.word_bits) - (2 if name.startswith("minstd") else 1)
    draws = mapping.draw(generator, words([low] * eaten + [high] * eaten, eaten), modulus)
    assert draws.tolist() == [0, modulus - 1]


def test_multiply_is_the_floor_of_the_float_times_m():
    outputs = np.random.default_rng(0).integers(0, 2**64, 500, dtype=np.uint64)
    draws = MAPPINGS["multiply"].draw(SPLITMIX, outputs[:, np.newaxis], 997)
    expected = [math.floor((u >> 11) * 2.0**-53 * 997) for u in outputs.tolist()]
    assert draws.tolist() == expected


def test_unrejected_lets_everything_through_and_draws_the_same():
    free = Unrejected(MAPPINGS["next_int"])
    assert free.name == "next_int_unrejected"
    assert free.accepts(JAVA, words(EDGES)[:, 0], 1000) is None
    np.testing.assert_array_equal(
        free.draw(JAVA, words(EDGES), 1000), MAPPINGS["next_int"].draw(JAVA, words(EDGES), 1000)
    )


@pytest.mark.parametrize(
    ("name", "modulus", "wanted"),
    [
        ("mod", 1, r"M must be 2\.\.4294967296, got 1"),
        ("next_int", 2**31, r"M must be 2\.\.2147483647"),
        ("multiply", 0, "got 0"),
        ("digits_mod", 500, "M must be a power of ten"),
        ("digits_next_int", 1, "M must be a power of ten"),
    ],
)
def test_an_impossible_m_is_refused(name, modulus, wanted):
    with pytest.raises(MappingError, match=wanted):
        MAPPINGS[name].outputs_per_draw(JAVA, modulus)


def test_a_misspelt_mapping_is_answered_with_the_nearest():
    assert mapping_named("mod") is MAPPINGS["mod"]
    with pytest.raises(MappingError, match="did you mean 'next_int'"):
        mapping_named("nextint")
