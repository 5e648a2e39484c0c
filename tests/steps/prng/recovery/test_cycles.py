from __future__ import annotations

import numpy as np
import pytest

from steps.prng.recovery.cycles import cycle_of, longest_cycle, repeats


@pytest.mark.parametrize(("modulus", "values"), [(2, 19), (4, 9), (10, 6), (1000, 2), (10**7, 1)])
def test_cycles_are_so_short_that_there_are_fewer_than_a_million(modulus, values):
    assert longest_cycle(modulus) == values


@pytest.mark.parametrize(
    ("made", "modulus", "values"),
    [
        ([5] * 30, 1000, 1),
        ([5, 7] * 15, 1000, 2),
        ([1, 2, 3] * 10, 1000, None),
        ([1, 2, 3] * 10, 8, 3),
        ([5, 7] * 15 + [6], 1000, None),
        ([5, 5], 1000, None),
    ],
)
def test_a_cycle_is_the_shortest_that_all_draws_keep(made, modulus, values):
    assert cycle_of(np.array(made), modulus) == values


def test_draws_that_repeat_but_for_some_are_counted():
    draws = np.zeros(100, np.int64)
    draws[[20, 50]] = 7, -1
    assert repeats(draws, 1000, 0.1) == (1, 95, 97)


def test_bits_and_digits_of_chance_do_not_repeat():
    rng = np.random.default_rng(1)
    assert [repeats(rng.integers(0, modulus, 300), modulus, 0.1) for modulus in (2, 4, 1000)] == [
        None
    ] * 3
