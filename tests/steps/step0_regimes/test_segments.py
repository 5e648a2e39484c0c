from __future__ import annotations

import numpy as np
import pytest

from steps.forensics.documents import Segment
from steps.step0_regimes.changes import likeliest_change
from steps.step0_regimes.segments import find_cuts, most_tests


def cuts(draws, modulus=1000, permutations=140, **values):
    usual = {"alpha": 0.01, "seed": 0}
    return find_cuts(draws, modulus, [1.0] * 3, permutations=permutations, **{**usual, **values})


def biased(n, modulus, value, weight, rng):
    """Draws among which one value is `weight` times as likely as each other one."""
    weights = np.ones(modulus)
    weights[value] = weight
    return rng.choice(modulus, n, p=weights / weights.sum())


def change(draws, kind, permutations=199, modulus=10, seed=1):
    rng = np.random.default_rng(seed)
    return likeliest_change(draws, modulus, kind, 0, draws.size, permutations, rng)


def test_noise_is_one_regime():
    cut = 0
    for seed in range(45):
        rng = np.random.default_rng(seed)
        modulus, n = ((10, 300), (26, 900), (1000, 600))[seed % 3]
        draws = rng.integers(0, modulus, n)
        draws[rng.random(n) < 0.1] = -1
        cut += bool(cuts(draws, modulus, permutations=99, seed=seed).made)
    # A chance of 0.01 * 2 / 5 each; three of 45 would come once in 1,000 times.
    assert cut <= 2


@pytest.mark.parametrize("kind", ["values", "pairs"])
def test_p_values_of_noise_are_as_small_as_they_say(kind):
    rng = np.random.default_rng(5)
    small = [change(rng.integers(0, 10, 250), kind, 99).p_value <= 0.2 for _ in range(90)]
    # 18 are expected, with a standard deviation of 3.8.
    assert 7 <= sum(small) <= 30


def test_a_value_that_becomes_likelier_is_a_change_where_it_becomes_so():
    rng = np.random.default_rng(3)
    draws = np.concatenate([rng.integers(0, 26, 1200), biased(1800, 26, 7, 3.0, rng)])
    found = cuts(draws, 26)
    (made,) = found.made
    assert abs(made.at - 1200) < 100
    assert (made.kind, made.first, made.stop) == ("values", 0, 3000)
    assert found.segments(3000) == (
        Segment(first=0, stop=made.at),
        Segment(first=made.at, stop=3000),
    )


def test_a_digit_that_becomes_likelier_is_seen_among_a_thousand_values():
    rng = np.random.default_rng(4)
    draws = rng.integers(0, 1000, 4000)
    draws[2000:] = draws[2000:] // 10 * 10 + biased(2000, 10, 7, 2.0, rng)
    (made,) = cuts(draws).made
    assert made.view == "digit 3"
    assert abs(made.at - 2000) < 200


def test_neighbours_that_begin_to_depend_on_each_other_are_a_change_of_pairs():
    rng = np.random.default_rng(6)
    draws = rng.integers(0, 1000, 3000)
    draws[1501::2] = draws[1500:-1:2] // 4 * 4 + draws[1501::2] % 4
    (made,) = cuts(draws).made
    assert made.kind == "pairs"
    assert abs(made.at - 1500) < 150


def test_dependence_that_stays_as_it_is_is_no_change():
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(20):
        draws = rng.integers(0, 10, 800)
        stays = rng.random(800) < 0.4
        for i in np.flatnonzero(stays[1:]) + 1:
            draws[i] = draws[i - 1]
        alarms += bool(cuts(draws, 10, permutations=99).made)
    assert alarms <= 1


def test_a_bias_that_was_there_from_the_first_draw_is_no_change():
    rng = np.random.default_rng(8)
    assert cuts(biased(3000, 26, 7, 3.0, rng), 26).made == ()


def test_every_change_of_several_is_found():
    rng = np.random.default_rng(9)
    parts = [rng.integers(0, 10, 1000), biased(1000, 10, 2, 4, rng), biased(1000, 10, 8, 4, rng)]
    found = cuts(np.concatenate(parts), 10)
    edges = [segment.first for segment in found.segments(3000)]
    assert len(edges) == 3
    assert np.abs(np.array(edges) - [0, 1000, 2000]).max() < 60
    # Both kinds in the whole, and in every part that was cut out of it.
    assert len(found.changes) == 10


def test_a_new_range_of_values_is_found_to_the_draw():
    rng = np.random.default_rng(10)
    draws = np.concatenate([rng.integers(0, 35, 700), rng.integers(0, 26, 800)])
    (made,) = cuts(draws, 35).made
    assert abs(made.at - 700) <= 12


def test_draws_that_were_not_read_keep_their_places():
    rng = np.random.default_rng(11)
    draws = np.concatenate([rng.integers(0, 10, 1000), biased(1000, 10, 2, 5, rng)])
    draws[200:600] = -1
    (made,) = cuts(draws, 10).made
    assert abs(made.at - 1000) < 60


def test_few_draws_are_one_regime_without_a_test():
    found = cuts(np.arange(199) % 10, 10)
    assert (found.changes, found.made) == ((), ())
    assert found.segments(199) == (Segment(first=0, stop=199),)
    assert cuts(np.zeros(500, np.int64), 1).changes == ()


def test_constant_draws_change_nowhere():
    draws = np.full(400, 3)
    draws[5] = -1
    found = cuts(draws, 10)
    assert (found.made, found.changes) == ((), ())


def test_the_seed_decides_the_permutations_alone():
    rng = np.random.default_rng(12)
    draws = np.concatenate([rng.integers(0, 10, 500), biased(500, 10, 2, 4, rng)])
    assert cuts(draws, 10, seed=1) == cuts(draws, 10, seed=1)
    assert [c.at for c in cuts(draws, 10, seed=1).made] == [
        c.at for c in cuts(draws, 10, seed=2).made
    ]


def test_it_stops_before_tests_are_too_many_for_the_smallest_p_value():
    rng = np.random.default_rng(13)
    draws = np.concatenate([biased(150, 10, i, 30, rng) for i in range(4)])
    few = cuts(draws, 10, permutations=90)
    assert most_tests(0.01, 90) == 9
    assert 3 + len(few.changes) <= 9
    assert 1 <= len(few.made) < len(cuts(draws, 10, permutations=200).made)
