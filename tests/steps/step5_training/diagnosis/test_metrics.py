"""Every metric against a value that was worked out by hand."""

from __future__ import annotations

import math

import pytest

from gpu.protocol import FoldScore
from gpu.protocol.observations import Importance, LayerHealth, NetworkHealth
from steps.step5_training.diagnosis.metrics import (
    RATIO_CAP,
    diverged_metrics,
    fold_metrics,
    importance_metrics,
    network_metrics,
    ratio,
    train_r2,
)


def fold(index=0, r2=0.5, val_mse=1.0, train_mse=1.0, best_round=5, rounds_run=10):
    return FoldScore(
        fold=index,
        r2=r2,
        val_mse=val_mse,
        train_mse=train_mse,
        best_round=best_round,
        rounds_run=rounds_run,
        duration_s=0.1,
    )


def layer(name, units, gradient, weights, dead=None):
    n = len(gradient)
    return LayerHealth(
        name=name,
        units=units,
        gradient_norm=gradient,
        weight_norm=(1.0,) * n,
        activation_mean=(0.0,) * n,
        activation_std=(1.0,) * n,
        dead_pct=dead,
        weight_edges=(0.0, 1.0),
        weight_counts=(weights,),
    )


def network(features=(1.0, 2.0, 3.0), first=(1.0, 1.0), last=(1.0, 1.0), dead=(0.0, 0.0)):
    return NetworkHealth(
        probe_rows=64,
        epochs=tuple(range(1, len(first) + 1)),
        layers=(layer("hidden 1", 4, first, 100, dead), layer("output", 1, last, 4)),
        feature_gradients=features,
    )


def test_overfit_ratio_is_the_mean_over_folds_of_validation_by_training_loss():
    scores = [fold(val_mse=3.0, train_mse=1.0), fold(1, val_mse=1.0, train_mse=1.0)]
    assert fold_metrics(scores, 100)["overfit_ratio"] == 2.0


def test_early_stop_ratio_is_the_median_over_the_folds_that_stopped_early():
    rounds = [(1, 10), (2, 10), (9, 10), (100, 100)]
    scores = [fold(i, best_round=best, rounds_run=run) for i, (best, run) in enumerate(rounds)]
    assert fold_metrics(scores, 100)["early_stop_ratio"] == 0.2


def test_where_no_fold_stopped_early_there_is_no_early_peak():
    scores = [fold(i, best_round=2, rounds_run=10) for i in range(3)]
    assert fold_metrics(scores, 10)["early_stop_ratio"] == 1.0


def test_fold_instability_is_the_spread_by_the_mean_but_no_mean_is_taken_below_a_twentieth():
    scores = [fold(i, r2=r2) for i, r2 in enumerate((0.4, 0.5, 0.6))]
    assert fold_metrics(scores, 100)["fold_instability"] == pytest.approx(0.1 / 0.5)
    scores = [fold(i, r2=r2) for i, r2 in enumerate((-0.01, 0.0, 0.01))]
    assert fold_metrics(scores, 100)["fold_instability"] == pytest.approx(0.01 / 0.05)
    scores = [fold(i, r2=r2) for i, r2 in enumerate((-0.4, -0.5, -0.6))]
    assert fold_metrics(scores, 100)["fold_instability"] == pytest.approx(0.1 / 0.5)


def test_a_single_fold_has_no_instability_and_no_fold_no_metric():
    assert "fold_instability" not in fold_metrics([fold()], 100)
    assert fold_metrics([], 100) == {}


def test_train_r2_compares_each_folds_loss_with_its_own_variance():
    scores = [fold(train_mse=1.0), fold(1, train_mse=1.0)]
    assert train_r2(scores, [2.0, 10.0]) == {"train_r2": pytest.approx((0.5 + 0.9) / 2)}
    assert train_r2(scores, [2.0, 0.0]) == {}


