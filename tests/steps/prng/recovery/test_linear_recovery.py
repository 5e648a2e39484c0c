from __future__ import annotations

import pytest

from steps.prng.recovery.found import CannotRecover, TooFewDraws
from steps.prng.recovery.linear import recover_linear, subsets_of


@pytest.mark.parametrize("generator", ["xorshift32", "xorshift64", "xorshift64star", "xorshift128"])
def test_state_and_gap_are_found_in_clean_draws(history, generator):
    made = history(generator, gap=29)
    found = recover_linear(made.question(range(40))).found
    assert (found.state, found.gap, found.matches) == (made.state, 29, 60)


@pytest.mark.parametrize(
    ("generator", "mapping", "modulus"),
    [
        ("xorshift32", "next_int", 1000),
        ("xorshift64", "multiply", 1000),
        ("xorshift128", "digits_mod", 1000),
        ("xorshift128", "next_int", 1024),
        ("xorshift64star", "mod", 1024),
        ("xorshift64", "digits_next_int", 100),
    ],
)
def test_every_mapping_that_shows_bits_will_do(history, generator, mapping, modulus):
    made = history(generator, mapping, modulus, draws=80, gap=1)
    assert recover_linear(made.question()).found.state == made.state


@pytest.mark.parametrize("draws", [28, 60, 400])
@pytest.mark.parametrize("generator", ["xorshift32", "xorshift64", "xorshift128"])
def test_upper_bits_of_outputs_in_a_row_give_the_state(history, generator, draws):
    """Neighbours repeat each other's equations: so many draws as there are unknowns do not do."""
    made = history(generator, "multiply", 1000, draws=draws, gap=0)
    assert recover_linear(made.question(range(1))).found.state == made.state


@pytest.mark.parametrize(
    ("generator", "corruption", "draws"),
    [("xorshift32", 0.25, 80), ("xorshift64", 0.1, 120), ("xorshift128", 0.05, 250)],
)
def test_corrupted_draws_are_survived(history, generator, corruption, draws):
    made = history(generator, draws=draws, gap=2, corruption=corruption)
    found = recover_linear(made.question(range(1, 4), corruption=corruption)).found
    assert (found.state, found.gap) == (made.state, 2)
    assert found.matches == pytest.approx(draws * (1 - corruption), abs=2)


def test_missing_and_unread_draws_are_survived(history):
    made = history("xorshift64", draws=120, missing=(4, 90), unread=(30, 31, 60))
    found = recover_linear(made.question(missing_rate=0.02)).found
    assert (found.state, found.missing, found.compared) == (made.state, 2, 117)


@pytest.mark.parametrize("corruption", [0.0, 0.1])
@pytest.mark.parametrize("generator", ["xorshift32", "xorshift64", "xorshift64star"])
def test_random_draws_are_never_found(noise, generator, corruption):
    for seed in range(20):
        question = noise(generator, seed=seed, draws=120, gaps=range(3), corruption=corruption)
        assert recover_linear(question).found is None


def test_nothing_but_zeros_is_not_a_generator(noise):
    question = noise("xorshift32", seed=0)
    question.draws[:] = 0
    assert recover_linear(question).found is None


def test_too_few_draws_are_refused(history):
    with pytest.raises(TooFewDraws, match="got 30"):
        recover_linear(history("xorshift128", draws=30).question())


def test_a_hopeless_rate_of_corruption_is_refused(history):
    made = history("xorshift128", draws=400, corruption=0.4)
    with pytest.raises(CannotRecover, match="40% of the draws corrupted"):
        recover_linear(made.question(range(100), corruption=0.4))


@pytest.mark.parametrize(
    ("generator", "mapping", "modulus", "why"),
    [
        ("xorshift32", "mod", 625, "show no bits"),
        ("xorshift64star", "multiply", 1000, "show no bits"),
        ("xoshiro256plusplus", "mod", 1000, "is not linear"),
    ],
)
def test_draws_without_linear_bits_are_refused(history, generator, mapping, modulus, why):
    with pytest.raises(CannotRecover, match=why):
        recover_linear(history(generator, mapping, modulus).question())


def test_the_subsets_that_may_be_tried_are_told_beforehand(history):
    made = history("xorshift64", draws=200)
    draws, clean = subsets_of(made.question())
    assert (draws < 40, clean) == (True, 1)
    more, tried = subsets_of(made.question(corruption=0.1))
    assert more > draws
    assert 64 < tried < subsets_of(made.question(corruption=0.2))[1]
    with pytest.raises(TooFewDraws):
        subsets_of(history("xorshift64", draws=20).question())
