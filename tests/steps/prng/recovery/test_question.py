from __future__ import annotations

import math

import numpy as np
import pytest

from steps.prng import GENERATORS, MAPPINGS
from steps.prng.recovery.algebra import method_for, recover_state
from steps.prng.recovery.brute_force import search_seeds
from steps.prng.recovery.found import CannotRecover
from steps.prng.recovery.question import Judge, Origin, Question


def ask(draws, **options):
    return Question(GENERATORS["java"], MAPPINGS["next_int"], 1000, np.array(draws), **options)


@pytest.mark.parametrize(
    ("draws", "options", "message"),
    [
        ([1, 1000], {}, "draws must be 0..999, or -1 where unread; draw 1 is 1000"),
        ([[1]], {}, r"draws must be int64 \(n,\)"),
        ([1.5], {}, "got float64"),
        ([1], {"gaps": ()}, "gaps must be"),
        ([1], {"gaps": (-1,)}, "gaps must be"),
        ([1], {"corruption": 1.0}, "corruption must be at least 0 and under 1, got 1.0"),
        ([1], {"missing_rate": -0.1}, "missing_rate must be"),
    ],
)
def test_impossible_questions_are_refused(draws, options, message):
    with pytest.raises(ValueError, match=message):
        ask(draws, **options)


def test_the_draws_that_would_prove_a_state_do(history):
    question = history("java", "next_int", draws=500).question(range(501))
    wanted = question.draws_for_proof(48 * math.log(2))
    assert wanted == 8
    for draws, proven in ((wanted, True), (wanted - 2, False)):
        made = history("java", "next_int", draws=draws, gap=0)
        judge = Judge(made.question(range(501)), 48 * math.log(2))
        assert judge.try_state(np.array(made.state, np.uint64), 0, 0) is proven


def test_more_corruption_wants_more_draws():
    wanted = [
        ask([1], corruption=rate).draws_for_proof(48 * math.log(2)) for rate in (0, 0.1, 0.25, 0.5)
    ]
    assert wanted == sorted(set(wanted))


def test_a_search_counts_what_it_passed_over(noise):
    search = recover_state(noise("java", "next_int", seed=1, gaps=range(4)))
    assert search.log_hypotheses == pytest.approx(48 * math.log(2) + math.log(4))
    assert (search.draws, search.gaps, search.found, search.best_score) == (60, 4, None, None)


def test_evidence_is_what_the_formula_says(history):
    made = history("java", "next_int", draws=60, corruption=0.1)
    found = recover_state(made.question(corruption=0.1)).found
    expected = 54 * math.log(1000 * 0.9 + 0.1) + 6 * math.log(0.1) - 2 * math.log(2)
    assert found.matches == 54
    assert found.log_ratio == pytest.approx(expected)
    assert found.score == pytest.approx(expected - 48 * math.log(2))


def test_only_generators_without_a_method_are_refused(history):
    refused = {name for name, generator in GENERATORS.items() if method_for(generator) is None}
    assert refused == {"pcg32", "splitmix64", "xoshiro256plusplus", "philox4x32", "sfc64"}
    with pytest.raises(CannotRecover, match="no method but to try its seeds"):
        recover_state(history("pcg32").question())


@pytest.mark.parametrize("modulus", [2, 8])
def test_draws_that_come_round_are_not_read_from_before_the_seeding(history, modulus):
    made = history("lcg32", modulus=modulus, draws=300, offset=0)
    judge = Judge(made.question(missing_rate=0.02), 31 * math.log(2))
    origin = Origin(20240607, "srandom", 0)
    assert judge.try_state(np.array(made.state, np.uint64), 0, 0, origin)
    best = judge.best
    assert (best.offset, best.first, best.stop, best.missing) == (0, 0, 300, 0)
    assert best.state == made.state


def test_a_seed_lies_before_the_draws_whatever_matches_better(history):
    made = history("java", "next_int", draws=60, offset=0)
    question = made.question(missing_rate=0.05)
    judge = Judge(question, 0.0)
    # The state of draw 3, said to be the seed's own: draws 0 to 2 are from before it.
    later = made.law.states_before(np.array([made.state], np.uint64), 3)[0]
    assert judge.try_state(later, 0, 0, Origin(1, "raw", 0))
    assert (judge.best.first, judge.best.offset) == (3, 0)


@pytest.mark.parametrize("generator", ["xorshift32", "xorshift64", "xorshift128", "mt19937"])
def test_a_state_that_stands_still_is_no_candidate(generator):
    still = Question(GENERATORS[generator], MAPPINGS["mod"], 1000, np.zeros(190, np.int64))
    judge = Judge(still, 0.0)
    assert not judge.try_state(np.zeros(GENERATORS[generator].state_words, np.uint64), 0, 0)
    assert (judge.candidates, judge.best) == (0, None)


def test_no_seed_is_behind_draws_of_nothing_but_zeros():
    zeros = Question(GENERATORS["xorshift32"], MAPPINGS["mod"], 1000, np.zeros(190, np.int64))
    assert search_seeds(zeros, "raw", seeds=range(4096)).search.found is None
