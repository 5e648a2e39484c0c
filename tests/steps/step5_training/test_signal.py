from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from steps.contract import Estimate, Scores
from steps.step5_training.ensemble import blend_weights, compare_blend
from steps.step5_training.leaks.finding import LeakFinding, exclude_text
from steps.step5_training.signal import Evidence, judge_signal


def scores(r2, low=None):
    low = r2 - 0.05 if low is None else low
    error = Estimate(value=1.0, ci95=(0.9, 1.1))
    return Scores(r2=Estimate(value=r2, ci95=(low, r2 + 0.05)), rmse=error, mae=error)


def evidence(cv, holdout, holdout_p=0.01, cv_p=0.01, left_out=0):
    return Evidence(cv, holdout, holdout_p, cv_p, families=4, hypotheses=60, left_out=left_out)


@pytest.mark.parametrize(
    ("cv", "holdout", "verdict"),
    [
        (scores(0.5), scores(0.4), "strong"),
        (scores(0.09, low=0.03), scores(0.4), "weak"),
        (scores(0.02, low=0.01), scores(0.02, low=0.01), "weak"),
        (scores(0.2, low=0.0), scores(0.4), "weak"),
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
    signal = judge_signal(evidence(cv, holdout), ())
    assert signal.verdict == verdict
    assert signal.reasons


@pytest.mark.parametrize(
    ("holdout_p", "cv_p", "verdict"),
    [(0.05, 1.0, "weak"), (0.4, 0.05, "weak"), (0.06, 0.06, "none"), (0.5, 1.0, "none")],
)
def test_one_of_the_two_tests_must_reject_chance(holdout_p, cv_p, verdict):
    seen = evidence(scores(0.05, 0.01), scores(0.05, -0.01), holdout_p, cv_p)
    signal = judge_signal(seen, ())
    assert signal.verdict == verdict
    assert signal.p_value == holdout_p


@pytest.mark.parametrize(
    ("holdout_p", "cv_p", "verdict"),
    [(0.05, 0.05, "weak"), (0.001, 0.06, "none"), (0.06, 0.001, "none")],
)
def test_an_interval_that_reaches_zero_takes_both_tests(holdout_p, cv_p, verdict):
    seen = evidence(scores(0.05, 0.0), scores(0.05, -0.01), holdout_p, cv_p)
    assert judge_signal(seen, ()).verdict == verdict


def test_the_reasons_carry_scores_intervals_probabilities_and_how_many_were_tried():
    signal = judge_signal(evidence(scores(0.05, 0.01), scores(0.04, -0.01), 0.3, 0.7), ())
    said = "; ".join(signal.reasons)
    for number in ("may be chance", "probability 0.3 ", "4 families", "0.7", "60 hypotheses"):
        assert number in said
    weak = "; ".join(judge_signal(evidence(scores(0.05, 0.01), scores(0.04)), ()).reasons)
    assert "R2 in cross-validation 0.0500 (95 % interval 0.0100 to 0.1000)" in weak
    assert "R2 in the holdout 0.0400" in weak


def test_rows_that_were_not_judged_are_told():
    signal = judge_signal(evidence(scores(0.5), scores(0.5), left_out=17), ())
    assert "17 rows were not judged" in signal.reasons[-1]


def test_a_leak_outweighs_every_score_and_names_what_to_exclude_with_what_was_excluded():
    leak = LeakFinding(features=("tax", "fee"), how="pair", strength=0.9999)
    signal = judge_signal(evidence(scores(0.5), scores(0.5)), (leak, leak), ("id", "fee"))
    assert signal.verdict == "leaked"
    assert signal.leaked_features == ("tax", "fee")
    assert signal.exclude_features == ("id", "fee", "tax")
    assert signal.reasons[0] == "tax, fee alone give the target away"
    assert '"exclude_features": ["id", "fee", "tax"]' in signal.reasons[-1]
    assert len(signal.reasons) == 3


def test_a_score_too_good_to_be_true_is_leaked_though_no_feature_is_named():
    signal = judge_signal(evidence(scores(0.9999), scores(0.9991)), ())
    assert signal.verdict == "leaked"
    assert signal.exclude_features == ()
    assert "0.99910" in signal.reasons[0]


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


def test_without_an_interval_a_verdict_is_weak_at_most_and_says_why():
    bare = scores(0.6).model_copy(update={"r2": Estimate(value=0.6)})
    signal = judge_signal(evidence(scores(0.6), bare), ())
    assert signal.verdict == "weak"
    assert "too few groups" in "; ".join(signal.reasons)
    doubted = judge_signal(evidence(bare, bare, holdout_p=0.2), ())
    assert doubted.verdict == "none"
    assert "too few groups" in doubted.reasons[0]


def test_copies_alone_are_no_evidence_however_high_the_score():
    seen = dataclasses.replace(evidence(scores(0.9), scores(0.9999)), left_out=590, too_few=True)
    signal = judge_signal(seen, ())
    assert signal.verdict == "none"
    assert signal.p_value is None
    assert "too few rows that are not copies" in signal.reasons[0]


def test_names_to_exclude_are_told_as_json():
    names = ['a "b"', "c\\d", "größe"]
    assert json.loads("{" + exclude_text(names) + "}") == {"exclude_features": names}
    assert "größe" in exclude_text(names)
