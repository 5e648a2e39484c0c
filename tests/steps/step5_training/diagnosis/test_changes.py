"""What a person may type against a finding, by the policy's own rules."""

from __future__ import annotations

import pytest

from steps.contract.diagnostics import Finding
from steps.policies import Policy, Remedy
from steps.step5_training.diagnosis.changes import suggested_change, with_changes
from steps.step5_training.settings import Settings

SHIPPED = Policy().retries.remedies


def change(code, family="neural_net", rules=SHIPPED, **params):
    return suggested_change(code, family, rules, Settings(**params))


@pytest.mark.parametrize(
    ("code", "params", "expected"),
    [
        ("diverged", {}, {"max_learning_rate": 0.003}),
        ("exploding_gradients", {"max_learning_rate": 0.1}, {"max_learning_rate": 0.03}),
        ("dead_units", {"use_leaky_relu": False}, {"use_leaky_relu": True}),
        ("dead_units", {}, {"max_learning_rate": 0.003}),
        ("vanishing_gradients", {}, None),
        ("gradient_spread", {"normalize_features": False}, {"normalize_features": True}),
        ("fold_instability", {}, None),
        ("out_of_memory", {"slots": 5}, {"n_concurrent_nn": 4}),
    ],
)
def test_the_first_rule_that_changes_something_is_offered(code, params, expected):
    assert change(code, **params) == expected


def test_whole_numbers_move_on_in_the_same_direction_and_never_to_not_set():
    assert change("overfit", "xgboost", early_stopping_rounds=5) == {"early_stopping_rounds": 2}
    assert change("overfit", "xgboost", early_stopping_rounds=1) is None
    more = [Remedy(finding="overfit", parameter="k_folds", multiply=1.1)]
    assert change("overfit", rules=more, k_folds=10) == {"k_folds": 11}
    assert change("out_of_memory", "xgboost", slots=1) is None


def test_a_parameter_that_the_family_does_not_train_with_is_not_offered():
    assert change("early_peak", "xgboost") is None
    assert change("early_peak", "neural_net") == {"max_learning_rate": 0.003}
    assert change("overfit", "neural_net") is None
    clipping = [Remedy(finding="overfit", parameter="clip_norm", set=0.5)]
    assert change("overfit", "xgboost", clipping) is None
    assert change("overfit", "neural_net", clipping) == {"clip_norm": 0.5}


def test_rules_of_other_steps_and_of_other_parameters_are_passed_over():
    rules = [
        Remedy(finding="overfit", parameter="k_folds", set=3, step=6),
        Remedy(finding="overfit", parameter="no_such_parameter", set=3),
        Remedy(finding="overfit", parameter="dropout", set=0.5),
    ]
    assert change("overfit", rules=rules) == {"dropout": 0.5}


def test_where_there_is_no_room_inside_the_bounds_nothing_is_offered():
    rules = [Remedy(finding="overfit", parameter="holdout_fraction", add=0.9)]
    assert change("overfit", rules=rules) is None
    assert change("diverged", max_learning_rate=1e-6) is None


def test_a_rule_may_set_null():
    rules = [Remedy(finding="overfit", parameter="dropout", set=None)]
    assert change("overfit", rules=rules, dropout=0.1) == {"dropout": None}
    assert change("overfit", rules=rules) is None


def test_findings_without_a_rule_stay_as_they_are():
    findings = [
        Finding(level="critical", code=code, message="m")
        for code in ("diverged", "unused_features")
    ]
    first, second = with_changes(findings, "neural_net", SHIPPED, Settings())
    assert first.change == {"max_learning_rate": 0.003}
    assert second == findings[1]
