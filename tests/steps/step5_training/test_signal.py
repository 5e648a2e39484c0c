from __future__ import annotations

import numpy as np
import pytest

from steps.contract import Estimate, Scores
from steps.step5_training.ensemble import blend_weights, compare_blend
from steps.step5_training.leaks import LeakFinding
from steps.step5_training.signal import compare_winner, judge_signal


def scores(r2, low=None):
    low = r2 - 0.05 if low is None else low
    error = Estimate(value=1.0, ci95=(0.9, 1.1))
    return Scores(r2=Estimate(value=r2, ci95=(low, r2 + 0.05)), rmse=error, mae=error)


@pytest.mark.parametrize(
    ("cv", "holdout", "verdict"),
    [
        (scores(0.5), scores(0.4), "strong"),
        (scores(0.09, low=0.03), scores(0.4), "weak"),
        (scores(0.02, low=0.01), scores(0.02, low=0.01), "weak"),
        (scores(0.02, low=0.0), scores(0.4), "none"),
        # A small holdout that agrees, with an interval too wide to say so alone.
        (scores(0.5), scores(0.3, low=-0.02), "weak"),
        (scores(0.5), scores(-0.01, low=-0.2), "none"),
        (scores(0.00005, low=0.00001), scores(0.00005, low=0.00001), "none"),
        (scores(-0.5), scores(-0.2), "none"),
        (scores(0.9999), scores(0.9995, low=0.999), "leaked"),
        (scores(0.98), scores(0.98), "strong"),
    ],
)
def test_the_verdict_follows_the_weaker_of_both_scores(cv, holdout, verdict):
    signal = judge_signal(cv, holdout, ())
    assert signal.verdict == verdict
    assert signal.reasons


def test_a_leak_outweighs_every_score_and_names_its_features():
    leak = LeakFinding(features=("tax", "fee"), how="pair", strength=0.9999)
    signal = judge_signal(scores(0.5), scores(0.5), (leak, leak))
    assert signal.verdict == "leaked"
    assert signal.leaked_features == ("tax", "fee")


def make_samples(difference, spread=0.001):
    rng = np.random.default_rng(0)
    base = 0.8 + 0.02 * rng.normal(size=500)
    return {"a": base + difference + spread * rng.normal(size=500), "b": base}


def test_a_lead_beyond_the_paired_noise_is_clear_though_the_intervals_overlap():
    note = compare_winner("a", make_samples(0.01), {"a": scores(0.81), "b": scores(0.80)})
    assert note.code == "clear_winner"


def test_a_lead_within_the_noise_is_a_tie():
    samples = make_samples(0.0005)
    note = compare_winner("a", samples, {"a": scores(0.81), "b": scores(0.80)})
    assert note.code == "tie"


def test_a_lead_that_the_holdout_denies_is_a_tie():
    note = compare_winner("a", make_samples(0.01), {"a": scores(0.79), "b": scores(0.80)})
    assert note.code == "tie"


def test_a_blend_gives_its_weight_to_what_predicts():
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    predictions = {"good": y + 0.3 * rng.normal(size=400), "noise": rng.normal(size=400)}
    weights = blend_weights(y, predictions, np.arange(400))
    assert weights["good"] > 0.9
    assert sum(weights.values()) == pytest.approx(1)
    note = compare_blend("good", y, predictions, predictions, np.arange(300, 400))
    assert "good alone" in note.message


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e12])
def test_a_blend_never_fits_its_rows_worse_than_its_best_member(scale):
    rng = np.random.default_rng(0)
    y = rng.normal(size=400) * scale
    noise = rng.normal(size=(2, 400)) * scale
    predictions = {"shrunken": 0.3 * y + 0.1 * noise[0], "good": y + 0.3 * noise[1]}
    weights = blend_weights(y, predictions, np.arange(400))
    blended = sum(predictions[name] * weight for name, weight in weights.items())
    errors = [np.sum((y - p) ** 2) for p in predictions.values()]
    assert np.sum((y - blended) ** 2) <= min(errors) * (1 + 1e-6)
    assert sum(weights.values()) == pytest.approx(1)


def test_a_blend_of_useless_predictions_has_weights_still():
    y = np.arange(10.0)
    weights = blend_weights(y, {"a": -y, "b": -y}, np.arange(10))
    assert sum(weights.values()) == pytest.approx(1)
