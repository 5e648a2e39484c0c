from __future__ import annotations

import pytest

from steps.prng.recovery.found import CannotRecover, TooFewDraws
from steps.prng.recovery.whole_output import recover_whole_output


@pytest.mark.parametrize(
    ("generator", "mapping", "modulus", "corruption"),
    [
        ("minstd_rand", "mod", 1000, 0.0),
        ("minstd_rand0", "multiply", 1000, 0.25),
        ("minstd_rand", "next_int", 4999, 0.1),
        ("lcg32", "mod", 1000, 0.25),
        ("lcg32", "mod", 4999, 0.0),
        ("lcg32", "multiply", 1000, 0.0),
        ("lcg32", "next_int", 1024, 0.1),
    ],
)
def test_state_and_gap_are_found(history, generator, mapping, modulus, corruption):
    made = history(generator, mapping, modulus, gap=3, corruption=corruption)
    found = recover_whole_output(made.question(range(2, 5), corruption=corruption)).found
    assert (found.state, found.gap) == (made.state, 3)
    assert found.matches == pytest.approx(60 * (1 - corruption), abs=2)


def test_missing_draws_are_survived(history):
    made = history("minstd_rand", draws=100, missing=(3, 50))
    found = recover_whole_output(made.question(missing_rate=0.02)).found
    assert (found.missing, found.stop) == (2, 100)


@pytest.mark.parametrize("generator", ["minstd_rand", "lcg32"])
def test_random_draws_are_never_found(noise, generator):
    for seed in range(20):
        assert recover_whole_output(noise(generator, seed=seed)).found is None


def test_nothing_but_zeros_is_not_a_generator(noise):
    question = noise("minstd_rand", seed=0)
    question.draws[:] = 0
    assert recover_whole_output(question).found is None


def test_another_generator_is_refused(history):
    with pytest.raises(CannotRecover, match="the output of java is not its state"):
        recover_whole_output(history("java").question())


def test_no_draws_that_can_be_read_are_refused(history):
    made = history("lcg32", draws=10, unread=range(10))
    with pytest.raises(TooFewDraws, match="about 1 draws, got 0"):
        recover_whole_output(made.question())