@pytest.mark.parametrize(
    ("upper", "lower", "expected"),
    [
        (0.0, 0.0, 1.0),
        (1.0, 0.0, RATIO_CAP),
        (1e300, 1e-300, RATIO_CAP),
        (0.0, 2.0, 0.0),
        (6.0, 3.0, 2.0),
    ],
)
def test_a_ratio_is_always_a_number(upper, lower, expected):
    assert ratio(upper, lower) == expected


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("gain", (0.0, 1.0, 5.0, 0.0), 50.0),
        ("PredictionValuesChange", (1.0, 1e-9), 0.0),
        ("gain", (0.0, 0.0), 100.0),
        ("input_gradient", (1.0, 2.0, 0.001, 0.003), 25.0),
        ("input_gradient", (0.0, 0.0), 100.0),
    ],
)
def test_unused_features_are_counted_in_each_librarys_own_measure(kind, values, expected):
    importances = [Importance(kind=kind, values=values)]
    assert importance_metrics(importances) == {"unused_feature_pct": expected}


def test_splits_alone_do_not_say_which_feature_is_used():
    split = Importance(kind="split", values=(0.0, 3.0))
    assert importance_metrics([split]) == {}
    gain = Importance(kind="gain", values=(0.0, 0.0, 0.0, 3.0))
    assert importance_metrics([split, gain]) == {"unused_feature_pct": 75.0}


def test_dead_units_are_those_of_the_last_epoch_weighed_by_the_layers_sizes():
    layers = (
        layer("hidden 1", 30, (1.0, 1.0), 300, (0.0, 50.0)),
        layer("hidden 2", 10, (1.0, 1.0), 300, (100.0, 10.0)),
        layer("output", 1, (1.0, 1.0), 10),
    )
    found = network_metrics(network().model_copy(update={"layers": layers}))
    assert found["nn_dead_neuron_pct"] == pytest.approx((30 * 50 + 10 * 10) / 40)


def test_a_layer_that_is_dead_as_a_whole_makes_the_network_dead():
    layers = (
        layer("hidden 1", 30, (1.0,), 300, (0.0,)),
        layer("hidden 2", 2, (1.0,), 300, (100.0,)),
        layer("output", 1, (1.0,), 10),
    )
    changes = {"layers": layers, "epochs": (1,)}
    found = network_metrics(network().model_copy(update=changes))
    assert found["nn_dead_neuron_pct"] == 100.0


def test_gradient_spread_leaves_out_features_that_have_none():
    found = network_metrics(network(features=(0.0, 0.0, 0.0, 1.0, 2.0, 300.0)))
    assert found["nn_gradient_spread_ratio"] == 150.0
    assert "nn_gradient_spread_ratio" not in network_metrics(network(features=(0.0, 0.0)))


def test_gradient_growth_is_the_largest_total_norm_by_the_first():
    found = network_metrics(network(first=(3.0, 30.0, 0.3), last=(4.0, 40.0, 0.4), dead=(0.0,) * 3))
    assert found["nn_gradient_growth"] == pytest.approx(10.0)


def test_gradient_decay_is_the_median_of_last_by_first_layer_each_by_its_weights():
    # 100 weights in the first layer and 4 in the last: norms of 10 and 2 are equal by weight.
    first, last = (10.0, 10.0, 10.0), (2.0, 20.0, 2000.0)
    found = network_metrics(network(first=first, last=last, dead=(0.0,) * 3))
    assert found["nn_gradient_decay"] == pytest.approx(10.0)


def test_a_first_layer_without_any_gradient_is_the_worst_decay():
    found = network_metrics(network(first=(0.0, 0.0)))
    assert found["nn_gradient_decay"] == RATIO_CAP
    assert all(math.isfinite(value) for value in found.values())


def test_without_a_network_or_its_epochs_nothing_is_said():
    assert network_metrics(None) == {}
    assert network_metrics(network(first=(), last=(), dead=())) == {}


def test_the_share_of_diverged_trials_is_of_the_finished_ones():
    assert diverged_metrics(3, 12) == {"diverged_trial_pct": 25.0}
    assert diverged_metrics(0, 0) == {}
