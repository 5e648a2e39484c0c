"""Metrics in, findings out: bounds, codes, and where a symptom does harm."""

from __future__ import annotations

import pytest

from steps.policies.health import HighIsBad, LowIsBad, MetricBounds
from steps.step5_training.diagnosis.rules import RULES, Standing, judge_metrics, passed_bound

BOUNDS = MetricBounds()
HEALTHY = {
    "nn_dead_neuron_pct": 0.0,
    "nn_gradient_growth": 1.0,
    "nn_gradient_decay": 1.0,
    "nn_gradient_spread_ratio": 3.0,
    "overfit_ratio": 1.1,
    "early_stop_ratio": 0.8,
    "unused_feature_pct": 0.0,
    "fold_instability": 0.1,
    "train_r2": 0.6,
    "cv_r2": 0.5,
}
# Metric, code, a value over its warning bound, one over its critical bound.
PLANTED = [
    ("nn_dead_neuron_pct", "dead_units", 30.0, 62.0),
    ("nn_gradient_growth", "exploding_gradients", 150.0, 5000.0),
    ("nn_gradient_decay", "vanishing_gradients", 2000.0, 1e6),
    ("nn_gradient_spread_ratio", "gradient_spread", 200.0, 5000.0),
    ("overfit_ratio", "overfit", 1.4, 3.0),
    ("early_stop_ratio", "early_peak", 0.2, 0.05),
    ("unused_feature_pct", "unused_features", 50.0, 90.0),
    ("fold_instability", "fold_instability", 0.7, 2.0),
]
PROCESS, SYMPTOMS = PLANTED[:4], PLANTED[4:]
HARMED = Standing(own="none", best="weak", needs_harm=True)
WELL = Standing(own="strong", best="strong", needs_harm=True)
BLUNT = Standing(own="strong", best="strong", needs_harm=False)


def judged(standing=WELL, **metrics):
    return judge_metrics({**HEALTHY, **metrics}, BOUNDS, standing)


def test_every_bound_of_the_policy_has_a_rule():
    others = {"diverged_trial_pct"}  # counted, not observed: see faults
    assert {rule.metric for rule in RULES} | others == set(MetricBounds.model_fields)


def test_a_healthy_family_has_no_finding():
    assert judged() == judged(HARMED) == judged(BLUNT) == []


@pytest.mark.parametrize(("metric", "code", "warning", "critical"), PLANTED)
def test_each_metric_over_its_bounds_is_a_finding_with_number_bound_meaning_and_remedy(
    metric, code, warning, critical
):
    for value, level in ((warning, "warning"), (critical, "critical")):
        (finding,) = judged(BLUNT, **{metric: value})
        assert (finding.code, finding.level) == (code, level)
        assert (finding.metric, finding.value) == (metric, value)
        bound = getattr(getattr(BOUNDS, metric), level)
        assert finding.bound == bound
        assert f"({level} from {bound:g}" in finding.message
        assert finding.meaning.endswith(".")
        assert finding.remedy.endswith(".")
        assert "{" not in finding.message


@pytest.mark.parametrize(("metric", "code", "warning", "critical"), PROCESS)
def test_a_fault_of_the_process_needs_no_harm(metric, code, warning, critical):
    (finding,) = judged(WELL, **{metric: critical})
    assert finding.level == "critical"


@pytest.mark.parametrize(("metric", "code", "warning", "critical"), SYMPTOMS)
def test_a_symptom_is_critical_only_where_another_family_finds_a_signal(
    metric, code, warning, critical
):
    # Overfitting that has cost the family nothing is not even a warning.
    metrics = {metric: critical, "train_r2": 0.9, "cv_r2": 0.1}
    (finding,) = judged(HARMED, **metrics)
    assert finding.level == "critical"
    assert "no signal where another one does" in finding.message
    for standing, words in (
        (Standing("none", "none", True), "no family finds a signal"),
        (Standing("weak", "strong", True), "verdict is weak"),
        (Standing("leaked", "leaked", True), "as the target is leaked"),
        (Standing("none", "leaked", True), "as the target is leaked"),
        (Standing(None, None, True), "no score to see its harm in"),
    ):
        (finding,) = judged(standing, **metrics)
        assert finding.level == "warning"
        assert words in finding.message
        # The bound that was passed is named all the same.
        assert finding.bound == getattr(BOUNDS, metric).critical


def test_overfitting_that_keeps_three_quarters_of_its_r2_is_harmless():
    (finding,) = judged(overfit_ratio=4.0, train_r2=0.8, cv_r2=0.61)
    assert finding.level == "info"
    assert "0.610" in finding.message
    assert "0.800" in finding.message
    (finding,) = judged(overfit_ratio=4.0, train_r2=0.8, cv_r2=0.59)
    assert finding.level == "warning"
    (finding,) = judged(BLUNT, overfit_ratio=4.0, train_r2=0.8, cv_r2=0.61)
    assert finding.level == "critical"


def test_sentences_name_what_the_numbers_were_compared_with():
    (growth,) = judged(nn_gradient_growth=5000.0)
    assert "times what it was before training" in growth.message
    (unstable,) = judged(BLUNT, fold_instability=2.0)
    assert "2 times its mean (or times 0.05, where the mean is nearer to 0)" in unstable.message


def test_overfitting_of_a_model_that_has_learnt_nothing_is_not_called_harmless():
    (finding,) = judged(overfit_ratio=4.0, train_r2=0.0, cv_r2=0.0)
    assert finding.level == "warning"


@pytest.mark.parametrize(
    ("value", "bounds", "passed"),
    [
        (1.0, HighIsBad(warning=1, critical=2), ("warning", 1)),
        (0.99, HighIsBad(warning=1, critical=2), None),
        (2.0, HighIsBad(warning=1, critical=2), ("critical", 2)),
        (0.3, LowIsBad(warning=0.3, critical=0.1), ("warning", 0.3)),
        (0.31, LowIsBad(warning=0.3, critical=0.1), None),
        (0.1, LowIsBad(warning=0.3, critical=0.1), ("critical", 0.1)),
        (1e9, HighIsBad(), None),
        (5.0, HighIsBad(critical=2), ("critical", 2)),
        (5.0, HighIsBad(warning=2), ("warning", 2)),
    ],
)
def test_a_value_at_a_limit_has_reached_it_and_null_is_no_limit(value, bounds, passed):
    assert passed_bound(value, bounds) == passed


def test_a_metric_that_was_not_measured_is_no_finding():
    assert judge_metrics({}, BOUNDS, HARMED) == []
