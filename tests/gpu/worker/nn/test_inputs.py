from __future__ import annotations

import numpy as np
import pytest

from gpu.worker.nn.inputs import (
    CLIP_SD,
    MAX_ONE_HOT,
    InputEncoding,
    TargetMeanInput,
    fit_inputs,
)
from gpu.worker.trainers.base import Columns

NAN = np.float32("nan")


def fit(X, kinds, levels=None, y=None, normalize=True):
    X = np.asarray(X, dtype=np.float32)
    y = np.arange(len(X), dtype=np.float64) if y is None else y
    columns = Columns(tuple(kinds), tuple(levels or [0] * len(kinds)))
    return fit_inputs(X, y, columns, normalize=normalize, seed=0)


def test_numbers_are_standardised_by_the_training_rows():
    fitted = fit([[1], [2], [3], [4]], ["numeric"])
    np.testing.assert_allclose(fitted.X.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(fitted.X.std(), 1, atol=1e-6)
    np.testing.assert_allclose(fitted.encoding.encode(np.float32([[2.5]])), 0, atol=1e-6)


def test_a_gap_becomes_the_median_and_an_indicator():
    fitted = fit([[1], [2], [NAN], [9]], ["numeric"], normalize=False)
    np.testing.assert_array_equal(fitted.X, [[1, 0], [2, 0], [2, 1], [9, 0]])


def test_a_gap_that_training_never_had_is_imputed_without_a_new_column():
    encoding = fit([[1], [2], [9]], ["numeric"], normalize=False).encoding
    np.testing.assert_array_equal(encoding.encode(np.float32([[NAN]])), [[2]])


def test_a_column_constant_in_training_stays_zero():
    encoding = fit([[5, 1], [5, 2], [5, 3]], ["numeric", "numeric"]).encoding
    assert encoding.encode(np.float32([[1e6, 2]]))[0, 0] == 0


def test_far_values_are_cut_off():
    encoding = fit([[0], [1]], ["numeric"]).encoding
    assert encoding.encode(np.float32([[1e9]]))[0, 0] == CLIP_SD


def test_few_levels_become_a_column_each_and_an_unknown_one_none():
    fitted = fit([[0], [1], [NAN]], ["categorical"], [3])
    np.testing.assert_array_equal(fitted.X, [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(fitted.encoding.encode(np.float32([[2]])), [[0, 0, 0]])


def test_many_levels_become_a_target_mean_that_no_row_takes_from_itself():
    rng = np.random.default_rng(0)
    n, levels = 4000, MAX_ONE_HOT + 68
    codes = rng.integers(0, levels, n)
    y = rng.normal(size=n)
    fitted = fit(codes[:, None], ["categorical"], [levels], y=y)
    assert isinstance(fitted.encoding.inputs[0], TargetMeanInput)
    # On pure noise an encoding that saw its own row would correlate with the target.
    assert abs(np.corrcoef(fitted.X[:, 0], y)[0, 1]) < 0.05
    own_row = fitted.encoding.encode(codes[:, None].astype(np.float32))[:, 0]
    assert np.corrcoef(own_row, y)[0, 1] > 0.1


def test_the_encoding_survives_its_sidecar():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=200), rng.integers(0, 50, 200), rng.integers(0, 3, 200)])
    X = X.astype(np.float32)
    X[::7, 0] = NAN
    fitted = fit(X, ["numeric", "categorical", "categorical"], [0, 50, 3], y=rng.normal(size=200))
    again = InputEncoding.model_validate_json(fitted.encoding.model_dump_json())
    np.testing.assert_array_equal(again.encode(X), fitted.encoding.encode(X))


def test_the_target_scale_is_undone():
    encoding = fit([[0], [1], [2]], ["numeric"], y=np.array([100.0, 200.0, 600.0])).encoding
    y = np.array([150.0, 1e6])
    np.testing.assert_allclose(encoding.unscale_target(encoding.scale_target(y)), y, rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_every_encoded_value_is_finite(normalize):
    fitted = fit([[NAN, 1], [NAN, 1], [NAN, 1]], ["numeric", "boolean"], normalize=normalize)
    assert np.isfinite(fitted.X).all()
