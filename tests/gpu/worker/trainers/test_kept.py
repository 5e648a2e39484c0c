from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gpu.params import complete_params
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import Columns, Split
from gpu.worker.trainers.kept import Kept

TREES = ("xgboost", "lightgbm", "catboost")
# Each trial differs in what its library might remember from the one before.
TRIALS = {
    "xgboost": (
        {"max_depth": 7, "min_child_weight": 20.0, "subsample": 0.6, "learning_rate": 0.3},
        {"max_depth": 3, "colsample_bytree": 0.6, "reg_lambda": 5.0},
    ),
    "lightgbm": (
        {"num_leaves": 40, "min_data_in_leaf": 120, "bagging_fraction": 0.6},
        {"num_leaves": 15, "min_data_in_leaf": 5, "feature_fraction": 0.6, "lambda_l2": 1.0},
    ),
    "catboost": (
        {"depth": 7, "bagging_temperature": 0.1, "random_strength": 5.0},
        {"depth": 4, "l2_leaf_reg": 9.0, "learning_rate": 0.3},
    ),
}
ROUNDS = 25


def make_fold(index: int, table: str = "table") -> Split:
    rng = np.random.default_rng(index)
    X = rng.normal(size=(400, 5)).astype(np.float32)
    X[:, 4] = rng.integers(0, 6, 400)
    y = X[:, 0] + np.sin(2 * X[:, 1]) + X[:, 4] % 3 + 0.3 * rng.normal(size=400)
    X[::7, 2] = np.nan
    columns = Columns(("numeric",) * 4 + ("categorical",), (0, 0, 0, 0, 6))
    return Split(X[:300], y[:300], X[300:], y[300:], columns, key=(table, index))


def trial(family: str, number: int, **more):
    return complete_params(family, {"n_estimators": ROUNDS, **TRIALS[family][number], **more})


def run(trainer, split, params, seed=5):
    fitted = trainer.fit(split, params, seed=seed, rounds=None)
    predictions = fitted.predict(split.X_val), fitted.predict(split.X_train)
    return np.concatenate(predictions), fitted.best_round, fitted.rounds_run


def assert_same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1:] == other[1:]


@pytest.mark.parametrize("family", TREES)
def test_a_trial_after_others_is_to_the_last_bit_the_trial_alone(family):
    worker = load_trainer(family, "cpu", 1)
    for index in (0, 1):
        run(worker, make_fold(index), trial(family, 0), seed=99)
    for index in (0, 1):
        alone = run(load_trainer(family, "cpu", 1), make_fold(index), trial(family, 1))
        assert_same(run(worker, make_fold(index), trial(family, 1)), alone)


@pytest.mark.parametrize("family", TREES)
def test_rows_without_a_key_train_the_same_model(family):
    keyless = dataclasses.replace(make_fold(0), key=None)
    once = run(load_trainer(family, "cpu", 1), make_fold(0), trial(family, 0))
    assert_same(run(load_trainer(family, "cpu", 1), keyless, trial(family, 0)), once)


@pytest.mark.parametrize("family", TREES)
def test_another_number_of_bins_is_never_answered_with_the_kept_one(family):
    bins = "border_count" if family == "catboost" else "max_bin"
    worker = load_trainer(family, "cpu", 1)
    coarse = run(worker, make_fold(0), trial(family, 1, **{bins: 8}))
    fine = run(worker, make_fold(0), trial(family, 1, **{bins: 200}))
    assert not np.array_equal(coarse[0], fine[0])
    alone = run(load_trainer(family, "cpu", 1), make_fold(0), trial(family, 1, **{bins: 200}))
    assert_same(fine, alone)


@pytest.mark.parametrize("family", TREES)
def test_a_fixed_number_of_rounds_ignores_the_kept_validation_rows(family):
    worker = load_trainer(family, "cpu", 1)
    run(worker, make_fold(0), trial(family, 0))
    fitted = worker.fit(make_fold(0), trial(family, 1), seed=1, rounds=6)
    assert fitted.best_round == fitted.rounds_run == 6


def test_lightgbm_says_how_many_rounds_it_ran_and_keeps_the_best():
    split = make_fold(0)
    params = complete_params("lightgbm", {"n_estimators": 200, "early_stopping_rounds": 5})
    fitted = load_trainer("lightgbm", "cpu", 1).fit(split, params, seed=1, rounds=None)
    assert fitted.rounds_run == fitted.best_round + 5


def test_kept_data_is_made_once_a_fold():
    kept, made = Kept(), []
    for index in (0, 1, 0, 1, 0):
        kept.get(make_fold(index), 63, lambda index=index: made.append(index))
    assert made == [0, 1]


def test_another_table_or_resolution_drops_what_was_kept():
    kept, made = Kept(), []
    for table, bins in (("a", 63), ("b", 63), ("b", 255), ("a", 63)):
        kept.get(make_fold(0, table), bins, lambda of=(table, bins): made.append(of))
    assert made == [("a", 63), ("b", 63), ("b", 255), ("a", 63)]


def test_rows_over_the_limit_are_made_again_and_the_first_stay():
    size = make_fold(0).X_train.nbytes + make_fold(0).X_val.nbytes
    kept, made = Kept(most_bytes=2 * size), []
    for _ in range(2):
        for index in (0, 1, 2):
            kept.get(make_fold(index), 63, lambda index=index: made.append(index))
    assert made == [0, 1, 2, 2]
