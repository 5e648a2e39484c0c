from __future__ import annotations

import math

import numpy as np
import pytest

from steps.forensics.mixture import SILENT, Belief
from steps.step2_scorer.choice import choose
from steps.step2_scorer.evidence import Evidence

M = 1000
DEFAULT = Belief(M, 0.01)


def nothing(_belief):
    return None


def stream(draws, wrong=0.0, seed=1, ends=(), unread=0.0):
    """A candidate, right but for a share of the draws. ends: where others take its place."""
    rng = np.random.default_rng(seed)
    recorded = rng.integers(0, M, draws)
    said = np.tile(recorded, (len(ends) + 1, 1))
    for number, (first, stop) in enumerate(zip((0, *ends), (*ends, draws), strict=True)):
        said[number, stop:] = rng.integers(0, M, draws - stop)
        said[number, :first] = SILENT
    recorded = np.where(rng.random(draws) < wrong, rng.integers(0, M, draws), recorded)
    recorded[rng.random(draws) < unread] = -1
    return Evidence("all", said, recorded, np.full(len(said), -22.0))


def test_the_share_of_wrong_draws_is_learned_where_there_are_many():
    choice = choose([stream(600, wrong=0.2)], DEFAULT, nothing)
    assert choice.belief == Belief(M, 0.2)
    assert choice.p_value < 0.01
    assert choice.log_loss_chosen < choice.log_loss_default - 0.2
    assert choice.draws == 600


def test_the_defaults_stay_where_they_are_as_good():
    choice = choose([stream(300, wrong=0.01, seed=3)], DEFAULT, nothing)
    assert choice.belief == DEFAULT
    assert choice.log_loss_chosen == choice.log_loss_default == choice.tried[0].log_loss


def test_a_gain_that_comes_from_one_stretch_alone_is_within_noise():
    evidence = stream(400)
    evidence.recorded[200:215] = (evidence.recorded[200:215] + 1) % M
    default = Belief(M, 0.01, hazard=0.0)
    choice = choose([evidence], default, nothing)
    assert min(tried.log_loss for tried in choice.tried) < choice.log_loss_default
    assert choice.p_value > 0.05
    assert choice.belief == default


def test_fading_evidence_is_taken_where_the_machine_is_seeded_anew_again_and_again():
    ends = tuple(range(120, 1200, 120))
    choice = choose([stream(1200, wrong=0.1, ends=ends)], Belief(M, 0.1, hazard=0.0), nothing)
    assert choice.belief.recency_draws == 50
    assert choice.log_loss_chosen < choice.log_loss_default


def test_knowing_nothing_costs_log_m_with_every_setting():
    rng = np.random.default_rng(5)
    said, recorded = rng.integers(0, M, (3, 300)), rng.integers(0, M, 300)
    choice = choose([Evidence("all", said, recorded, np.full(3, -30.0))], DEFAULT, nothing)
    for tried in choice.tried:
        assert tried.log_loss == pytest.approx(math.log(M), abs=1e-6)
    assert choice.belief == DEFAULT


def test_a_share_under_one_draw_of_all_is_not_tried_and_neither_is_slow_fading():
    choice = choose([stream(120)], DEFAULT, nothing)
    assert {tried.corruption for tried in choice.tried} == {0.01, 0.03, 0.1, 0.2, 0.35}
    assert {tried.recency_draws for tried in choice.tried} == {None, 50}
    assert len({(t.corruption, t.recency_draws) for t in choice.tried}) == len(choice.tried)


def test_draws_that_were_not_read_cost_nothing_and_streams_are_judged_together():
    streams = [stream(300, wrong=0.25, unread=0.5), stream(300, wrong=0.25, seed=2)]
    choice = choose(streams, DEFAULT, nothing)
    assert choice.draws == int((streams[0].recorded >= 0).sum()) + 300
    assert choice.belief.corruption > 0.1


def test_so_few_draws_that_nothing_can_be_shown_leave_the_defaults():
    choice = choose([stream(90, wrong=0.3)], DEFAULT, nothing)
    assert (choice.p_value, choice.belief) == (1.0, DEFAULT)


def test_what_is_tried_is_told_before():
    told = []
    choice = choose([stream(120)], DEFAULT, told.append)
    assert [(b.corruption, b.recency_draws) for b in told] == [
        (t.corruption, t.recency_draws) for t in choice.tried
    ]
