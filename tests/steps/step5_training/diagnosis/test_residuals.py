"""A sample of rows to look at, and all of them in bins."""

from __future__ import annotations

import numpy as np
import pytest

from steps.step5_training.diagnosis.residuals import (
    SHOWN_ROWS,
    compare,
    histogram,
    shown_decimals,
)


def made(n=5000, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    return y, y + 0.1 * rng.normal(size=n)


def test_at_most_a_thousand_rows_are_shown_and_all_are_counted():
    y, predictions = made()
    rows = np.arange(1000, 4000)
    found = compare("holdout", y, predictions, rows, seed=3)
    assert len(found.rows) == SHOWN_ROWS
    assert list(found.rows) == sorted(set(found.rows))
    assert set(found.rows) <= set(rows.tolist())
    assert sum(found.errors.counts) == len(rows)
    np.testing.assert_allclose(found.targets, y[list(found.rows)], atol=1e-4)
    np.testing.assert_allclose(found.predictions, predictions[list(found.rows)], atol=1e-4)
    assert found == compare("holdout", y, predictions, rows, seed=3)
    assert found.rows != compare("holdout", y, predictions, rows, seed=4).rows


def test_rows_without_a_prediction_are_left_out():
    y, predictions = made(30)
    predictions[:10] = np.nan
    found = compare("out_of_fold", y, predictions, np.arange(30), seed=0)
    assert found.rows == tuple(range(10, 30))
    assert compare("out_of_fold", y, np.full(30, np.nan), np.arange(30), seed=0) is None


def test_an_error_is_the_target_minus_the_prediction():
    y, predictions = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 0.0])
    found = compare("holdout", y, predictions, np.arange(3), seed=0)
    assert (found.errors.edges[0], found.errors.edges[-1]) == (1.0, 3.0)


def test_the_calibration_has_the_means_of_each_tenth_by_prediction():
    y = np.arange(100.0)
    found = compare("holdout", y, 2 * y[::-1], np.arange(100), seed=0)
    assert len(found.calibration) == 10
    assert found.calibration[0] == (9.0, 94.5)
    assert found.calibration[-1] == (189.0, 4.5)


def test_three_rows_have_a_point_each():
    y = np.array([1.0, 2.0, 3.0])
    assert len(compare("holdout", y, y, np.arange(3), seed=0).calibration) == 3


@pytest.mark.parametrize(
    "values",
    [[1.0, 1.0], [1e16, 1e16 + 2], [5.0], [-1e150, 1e150], [0.0, 5e-324]],
)
def test_a_histogram_counts_every_value_however_close_or_far_they_lie(values):
    found = histogram(np.array(values))
    assert sum(found.counts) == len(values)
    assert len(found.edges) == len(found.counts) + 1
    assert np.isfinite(found.edges).all()


def test_numbers_are_written_as_finely_as_the_targets_spread_asks_for():
    assert shown_decimals(np.array([0.0, 2.0])) == 5
    assert shown_decimals(np.array([1e9, 1e9 + 2])) == 5
    assert shown_decimals(np.array([0.0, 2e8])) == -3
    assert shown_decimals(np.array([7.0, 7.0])) == 5
