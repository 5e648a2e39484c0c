"""A final fit is observed without being changed, and stands whatever becomes of the observing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpu.params import FAMILIES
from gpu.protocol.observations import FitObservations
from gpu.worker.jobs import run_final_fit
from gpu.worker.observe import chosen_rows
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import FloatVector


def fit(job):
    done = run_final_fit(job, load_trainer(job.family, "cpu", 1))
    return done, read(job)


def read(job):
    with open(job.observations_path, encoding="utf-8") as file:
        return FitObservations.model_validate_json(file.read())


def catboost_model(job):
    """All of the model but its metadata."""
    import catboost

    model = catboost.CatBoost().load_model(job.checkpoint_path)
    text = Path(job.checkpoint_path).with_suffix(".json")
    model.save_model(str(text), format="json")
    found = json.loads(text.read_text(encoding="utf-8"))
    text.unlink()
    del found["model_info"]
    return found


def holdout_of(job) -> FloatVector:
    return np.load(job.predictions_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_is_the_same_to_the_last_bit_whether_it_is_observed_or_not(
    family, mixed_table, final_fit, tmp_path
):
    watched = final_fit(family, mixed_table, tmp_path / "a")
    done, _ = fit(watched)
    plain = final_fit(family, mixed_table, tmp_path / "b", observed=False)
    alone = run_final_fit(plain, load_trainer(family, "cpu", 1))
    if family == "catboost":  # its files carry the time
        assert catboost_model(watched) == catboost_model(plain)
    else:
        assert done.checkpoint_sha256 == alone.checkpoint_sha256
    assert done.train_mse == alone.train_mse
    np.testing.assert_array_equal(holdout_of(watched), holdout_of(plain))
    with open(watched.preprocessing_path, "rb") as a, open(plain.preprocessing_path, "rb") as b:
        assert a.read() == b.read()
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {path.name for path in (tmp_path / "b").iterdir()} | {"observations.json"}


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_of_a_healthy_fit_is_observed(family, mixed_table, final_fit, tmp_path):
    job = final_fit(family, mixed_table, tmp_path)
    done, seen = fit(job)
    assert (seen.family, seen.absent) == (family, ())
    assert seen.curve.fold is None
    assert seen.curve.rounds == tuple(range(1, 11))
    assert seen.curve.validation is None
    assert (seen.curve.best_round, seen.curve.rounds_run) == (10, 10)
    near = 0.01 if family in ("xgboost", "lightgbm") else 1.0
    assert seen.curve.train[-1] == pytest.approx(done.train_mse, rel=near)
    assert set(seen.seconds) == {"load", "fit", "predict", "observe"}
    assert seen.peak_rss_mib > 10
    assert seen.peak_vram_mib is None
    assert (seen.network is not None) == (family == "neural_net")
    kinds = {
        "neural_net": ["input_gradient"],
        "xgboost": ["gain", "weight"],
        "lightgbm": ["gain", "split"],
        "catboost": ["PredictionValuesChange"],
    }
    assert [importance.kind for importance in seen.importances] == kinds[family]
    for importance in seen.importances:
        assert len(importance.values) == 5
        if importance.kind not in ("weight", "split"):
            assert min(importance.values[:2]) > max(importance.values[2:4])
        assert importance.values[4] == 0  # constant


@pytest.mark.parametrize("family", FAMILIES)
def test_the_best_and_worst_predicted_rows_of_the_holdout_are_taken_apart(
    family, mixed_table, final_fit, tmp_path
):
    job = final_fit(family, mixed_table, tmp_path)
    _, seen = fit(job)
    y = np.load(mixed_table / "y.npy")[600:]
    errors = np.abs(y - holdout_of(job))
    order = 600 + np.argsort(errors, kind="stable")
    rows = {which: [a.row for a in seen.attributions if a.which == which] for which in
            ("best", "worst")}  # fmt: skip
    assert rows == {"best": order[:5].tolist(), "worst": order[::-1][:5].tolist()}
    for attribution in seen.attributions:
        assert attribution.target == y[attribution.row - 600]
        assert attribution.prediction == holdout_of(job)[attribution.row - 600]
        assert len(attribution.contributions) == 5
        if family == "neural_net":
            assert (attribution.base, attribution.method) == (None, "gradient_x_input")
        else:
            assert attribution.method == "shap"
            total = attribution.base + sum(attribution.contributions)
            assert total == pytest.approx(attribution.prediction, rel=1e-5)


@pytest.mark.parametrize(
    ("n", "best", "worst"), [(0, 0, 0), (1, 1, 0), (2, 1, 1), (7, 4, 3), (10, 5, 5), (50, 5, 5)]
)
def test_no_row_is_both_best_and_worst(n, best, worst):
    y = np.random.default_rng(1).normal(size=n)
    chosen = chosen_rows(y, np.zeros(n))
    assert [which for which, _ in chosen] == ["best"] * best + ["worst"] * worst
    assert len({i for _, i in chosen}) == best + worst
    if worst:
        assert chosen[best][1] == np.abs(y).argmax()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", ["one feature", "categories only", "constant target", "one round"])
def test_a_poor_table_is_observed_too(family, case, write_table, final_fit, tmp_path):
    rng = np.random.default_rng(8)
    X = rng.normal(size=(120, 2))
    columns = (["numeric"] * 2, [0, 0])
    y = X[:, 0] + 0.1 * rng.normal(size=120)
    if case == "one feature":
        X, columns = X[:, :1], (["numeric"], [0])
    elif case == "categories only":
        X = rng.integers(0, 40, size=(120, 2)).astype(float)
        X[::5, 0] = np.nan
        y, columns = X[:, 1] % 3, (["categorical"] * 2, [40, 40])
    elif case == "constant target":
        y = np.full(120, 7.0)
    table = write_table(tmp_path / "table", X, y, columns, holdout=12)
    job = final_fit(family, table, tmp_path / "out", rounds=1 if case == "one round" else 4)
    if (family, case) == ("catboost", "constant target"):
        with pytest.raises(Exception, match="targets are equal"):
            fit(job)
        assert "targets are equal" in read(job).absent[0]
        return
    _, seen = fit(job)
    assert seen.absent == ()
    assert len(seen.attributions) == 10
    assert len(seen.importances[0].values) == X.shape[1]
    assert 1 <= seen.curve.rounds_run <= job.rounds
    for attribution in seen.attributions:
        if attribution.base is not None:
            total = attribution.base + sum(attribution.contributions)
            assert total == pytest.approx(attribution.prediction, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_target_of_any_size_keeps_sums_and_units(
    family, mixed_table, write_table, final_fit, tmp_path
):
    X, y = np.load(mixed_table / "X.npy"), np.load(mixed_table / "y.npy")
    columns = json.loads((mixed_table / "columns.json").read_text(encoding="utf-8"))
    table = write_table(
        tmp_path / "small", X, y * 1e-7 + 5, (columns["kinds"], columns["levels"]), holdout=20
    )
    done, seen = fit(final_fit(family, table, tmp_path / "out"))
    assert seen.curve.train[-1] == pytest.approx(done.train_mse, rel=1.0)
    assert done.train_mse < 1e-10
    for attribution in seen.attributions:
        if attribution.base is not None:
            total = attribution.base + sum(attribution.contributions)
            assert total - 5 == pytest.approx(attribution.prediction - 5, rel=1e-3, abs=1e-10)


def test_a_rate_that_explodes_and_kills_is_seen_in_the_final_fit(mixed_table, final_fit, tmp_path):
    job = final_fit(
        "neural_net", mixed_table, tmp_path, learning_rate=300.0, use_leaky_relu=False, rounds=20
    )
    health = fit(job)[1].network
    norms = np.sqrt(sum(np.square(layer.gradient_norm) for layer in health.layers))
    assert norms.max() / norms[0] > 1000
    assert max(layer.dead_pct[-1] for layer in health.layers[:-1]) > 50


def test_inputs_that_are_not_normalised_are_seen_in_the_final_fit(write_table, final_fit, tmp_path):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(600, 6))
    y = X[:, 1] + X[:, 2] * X[:, 4] + 0.1 * rng.normal(size=600)
    X[:, 3] *= 1e6
    table = write_table(tmp_path / "table", X, y, (["numeric"] * 6, [0] * 6), holdout=20)
    spreads = []
    for normalize in (True, False):
        job = final_fit("neural_net", table, tmp_path, normalize_features=normalize, dropout=0.0)
        gradients = np.array(fit(job)[1].network.feature_gradients)
        spreads.append(gradients.max() / np.median(gradients))
        assert normalize or gradients.argmax() == 3
    assert spreads[0] < 20
    assert spreads[1] > 100
