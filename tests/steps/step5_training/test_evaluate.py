from __future__ import annotations

import numpy as np
import pytest

from steps.step5_training.evaluate import evaluate


def make(n=2000, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(10, 2, n)
    return y, y + noise * rng.normal(size=n)


def test_the_scores_are_the_usual_ones_on_one_group():
    y, p = make()
    scores = evaluate(y, {"a": p}, [np.arange(len(y))], seed=1).scores["a"]
    errors = y - p
    assert scores.r2.value == pytest.approx(1 - np.sum(errors**2) / np.sum((y - y.mean()) ** 2))
    assert scores.rmse.value == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert scores.mae.value == pytest.approx(np.mean(np.abs(errors)))


def test_r2_is_the_mean_over_folds_and_errors_pool_all_rows():
    y, p = make(n=300)
    groups = [np.arange(100), np.arange(100, 300)]
    scores = evaluate(y, {"a": p}, groups, seed=1).scores["a"]
    by_fold = [1 - np.sum((y[g] - p[g]) ** 2) / np.sum((y[g] - y[g].mean()) ** 2) for g in groups]
    assert scores.r2.value == pytest.approx(np.mean(by_fold))
    assert scores.rmse.value == pytest.approx(np.sqrt(np.mean((y - p) ** 2)))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    truth = 1 - 0.25 / (4 + 0.0)
    held = 0
    for seed in range(60):
        y, p = make(n=400, seed=seed)
        low, high = evaluate(y, {"a": p}, [np.arange(400)], seed=1).scores["a"].r2.ci95
        held += low <= truth <= high
    assert 51 <= held <= 60


def test_families_are_compared_on_the_same_resamples():
    y, p = make()
    samples = evaluate(y, {"a": p, "b": p + 0.001}, [np.arange(len(y))], seed=1).r2_samples
    assert np.std(samples["a"] - samples["b"]) < 0.01 * np.std(samples["a"])


def test_rows_outside_the_groups_are_not_looked_at():
    y, p = make()
    y[0], p[0] = 1e9, np.nan
    assert evaluate(y, {"a": p}, [np.arange(1, len(y))], seed=1).scores["a"].r2.value > 0.9


def test_a_large_offset_of_the_target_costs_no_digits():
    y, p = make()
    near = evaluate(y, {"a": p}, [np.arange(len(y))], seed=1).scores["a"].r2
    far = evaluate(y + 1e9, {"a": p + 1e9}, [np.arange(len(y))], seed=1).scores["a"].r2
    assert far.value == pytest.approx(near.value, abs=1e-6)
    assert far.ci95 == pytest.approx(near.ci95, abs=1e-6)


def test_a_fold_that_a_resample_makes_constant_does_not_ruin_the_interval():
    """Two hits in a fold: some resamples hold none of them, and say nothing about R2."""
    rng = np.random.default_rng(0)
    y = np.zeros(100)
    y[[3, 40, 70, 90]] = 1.0
    p = y * 0.9 + 0.01 * rng.normal(size=100)
    groups = [np.arange(50), np.arange(50, 100)]
    low, high = evaluate(y, {"a": p}, groups, seed=1).scores["a"].r2.ci95
    assert 0.5 < low < high < 1


def test_spearman_is_that_of_the_ranks_and_the_mean_over_folds():
    from scipy.stats import spearmanr

    y, p = make(n=300)
    y, p = np.round(y, 1), np.round(p, 1)  # ties
    groups = [np.arange(100), np.arange(100, 300)]
    scores = evaluate(y, {"a": p}, groups, seed=1).scores["a"]
    by_fold = [spearmanr(y[group], p[group]).statistic for group in groups]
    assert scores.spearman.value == pytest.approx(np.mean(by_fold))


def test_spearmans_interval_holds_the_truth_about_as_often_as_it_says():
    # Pearson's correlation is 1 / sqrt(2); of normal variables Spearman's follows from it.
    truth = 6 / np.pi * np.arcsin(0.5 / np.sqrt(2))
    held = 0
    for seed in range(60):
        y, p = make(n=400, noise=2.0, seed=seed)
        found = evaluate(y, {"a": p}, [np.arange(400)], seed=1).scores["a"].spearman.ci95
        held += found[0] <= truth <= found[1]
    assert 52 <= held <= 60


def test_a_fold_with_one_prediction_has_no_ranks_to_speak_of():
    y, p = make(n=200)
    p[:100] = 3.0
    groups = [np.arange(100), np.arange(100, 200)]
    found = evaluate(y, {"a": p, "flat": np.zeros(200)}, groups, seed=1).scores
    whole = evaluate(y, {"a": p}, [np.arange(100, 200)], seed=1).scores["a"].spearman.value
    assert found["a"].spearman.value == pytest.approx(whole / 2)
    assert found["flat"].spearman.value == 0.0
    assert found["flat"].spearman.ci95 == (0.0, 0.0)


def test_under_five_units_there_is_no_interval():
    y, p = make(200)
    for n_units, shown in ((1, False), (4, False), (5, True)):
        units = np.arange(200) % n_units
        scores = evaluate(y, {"a": p}, [np.arange(200)], 1, units).scores["a"]
        assert (scores.r2.ci95 is not None) is shown
        assert (scores.rmse.ci95 is not None) is shown


def test_rows_that_are_drawn_together_widen_the_interval():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 20)
    y = rng.normal(size=20)[group] + 0.1 * rng.normal(size=400)
    p = y + rng.normal(size=20)[group]
    alone = evaluate(y, {"a": p}, [np.arange(400)], seed=1).scores["a"].r2
    together = evaluate(y, {"a": p}, [np.arange(400)], seed=1, units=group).scores["a"].r2
    assert together.value == alone.value
    assert np.diff(together.ci95) > 3 * np.diff(alone.ci95)
