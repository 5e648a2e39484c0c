from __future__ import annotations

import math

import numpy as np
import pytest

from steps.prng.recovery.looks import Odds, observations_wanted, plan_looks, tries_wanted


def test_with_clean_draws_every_look_must_match():
    plan = plan_looks(12, Odds(1 / 8, 1.0), 17 * math.log(2))
    assert (plan.looks, plan.floor, plan.total_floor) == (3, 3, 12)


@pytest.mark.parametrize(("chance", "hit"), [(1 / 8, 0.8), (1 / 1000, 0.75), (0.5, 0.95)])
def test_a_plan_keeps_the_true_candidate_and_drops_the_wrong_ones(chance, hit):
    log_candidates = 20 * math.log(2)
    observations = observations_wanted(Odds(chance, hit), log_candidates)
    plan = plan_looks(observations, Odds(chance, hit), log_candidates)
    draw = np.random.default_rng(1)
    true = draw.random((20_000, observations)) < hit
    wrong = draw.random((20_000, observations)) < chance
    kept = (true[:, : plan.looks].sum(axis=1) >= plan.floor) & (
        true.sum(axis=1) >= plan.total_floor
    )
    assert kept.mean() > 0.998
    assert (wrong[:, : plan.looks].sum(axis=1) >= plan.floor).mean() < 1 / 128
    assert not (wrong.sum(axis=1) >= plan.total_floor).any()


def test_matches_that_do_not_pay_for_the_candidates_are_too_few():
    # Four matches of one in 1000 are worth 27 nats, three 20.
    odds = Odds(1 / 1000, 0.9)
    assert plan_looks(3, odds, 22.0) is None
    assert plan_looks(observations_wanted(odds, 22.0), odds, 22.0).total_floor >= 4


@pytest.mark.parametrize("hit", [0.6, 0.75, 0.9, 0.97])
@pytest.mark.parametrize("chance", [0.5, 0.1])
def test_some_more_observations_than_wanted_are_never_too_few(chance, hit):
    odds = Odds(chance, hit, group=3, sure=2)
    wanted = observations_wanted(odds, 12.0)
    assert all(plan_looks(wanted + more, odds, 12.0) is not None for more in range(12))


def test_digits_of_one_draw_go_wrong_together():
    wanted = observations_wanted(Odds(0.1, 0.8, group=3), 22.0)
    assert wanted > 1.5 * observations_wanted(Odds(0.1, 0.8), 22.0)


def test_tries_leave_next_to_no_doubt():
    assert tries_wanted(1.0) == 1
    assert 0.5 ** tries_wanted(0.5) < 1e-3


@pytest.mark.parametrize(("chance", "hit"), [(0.0, 1.0), (0.5, 0.5), (0.5, 1.5)])
def test_odds_that_tell_nothing_are_refused(chance, hit):
    with pytest.raises(ValueError, match="wanted 0 < chance < hit <= 1"):
        Odds(chance, hit)
