"""The tests against chance: how often they reject noise, and what they see in signal."""

from __future__ import annotations

import numpy as np
import pytest

from steps.step5_training import permutation
from steps.step5_training.permutation import holdout_test, out_of_fold_test, upper_tail


@pytest.fixture
def few_permutations(monkeypatch):
    monkeypatch.setattr(permutation, "MOST_PERMUTATIONS", 999)


def heavy(rng, n):
    return rng.standard_t(2.5, size=n)


def normal(rng, n):
    return rng.normal(size=n)


@pytest.mark.parametrize("draw", [normal, heavy])
def test_of_four_useless_families_one_is_called_chance_as_often_as_the_test_says(
    draw, few_permutations
):
    """Four families, alike as families are: the smallest corrected p is under 0.05 in 5 %."""
    rejected = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y, common = draw(rng, 60), rng.normal(size=60)
        guesses = {str(i): common + rng.normal(size=60) for i in range(4)}
        rejected += min(holdout_test(y, guesses, np.arange(60), seed).values()) <= 0.05
    # Binomial(200, 0.05): 3 to 19 with probability 0.99.
    assert 3 <= rejected <= 19


def test_equal_families_cost_nothing_and_different_ones_do():
    rng = np.random.default_rng(1)
    y = rng.normal(size=80)
    good = 0.25 * y + rng.normal(size=80)
    rows = np.arange(80)
    alone = holdout_test(y, {"good": good}, rows, 0)["good"]
    twins = holdout_test(y, {"good": good, "twin": 3 * good + 1}, rows, 0)["good"]
    others = {f"other {i}": rng.normal(size=80) for i in range(5)}
    among = holdout_test(y, {"good": good, **others}, rows, 0)["good"]
    assert twins == alone
    assert 2 * alone < among < 8 * alone


def test_the_p_value_is_that_of_the_permutations():
    """Seven rows: all 5040 orders can be counted."""
    from itertools import permutations

    rng = np.random.default_rng(3)
    y, guess = rng.normal(size=7), rng.normal(size=7)
    reached = [np.dot(order, guess) >= y @ guess - 1e-12 for order in permutations(y)]
    found = holdout_test(y, {"a": guess}, np.arange(7), 0)["a"]
    assert found == pytest.approx(np.mean(reached), abs=0.02)


def test_predictions_that_go_against_the_target_are_no_signal():
    y = np.random.default_rng(0).normal(size=50)
    assert holdout_test(y, {"a": -y}, np.arange(50), 0)["a"] == 1.0


def test_a_family_that_predicts_one_value_has_no_evidence():
    y = np.random.default_rng(0).normal(size=50)
    flat = np.full(50, 1e9 + 0.1)
    found = holdout_test(y, {"flat": flat, "good": y}, np.arange(50), 0)
    assert found["flat"] == 1.0
    assert found["good"] == pytest.approx(1 / 5000)
    folds = [np.arange(25), np.arange(25, 50)]
    assert out_of_fold_test(y, {"flat": flat}, folds, 1, mutual=True)["flat"] == 1.0


def test_only_the_rows_asked_for_are_looked_at():
    y = np.random.default_rng(0).normal(size=60)
    guess = np.where(np.arange(60) < 30, y, np.nan)
    assert holdout_test(y, {"a": guess}, np.arange(30), 0)["a"] < 0.001


def test_rows_that_hang_together_are_not_counted_as_many_witnesses(few_permutations):
    """Ten groups, target and prediction constant inside them, no relation between groups."""
    by_row = by_group = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(10), 30)
        y = rng.normal(size=10)[group] + 0.1 * rng.normal(size=300)
        guess = {"a": rng.normal(size=10)[group]}
        rows = np.arange(300)
        by_row += holdout_test(y, guess, rows, seed)["a"] <= 0.05
        by_group += holdout_test(y, guess, rows, seed, group)["a"] <= 0.05
    assert by_row > 15
    assert by_group <= 8  # Binomial(60, 0.05) is over 8 with probability 0.003


@pytest.mark.parametrize("draw", [normal, heavy])
@pytest.mark.parametrize("units", [False, True])
def test_out_of_fold_predictions_of_noise_are_rejected_as_often_as_the_test_says(draw, units):
    rejected = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        y, guess = draw(rng, 120), draw(rng, 120)
        folds = np.array_split(rng.permutation(120), 3)
        group = np.arange(120) // 4 if units else None
        found = out_of_fold_test(y, {"a": guess}, folds, 1, group, mutual=False)
        rejected += found["a"] <= 0.05
    # Binomial(400, 0.05): 10 to 32 with probability 0.99.
    assert 10 <= rejected <= 32


def test_folds_that_train_each_other_double_the_variance_at_most():
    """Ridge regression on noise: each fold's errors sit in the models of the others."""
    plain = mutual = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(60, 40)), rng.normal(size=60)
        folds = np.array_split(rng.permutation(60), 5)
        guess = np.empty(60)
        for fold in folds:
            rest = np.setdiff1d(np.arange(60), fold)
            A = X[rest].T @ X[rest] + 200 * np.eye(40)
            guess[fold] = X[fold] @ np.linalg.solve(A, X[rest].T @ (y[rest] - y[rest].mean()))
        plain += out_of_fold_test(y, {"a": guess}, folds, 1, mutual=False)["a"] <= 0.05
        mutual += out_of_fold_test(y, {"a": guess}, folds, 1, mutual=True)["a"] <= 0.05
    assert plain > 25  # it should be 15
    assert mutual <= 24


def test_every_hypothesis_is_paid_for():
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    folds = np.array_split(np.arange(200), 4)
    guess = {"a": 0.4 * y + rng.normal(size=200)}
    once = out_of_fold_test(y, guess, folds, 1, mutual=True)["a"]
    assert out_of_fold_test(y, guess, folds, 50, mutual=True)["a"] == pytest.approx(50 * once)
    assert out_of_fold_test(y, guess, folds, 10**9, mutual=True)["a"] == 1.0


def test_the_level_of_a_fold_is_no_signal():
    """Folds of different level: between them prediction and target agree, inside them not."""
    rng = np.random.default_rng(0)
    level = np.repeat([0.0, 10.0, 20.0], 50)
    y, guess = level + rng.normal(size=150), level + rng.normal(size=150)
    folds = np.split(np.arange(150), 3)
    assert out_of_fold_test(y, {"a": guess}, folds, 1, mutual=False)["a"] > 0.05


def test_the_tail_of_the_normal_distribution_is_known():
    assert upper_tail(0.0) == 0.5
    assert upper_tail(1.959964) == pytest.approx(0.025, rel=1e-6)
    assert upper_tail(6.0) == pytest.approx(9.865876e-10, rel=1e-5)
