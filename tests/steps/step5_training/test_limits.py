from __future__ import annotations

from steps.step5_training.limits import FACTOR, GRACE_S, first_limit_s, fit_limit_s, trial_limit_s


def test_the_first_trial_has_a_limit_too_and_a_larger_table_a_longer_one():
    assert trial_limit_s([], 5, 700.0) == 700.0
    assert 600 < first_limit_s(1000, 5, 500) < first_limit_s(1_000_000, 5, 500)


def test_the_slowest_fold_makes_the_limit():
    assert trial_limit_s([1.0, 4.0], 5, 700.0) == GRACE_S + FACTOR * 20


def test_a_fit_under_a_time_budget_is_not_waited_for_for_ever():
    assert fit_limit_s(10.0, None) == GRACE_S + FACTOR * 10
    assert fit_limit_s(10.0, 100.0) == 100
    assert fit_limit_s(10.0, 2.0) == 40
