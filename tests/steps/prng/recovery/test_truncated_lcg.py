from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery import truncated_lcg
from steps.prng.recovery.found import CannotRecover, TooFewDraws
from steps.prng.recovery.truncated_lcg import recover_truncated_lcg


def test_nine_draws_of_next_int_give_state_and_gap(history):
    made = history("java", "next_int", draws=9, gap=37, offset=1234567)
    found = recover_truncated_lcg(made.question(range(64))).found
    assert found.state == made.state
    assert (found.gap, found.first, found.stop, found.matches) == (37, 0, 9, 9)


@pytest.mark.parametrize(
    ("mapping", "modulus", "draws"),
    [("mod", 1000, 12), ("next_int", 10_000, 12), ("mod", 96, 20), ("next_int", 1_000_000, 9)],
)
def test_every_even_m_gives_the_state(history, mapping, modulus, draws):
    made = history("java", mapping, modulus, draws, gap=3)
    assert recover_truncated_lcg(made.question(range(5))).found.state == made.state


def test_fifty_values_a_draw_want_two_dozen_draws(history):
    made = history("java", "next_int", 50, draws=22)
    assert recover_truncated_lcg(made.question()).found.state == made.state


@pytest.mark.parametrize("corruption", [0.1, 0.25, 0.4])
def test_corrupted_draws_are_survived(history, corruption):
    made = history("java", "next_int", draws=150, gap=11, corruption=corruption)
    found = recover_truncated_lcg(made.question(range(10, 13), corruption=corruption)).found
    assert (found.state, found.gap) == (made.state, 11)
    assert found.matches == pytest.approx(150 * (1 - corruption), abs=2)


def test_corrupted_draws_of_three_digits_are_survived(history):
    made = history("java", "digits_mod", draws=120, corruption=0.1)
    found = recover_truncated_lcg(made.question(corruption=0.1)).found
    assert (found.state, found.matches) == (made.state, 108)


def test_missing_draws_are_found_and_counted(history):
    made = history("java", "next_int", draws=200, gap=1, missing=(5, 70, 71, 140))
    found = recover_truncated_lcg(made.question(missing_rate=0.02)).found
    assert (found.state, found.missing) == (made.state, 4)
    assert found.matches >= 198


def test_unread_draws_keep_their_places(history):
    made = history("java", "next_int", draws=20, gap=1, unread=(0, 1, 5, 6, 11))
    found = recover_truncated_lcg(made.question()).found
    assert (found.state, found.matches, found.compared) == (made.state, 15, 15)


def test_the_state_predicts_the_next_draws(history):
    made = history("java", "next_int", draws=30, gap=4)
    seen = dataclasses.replace(made, draws=made.draws[:20])
    found = recover_truncated_lcg(seen.question()).found
    law = Law(GENERATORS["java"], MAPPINGS["next_int"], 1000, found.gap)
    state = np.array([found.state], np.uint64)
    assert law.draws(state, 10, first=20)[0].tolist() == made.draws[20:].tolist()


def test_with_a_power_of_two_all_bits_that_matter_are_found(history):
    made = history("java", "mod", 64, draws=40)
    found = recover_truncated_lcg(made.question()).found
    assert found.matches == 40
    assert found.state[0] % 2**22 == made.state[0] % 2**22
    assert found.log_hypotheses == pytest.approx(22 * math.log(2))


def test_a_stretch_of_a_reseeded_history_is_found_alone(history):
    made = history("java", "next_int", draws=60)
    other = np.random.default_rng(1).integers(0, 1000, 140)
    mixed = dataclasses.replace(made, draws=np.concatenate([made.draws, other]))
    found = recover_truncated_lcg(mixed.question()).found
    assert (found.first, found.stop, found.matches) == (0, 60, 60)


def test_random_draws_are_never_found(noise):
    for seed in range(30):
        search = recover_truncated_lcg(noise("java", "next_int", seed=seed, gaps=range(3)))
        assert search.found is None
    for seed in range(10):
        question = noise("java", "next_int", seed=seed, corruption=0.25, missing_rate=0.02)
        assert recover_truncated_lcg(question).found is None


def test_another_gap_than_those_asked_for_is_not_found(history):
    made = history("java", "next_int", gap=5)
    assert recover_truncated_lcg(made.question(range(5))).found is None


@pytest.mark.parametrize(
    ("mapping", "modulus"), [("mod", 49), ("next_int", 625), ("next_int", 512), ("multiply", 1000)]
)
def test_draws_that_show_no_lower_bit_are_refused(history, mapping, modulus):
    with pytest.raises(CannotRecover, match="no lower bits"):
        recover_truncated_lcg(history("java", mapping, modulus).question())


def test_too_few_draws_are_refused_with_the_number_that_would_do(history):
    with pytest.raises(TooFewDraws, match="about 8 draws, got 5") as refusal:
        recover_truncated_lcg(history("java", "next_int", draws=5).question())
    assert (refusal.value.wanted, refusal.value.got) == (8, 5)


def test_another_generator_is_refused(history):
    with pytest.raises(CannotRecover, match="xorshift32 is no linear congruence"):
        recover_truncated_lcg(history("xorshift32").question())


def test_a_search_that_is_stopped_says_so(noise):
    question = dataclasses.replace(noise("java", "next_int", seed=1), should_stop=lambda: True)
    search = recover_truncated_lcg(question)
    assert (search.found, search.complete) == (None, False)


def test_many_starts_pass_by_wrong_draws_and_find_a_stretch_in_the_middle(history):
    made = history("java", "next_int", draws=60)
    noise = np.random.default_rng(1).integers(0, 1000, 140)
    mixed = np.concatenate([noise[:70], made.draws, noise[70:]])
    question = dataclasses.replace(made, draws=mixed).question()
    assert recover_truncated_lcg(question).found is None
    found = recover_truncated_lcg(dataclasses.replace(question, starts=16)).found
    assert (found.first, found.stop, found.state) == (70, 130, made.state)


def test_an_upper_pass_is_seldom_made_in_vain(noise, monkeypatch):
    # Of a digit alone the upper pass takes 2^30 / 5 candidates: a thousand times the lower one.
    tried = []
    monkeypatch.setattr(truncated_lcg, "binary_candidates", lambda *_: len(tried.append(1) or []))
    question = dataclasses.replace(noise("java", "digits_mod", draws=400, seed=2), starts=64)
    assert recover_truncated_lcg(question).found is None
    assert len(tried) <= 1


@pytest.mark.parametrize("starts", [0, -1])
def test_a_search_from_no_start_is_refused(history, starts):
    with pytest.raises(ValueError, match="starts must be at least 1"):
        dataclasses.replace(history("java").question(), starts=starts)
