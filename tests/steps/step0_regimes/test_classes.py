from __future__ import annotations

import numpy as np
import pytest

from steps.step0_regimes.classes import digits, low_order, pairs, range_sizes, ranges

DRAWS = np.array([0, 7, 123, 999, -1, 450])


def test_ranges_are_as_equal_as_the_modulus_allows_and_what_was_not_read_has_none():
    view = ranges(DRAWS, 1000, 3)
    assert view.of.tolist() == [0, 0, 0, 2, -1, 1]
    assert view.counts().tolist() == [3, 1, 1]
    assert range_sizes(1000, 3).tolist() == [334, 333, 333]
    every = np.bincount(ranges(np.arange(1000), 1000, 3).of)
    assert every.tolist() == range_sizes(1000, 3).tolist()


def test_digits_are_there_for_powers_of_ten_alone():
    assert [view.of.tolist() for view in digits(DRAWS, 1000)] == [
        [0, 0, 1, 9, -1, 4],
        [0, 0, 2, 9, -1, 5],
        [0, 7, 3, 9, -1, 0],
    ]
    assert [view.name for view in digits(DRAWS, 1000)] == ["digit 1", "digit 2", "digit 3"]
    assert digits(DRAWS, 10) == digits(DRAWS, 999) == ()


@pytest.mark.parametrize(
    ("modulus", "most", "divisor"),
    [(1000, 8, 8), (1000, 4, 4), (26, 8, 2), (45, 8, 3), (69, 8, 3), (10, 8, 2), (35, 8, 5)],
)
def test_remainders_are_by_the_largest_power_of_two_else_by_the_least_odd_divisor(
    modulus, most, divisor
):
    view = low_order(np.array([modulus - 1, -1]), modulus, most)
    assert view.classes == divisor
    assert view.of.tolist() == [(modulus - 1) % divisor, -1]


@pytest.mark.parametrize(("modulus", "most"), [(997, 8), (2, 8), (121, 8), (26, 1)])
def test_where_no_small_number_divides_the_range_there_are_no_remainders(modulus, most):
    assert low_order(np.array([0, 1]), modulus, most) is None


def test_a_pair_needs_two_neighbours_that_were_read():
    view = pairs(ranges(np.array([0, 1, -1, 1, 1, 0]), 2, 2))
    assert view.classes == 4
    assert view.of.tolist() == [-1, 1, -1, -1, 3, 2]
