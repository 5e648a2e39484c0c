"""Is the best family really better? How often a tie is called a victory, and the other way."""

from __future__ import annotations

import numpy as np
import pytest

from steps.step5_training import evaluate as evaluation
from steps.step5_training import paired
from steps.step5_training.evaluate import evaluate
from steps.step5_training.paired import (
    compare_families,
    comparison_note,
    fisher,
    holm,
    sign_flip_p,
)

N = 1000
HOLDOUT = np.arange(800, N)
FOLDS = np.array_split(np.arange(800), 4)


@pytest.fixture
def few_draws(monkeypatch):
    monkeypatch.setattr(paired, "MOST_FLIPS", 999)
    monkeypatch.setattr(evaluation, "MOST_RESAMPLES", 250)


def compare(y, predictions, units=None):
    """The best of cross-validation against the others, as the judge does it."""
    cv = evaluate(y, predictions, FOLDS, 0, units)
    held = evaluate(y, predictions, [HOLDOUT], 0, units)
    best = max(predictions, key=lambda name: cv.scores[name].r2.value)
    return compare_families(best, y, predictions, HOLDOUT, cv, held, 0, units)


def families(seed, noises, common=0.7):
    """Predictions that share most of their error, as families of one table do."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=N)
    shared = y + common * rng.normal(size=N)
    return y, {name: shared + noise * rng.normal(size=N) for name, noise in noises.items()}


def test_a_lead_beyond_the_paired_noise_is_clear_though_the_intervals_overlap():
    y, predictions = families(0, {"good": 0.05, "bad": 0.4})
    (found,) = compare(y, predictions)
    assert (found.best, found.other, found.verdict) == ("good", "bad", "better")
    assert 0 < found.cv_r2.ci95[0] < found.cv_r2.value < found.cv_r2.ci95[1]
    assert found.p_value < 0.01
    note = comparison_note([found])
    assert note.code == "clear_winner"
    assert note.message.startswith("good is better than bad beyond chance: ")


def test_equal_families_are_seldom_called_better_though_the_best_was_picked(few_draws):
    called = 0
    for seed in range(60):
        y, predictions = families(seed, dict.fromkeys("abcd", 0.3))
        called += any(pair.verdict == "better" for pair in compare(y, predictions))
    assert called <= 5


def test_a_small_holdout_need_only_agree_with_a_plain_lead(few_draws):
    """The holdout alone could not say it: 200 rows, and a p-value that is often over 0.05."""
    called = alone = 0
    for seed in range(40):
        y, predictions = families(seed, {"good": 0.25, "bad": 0.42})
        (found,) = compare(y, predictions)
        called += found.verdict == "better"
        alone += found.p_value <= 0.05
    assert called >= 34
    assert alone < called


def test_a_lead_that_the_holdout_denies_is_a_tie():
    y, predictions = families(0, {"good": 0.05, "bad": 0.4})
    predictions["good"][HOLDOUT] += 2.0
    (found,) = compare(y, predictions)
    assert found.best == "good"
    assert found.holdout_r2.value < 0
    assert found.verdict == "tie"
    assert comparison_note([found]).code == "tie"


def test_the_closest_family_comes_first_and_all_are_compared():
    y, predictions = families(0, {"c": 0.6, "a": 0.05, "b": 0.3})
    found = compare(y, predictions)
    assert [pair.other for pair in found] == ["b", "c"]
    assert {pair.best for pair in found} == {"a"}


def test_one_family_has_nobody_to_be_compared_with():
    y, predictions = families(0, {"a": 0.1})
    assert compare(y, predictions) == ()


def test_equal_predictions_are_tied():
    y, predictions = families(0, {"a": 0.1})
    predictions["twin"] = predictions["a"].copy()
    (found,) = compare(y, predictions)
    assert found.verdict == "tie"
    assert found.p_value == 1.0


def test_signs_that_flip_together_make_fewer_witnesses():
    rng = np.random.default_rng(0)
    losses = (rng.normal(size=10).repeat(30) + 0.6)[:, None]
    alone = sign_flip_p(losses, np.random.default_rng(1))
    together = sign_flip_p(losses, np.random.default_rng(1), np.repeat(np.arange(10), 30))
    assert alone[0] < 0.001 < together[0]


def test_the_sign_flip_test_counts_all_signs():
    losses = np.array([[3.0], [1.0], [1.0], [-0.5]])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1)
    exact = np.mean((signs.T @ losses)[:, 0] >= losses.sum() - 1e-12)
    assert sign_flip_p(losses, np.random.default_rng(0))[0] == pytest.approx(exact, abs=0.02)


def test_holm_corrects_from_the_smallest_on():
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_fisher_makes_one_p_value_of_two():
    draws = np.random.default_rng(0).random((2, 400_000))
    as_small = np.mean(draws[0] * draws[1] <= 0.04 * 0.2)
    assert fisher(0.04, 0.2) == pytest.approx(as_small, rel=0.03)
    assert fisher(1.0, 1.0) == 1.0
    assert fisher(0.0, 0.3) == 0.0


def test_under_five_units_a_lead_has_no_interval_and_is_a_tie():
    y, predictions = families(0, {"a": 0.1, "b": 0.9})
    [found] = compare(y, predictions, np.arange(len(y)) % 4)
    assert found.cv_r2.ci95 is None
    assert found.holdout_r2.ci95 is None
    assert found.verdict == "tie"
    assert "no interval" in comparison_note([found]).message
