from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from steps.forensics.multiplicity import corrected
from steps.step6_prediction.evidence import GUESS_ALPHA
from steps.step6_prediction.guesses import COMMONEST, RECURRING, guess_tests
from steps.step6_prediction.known import Known
from tests.steps.forensics.made_workspace import made_history

EXAMPLE, _ = made_history(count=2)


def known(draws, modulus, train):
    facts = EXAMPLE.facts.model_copy(update={"modulus": modulus, "draws": len(draws)})
    whole = dataclasses.replace(EXAMPLE, draws=np.asarray(draws, np.int64), facts=facts)
    parts = slice(0, train), slice(train, None)
    return Known(
        *(
            dataclasses.replace(whole, draws=whole.draws[part], sessions=("",) * len(draws[part]))
            for part in parts
        )
    )


def guessed(draws, modulus, train, low=0):
    return {test.name: test for test in guess_tests(known(draws, modulus, train), low)}


def test_draws_that_go_round_are_foretold_one_and_all():
    order = [3, 1, 4, 1, 5, 9, 2]
    test = guessed([order[k % 7] for k in range(100)], 10, 80)[RECURRING]
    assert test.statistic == 20
    assert test.p_value == pytest.approx(1e-20)
    assert "20 of 20 draws held back are the draw 7 draws before; chance gives 2" in test.sentence


def test_a_counter_is_seen_although_no_draw_comes_again():
    test = guessed(list(range(100, 400)), 1000, 240, low=1)[RECURRING]
    assert test.statistic == 60
    assert "are the draw before plus 1, and after 1000 comes 1" in test.sentence


def test_a_machine_that_always_draws_the_same_is_foretold_by_the_draw_before():
    tests = guessed([7] * 50, 1000, 40)
    assert "10 of 10 draws held back are the draw before;" in tests[RECURRING].sentence
    assert "10 of 10 draws held back are among the 100 values" in tests[COMMONEST].sentence


def test_a_wheel_that_favours_a_value_is_foretold_by_it():
    draws = np.random.default_rng(4).choice(10, 300, p=[0.3, 0.2, *[0.0625] * 8])
    test = guessed(draws.tolist(), 10, 240, low=5)[COMMONEST]
    assert "draws held back are 5, the value drawn most often before" in test.sentence
    assert test.p_value < 1e-3


def test_uniform_draws_are_foretold_as_often_as_the_test_says_and_no_more():
    rng = np.random.default_rng(5)
    small, sure = dict.fromkeys((COMMONEST, RECURRING), 0), 0
    for _ in range(150):
        tests = guess_tests(known(rng.integers(0, 10, 150).tolist(), 10, 100), 0)
        sure += any(test.p_corrected <= GUESS_ALPHA for test in corrected(tests))
        for test in tests:
            small[test.name] += test.p_value <= 0.05
    # At most 7.5 are expected, with a standard deviation of 2.7; and 0.15 sure ones.
    assert max(small.values()) <= 17
    assert sure <= 2


def test_draws_that_were_not_read_are_neither_hits_nor_misses():
    draws = [k % 5 for k in range(60)]
    for hole in (7, 52, 55):
        draws[hole] = -1
    test = guessed(draws, 5, 50)[RECURRING]
    # Two were not read, and the one after the first has none before it; at distance one.
    assert test.statistic == 6
    assert "6 of 6" in test.sentence


def test_what_cannot_be_compared_is_no_test():
    assert guess_tests(known([-1] * 20 + [3], 10, 20), 0) == ()
    assert set(guessed([3, 5, -1], 10, 2)) == set()
