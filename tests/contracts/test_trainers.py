"""Every trainer keeps the same promises; one suite runs over all families."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gpu.params import FAMILIES, SHELL_DEFAULTS, complete_params
from gpu.worker.metrics import mean_squared_error, r2_score
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import Columns, Split, Watch

SMALL = {
    "neural_net": {"hidden_layers": (32,), "epochs": 40, "batch_size": 64, "learning_rate": 0.01},
    "xgboost": {"n_estimators": 60},
    "lightgbm": {"n_estimators": 60},
    "catboost": {"n_estimators": 60, "learning_rate": 0.2},
}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def trainer(family):
    return load_trainer(family, "cpu", 1)


@pytest.fixture
def params(family):
    return complete_params(family, SMALL[family])


def make_split(n=600, *, categorical=True, missing=True, scale=1.0, shift=0.0) -> Split:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    X[:, 3] = rng.integers(0, 5, n)
    y = 2 * X[:, 0] + np.sin(2 * X[:, 1]) + 0.1 * rng.normal(size=n)
    if categorical:
        y = y + np.array([0.0, 3.0, -2.0, 1.0, 5.0])[X[:, 3].astype(int)]
    if missing:
        X[::9, 2] = np.nan
        X[::11, 3] = np.nan
    kinds = ("numeric",) * 3 + ("categorical" if categorical else "numeric",)
    levels = (0, 0, 0, 5 if categorical else 0)
    y = y * scale + shift
    half = n * 2 // 3
    return Split(X[:half], y[:half], X[half:], y[half:], Columns(kinds, levels))


def test_it_learns_numbers_categories_and_lives_with_gaps(trainer, params):
    split = make_split()
    fitted = trainer.fit(split, params, seed=1, rounds=None)
    assert r2_score(split.y_val, fitted.predict(split.X_val)) > 0.75
    assert 1 <= fitted.best_round <= fitted.rounds_run


def test_predictions_are_in_units_of_the_target(trainer, params):
    split = make_split(missing=False, scale=1000.0, shift=50_000.0)
    fitted = trainer.fit(split, params, seed=1, rounds=None)
    assert r2_score(split.y_val, fitted.predict(split.X_val)) > 0.75


@pytest.mark.parametrize(
    ("scale", "shift"), [(1.0, 1e9), (1e-5, 0.0), (1e-12, 3.0), (1e30, 0.0), (-1e4, -1e12)]
)
def test_an_extreme_target_is_learned_like_any_other(trainer, params, scale, shift, tmp_path):
    split = make_split(missing=False, scale=scale, shift=shift)
    fitted = trainer.fit(split, params, seed=1, rounds=None)
    noise = np.finfo(np.float64).eps * abs(shift) / abs(scale)  # what float64 itself has lost
    assert r2_score(split.y_val, fitted.predict(split.X_val)) > 0.75 - noise
    fitted.save(tmp_path / "m.json")
    preprocessing = json.loads(json.dumps(fitted.preprocessing()))
    loaded = trainer.load((tmp_path / "m.json").read_bytes(), preprocessing, split.columns)
    assert r2_score(split.y_val, loaded.predict(split.X_val)) > 0.75 - noise


def test_a_fixed_number_of_rounds_is_met_without_validation_rows(trainer, params):
    split = make_split()
    alone = Split(split.X_train, split.y_train, None, None, split.columns)
    fitted = trainer.fit(alone, params, seed=1, rounds=7)
    assert fitted.best_round == fitted.rounds_run == 7


def test_the_same_seed_gives_the_same_model(trainer, params):
    split = make_split()
    first = trainer.fit(split, params, seed=3, rounds=None).predict(split.X_val)
    second = trainer.fit(split, params, seed=3, rounds=None).predict(split.X_val)
    np.testing.assert_array_equal(first, second)


def test_a_saved_model_predicts_as_it_did(trainer, params, tmp_path, family):
    split = make_split()
    fitted = trainer.fit(split, params, seed=1, rounds=None)
    path = tmp_path / {"neural_net": "m.pth", "xgboost": "m.json"}.get(family, f"m.{family}")
    fitted.save(path)
    preprocessing = json.loads(json.dumps(fitted.preprocessing()))
    loaded = trainer.load(path.read_bytes(), preprocessing, split.columns)
    np.testing.assert_allclose(
        loaded.predict(split.X_val), fitted.predict(split.X_val), rtol=1e-6, atol=1e-9
    )


def test_unknown_and_missing_levels_are_scored(trainer, params):
    split = make_split(missing=False)
    fitted = trainer.fit(split, params, seed=1, rounds=None)
    rows = split.X_val[:4].copy()
    rows[0, 3], rows[1, 3], rows[2, 0] = np.nan, 77, np.nan
    assert np.isfinite(fitted.predict(rows)).all()


def test_a_level_that_training_rows_never_had_is_scored(trainer, params):
    split = make_split(missing=False)
    seen = split.X_train[:, 3] != 4
    without = Split(
        split.X_train[seen], split.y_train[seen], split.X_val, split.y_val, split.columns
    )
    fitted = trainer.fit(without, params, seed=1, rounds=None)
    assert np.isfinite(fitted.predict(split.X_val)).all()


def test_categories_only_is_enough(trainer, params):
    split = make_split(missing=False)
    columns = Columns(("categorical",), (5,))
    only = Split(
        np.ascontiguousarray(split.X_train[:, 3:]),
        split.y_train,
        np.ascontiguousarray(split.X_val[:, 3:]),
        split.y_val,
        columns,
    )
    fitted = trainer.fit(only, params, seed=1, rounds=None)
    assert r2_score(only.y_val, fitted.predict(only.X_val)) > 0.3


def test_a_category_of_thousands_of_rare_levels_is_learned(trainer, params):
    rng = np.random.default_rng(3)
    levels = 1500
    codes = rng.integers(0, levels, 6000)
    y = rng.normal(size=levels)[codes] + 0.3 * rng.normal(size=6000)
    X = np.column_stack([rng.normal(size=6000), codes]).astype(np.float32)
    columns = Columns(("numeric", "categorical"), (0, levels))
    split = Split(X[:5000], y[:5000], X[5000:], y[5000:], columns)
    fitted = trainer.fit(split, params, seed=1, rounds=None)
    assert r2_score(split.y_val, fitted.predict(split.X_val)) > 0.3


def test_coarse_bins_do_not_merge_categories(trainer, params, family):
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 100, 4000)
    y = np.where(codes % 2, 1.0, -1.0) + 0.1 * rng.normal(size=4000)
    columns = Columns(("categorical",), (100,))
    X = codes.astype(np.float32).reshape(-1, 1)
    split = Split(X[:3000], y[:3000], X[3000:], y[3000:], columns)
    few = {name: 16 for name in ("border_count", "max_bin") if name in type(params).model_fields}
    fitted = trainer.fit(split, params.model_copy(update=few), seed=1, rounds=None)
    assert r2_score(split.y_val, fitted.predict(split.X_val)) > 0.9


def test_a_feature_that_is_constant_in_the_fold_does_no_harm(trainer, params):
    split = make_split(missing=False)
    split.X_train[:, 2] = 5.0
    fitted = trainer.fit(split, params, seed=1, rounds=None)
    assert r2_score(split.y_val, fitted.predict(split.X_val)) > 0.7


def test_another_familys_parameters_are_refused(trainer, family):
    other = "xgboost" if family != "xgboost" else "lightgbm"
    with pytest.raises(TypeError, match=f"{family} cannot train"):
        trainer.fit(make_split(), complete_params(other, {}), seed=1, rounds=None)


def test_shell_defaults_are_a_whole_record(family):
    assert complete_params(family, {}) == complete_params(family, SHELL_DEFAULTS[family])


def test_watching_changes_no_bit_of_the_model(trainer, params, family, tmp_path):
    split = make_split()
    watch = Watch(health=True)
    models = [
        trainer.fit(split, params, seed=5, rounds=None, watch=asked)
        for asked in (None, watch, None)
    ]
    blobs = []
    for fitted in models:
        fitted.save(tmp_path / "model.json")
        blobs.append((tmp_path / "model.json").read_bytes())
    # A file of catboost's carries the time; its predictions below are of all bits of the model.
    assert family == "catboost" or blobs[0] == blobs[1] == blobs[2]
    rounds = {(fitted.best_round, fitted.rounds_run) for fitted in models}
    assert len(rounds) == 1
    plain, watched, _ = models
    np.testing.assert_array_equal(plain.predict(split.X_val), watched.predict(split.X_val))
    assert watch.absent == []
    assert (watch.network is not None) == (family == "neural_net")


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-5, 0.0), (1.0, 1e6)])
def test_losses_are_in_squared_units_of_the_target(trainer, params, family, scale, shift):
    split = make_split(scale=scale, shift=shift)
    watch = Watch()
    fitted = trainer.fit(split, params, seed=5, rounds=None, watch=watch)
    losses = watch.losses
    assert len(losses.train) == len(losses.validation) == fitted.rounds_run
    assert losses.validation.argmin() + 1 == fitted.best_round
    own = mean_squared_error(split.y_val, fitted.predict(split.X_val))
    assert losses.validation.min() == pytest.approx(own, rel=1e-3)
    train = mean_squared_error(split.y_train, fitted.predict(split.X_train))
    # A network is measured while its weights move, catboost by its ordered statistics; the others
    # are measured at some of the rounds.
    near = 0.02 if family in ("xgboost", "lightgbm") else 1.0
    assert losses.train[fitted.best_round - 1] == pytest.approx(train, rel=near)


def test_a_fixed_number_of_rounds_has_training_losses_only(trainer, params):
    watch = Watch()
    trainer.fit(make_split(), params, seed=5, rounds=6, watch=watch)
    assert len(watch.losses.train) == 6
    assert watch.losses.validation is None


def test_a_model_that_cannot_learn_anything_is_watched_all_the_same(trainer, params, family):
    if family == "catboost":
        pytest.skip("catboost refuses constant features")
    split = make_split(categorical=False, missing=False)
    split.X_train[:] = 1.0
    watch = Watch(health=True)
    fitted = trainer.fit(split, params, seed=5, rounds=None, watch=watch)
    alike = ["the dead units: all 400 probe rows are alike"] if family == "neural_net" else []
    assert watch.absent == alike
    assert 1 <= len(watch.losses.train) == len(watch.losses.validation)
    for importance in fitted.importances(split.X_train[:50]):
        assert importance.values == (0.0,) * 4
    found = fitted.contributions(split.X_val[:3])
    if found.base is not None:
        np.testing.assert_allclose(
            found.base + found.values.sum(axis=1), fitted.predict(split.X_val[:3]), rtol=1e-5
        )


def test_contributions_add_up_to_the_prediction(trainer, params, family):
    split = make_split(scale=1000.0, shift=50_000.0)
    fitted = trainer.fit(split, params, seed=5, rounds=None)
    rows = split.X_val[:30].copy()
    rows[0, 3], rows[1, 3] = np.nan, 77  # a missing and an unknown level
    found = fitted.contributions(rows)
    assert found.values.shape == (30, 4)
    # The category and the first two numbers make the target; the third number does not.
    sizes = np.abs(found.values).mean(axis=0)
    if family == "neural_net":
        # Of the second number the slope is steep where the number is small.
        assert sizes[[0, 3]].min() > 2 * sizes[[1, 2]].max()
        assert (found.base, found.method) == (None, "gradient_x_input")
        return
    assert sizes.argmin() == 2
    assert found.method == "shap"
    np.testing.assert_allclose(
        found.base + found.values.sum(axis=1), fitted.predict(rows), rtol=1e-5
    )


def test_importances_rank_what_makes_the_target(trainer, params):
    split = make_split()
    fitted = trainer.fit(split, params, seed=5, rounds=None)
    for importance in fitted.importances(split.X_train[:200]):
        assert len(importance.values) == 4
        assert min(importance.values) >= 0
        if importance.kind not in ("weight", "split"):
            assert int(np.argmin(importance.values)) == 2


def test_a_feature_that_cannot_be_used_has_no_importance(trainer, params):
    split = make_split(missing=False)
    split.X_train[:, 2] = 5.0
    fitted = trainer.fit(split, params, seed=5, rounds=None)
    for importance in fitted.importances(split.X_train[:200]):
        assert importance.values[2] == 0
        assert min(importance.values[i] for i in (0, 1, 3)) > 0
