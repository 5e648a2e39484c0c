from __future__ import annotations

import random

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS, Law
from steps.prng.recovery.found import CannotRecover, TooFewDraws
from steps.prng.recovery.mersenne_twister import recover_mersenne_twister
from steps.prng.recovery.question import Question


def test_python_s_own_random_is_found_among_slips_of_the_pen():
    machine = random.Random("a seed of no number")
    made = np.array([machine.getrandbits(32) % 1000 for _ in range(17_000)], np.int64)
    made[[3000, 12_500]] = (made[[3000, 12_500]] + 1) % 1000
    question = Question(GENERATORS["mt19937"], MAPPINGS["mod"], 1000, made)
    found = recover_mersenne_twister(question).found
    assert (found.first, found.stop) == (0, 17_000)
    assert (found.matches, found.compared) == (16_998, 17_000)
    law = Law(GENERATORS["mt19937"], MAPPINGS["mod"], 1000)
    ahead = law.draws(np.array([found.state], np.uint64), 50, first=17_000)[0]
    assert ahead.tolist() == [machine.getrandbits(32) % 1000 for _ in range(50)]


def test_the_64_bit_twister_is_found_in_draws_that_cannot_all_be_read(history):
    made = history("mt19937_64", draws=8600, offset=5, unread=range(100, 8000, 40))
    found = recover_mersenne_twister(made.question()).found
    assert (found.first, found.matches, found.compared) == (0, 8402, 8402)
    # The same stream: where in its ring a state begins is of no consequence.
    states = np.array([found.state, made.state], np.uint64)
    one, other = made.law.generator.run(states, 1000)[0]
    assert (one == other).all()


def test_random_draws_are_not_found(noise):
    search = recover_mersenne_twister(noise("mt19937_64", draws=7990, seed=4))
    assert (search.found, search.candidates) == (None, 0)


def test_too_few_draws_are_refused(history):
    with pytest.raises(TooFewDraws, match="about 7975 draws, got 100"):
        recover_mersenne_twister(history("mt19937", draws=100).question())


def test_draws_that_show_no_bits_are_refused(history):
    with pytest.raises(CannotRecover, match="show no bits"):
        recover_mersenne_twister(history("mt19937", modulus=625).question())


def test_another_generator_is_refused(history):
    with pytest.raises(CannotRecover, match="java is no Mersenne twister"):
        recover_mersenne_twister(history("java").question())
