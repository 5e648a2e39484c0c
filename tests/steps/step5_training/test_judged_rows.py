from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steps.step5_training.folds import draw_folds
from steps.step5_training.judged_rows import dependent_rows, rows_to_judge
from steps.step5_training.permutation import holdout_test
from steps.tables import Table, TableSchema


def table_of(X, y, *, group=None, time=None) -> Table:
    X = np.ascontiguousarray(X, np.float32)
    n = X.shape[1]
    return Table(
        path=Path("t.csv"),
        target="y",
        X=X,
        y=np.asarray(y, np.float64),
        ids={},
        feature_names=tuple(f"x{i}" for i in range(n)),
        kinds=("numeric",) * n,
        levels=(0,) * n,
        schema=TableSchema(target="y", columns=()),
        fingerprint="",
        group=group,
        time=time,
        notes=(),
    )


def splits_of(n, seed=0):
    return draw_folds(n, split="random", n_folds=4, holdout_fraction=0.25, seed=seed)


def noise(n, copied=0.0, seed=0):
    """Noise, of which a share of the rows was copied over others."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, 3)), rng.normal(size=n)
    copies = rng.choice(n, int(copied * n), replace=False)
    sources = rng.integers(0, n, len(copies))
    X[copies], y[copies] = X[sources], y[sources]
    return X, y


def test_without_repeats_every_row_is_judged():
    splits = splits_of(400)
    rows = rows_to_judge(table_of(*noise(400)), splits)
    assert rows.left_out == 0
    assert rows.holdout is splits.holdout_rows


def test_copies_of_trained_rows_are_not_judged():
    X, y = noise(800, copied=0.3)
    splits = splits_of(800)
    rows = rows_to_judge(table_of(X, y), splits)
    trained = {row.tobytes() for row in X[splits.search_rows]}
    assert rows.left_out > 100
    assert len(rows.holdout) > 100
    assert not any(row.tobytes() in trained for row in X[rows.holdout])
    for kept, fold in zip(rows.folds, splits.folds, strict=True):
        trained = {row.tobytes() for row in X[fold.train_rows]}
        assert len(kept)
        assert not any(row.tobytes() in trained for row in X[kept])


def test_a_model_that_knows_the_copies_by_heart_has_no_evidence_on_the_judged_rows():
    """The nearest trained row as the prediction: perfect on copies, worthless on noise."""
    X, y = noise(800, copied=0.4)
    splits = splits_of(800)
    table = table_of(X, y)
    near = np.full(800, np.nan)
    for row in splits.holdout_rows:
        distance = ((X[splits.search_rows] - X[row]) ** 2).sum(axis=1)
        near[row] = y[splits.search_rows[np.argmin(distance)]]
    judged = rows_to_judge(table, splits).holdout
    assert holdout_test(y, {"a": near}, splits.holdout_rows, 0)["a"] < 0.001
    assert holdout_test(y, {"a": near}, judged, 0)["a"] > 0.05


def test_rows_of_equal_features_with_targets_of_their_own_are_judged():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))[rng.integers(0, 100, 600)]
    assert rows_to_judge(table_of(X, rng.normal(size=600)), splits_of(600)).left_out == 0


def test_a_coarse_table_is_judged_whole():
    """Two switches and a count: nearly every row repeats another one, by chance."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(600, 2))
    y = X.sum(axis=1) + rng.integers(0, 3, 600)
    assert rows_to_judge(table_of(X, y), splits_of(600)).left_out == 0


@pytest.mark.parametrize("levels", [None, 2])
def test_a_table_laid_upon_itself_has_too_few_rows_to_judge(levels):
    X, y = noise(200)
    if levels is not None:
        X, y = np.floor(X * levels), np.round(y)
    splits = splits_of(600)
    rows = rows_to_judge(table_of(np.tile(X, (3, 1)), np.tile(y, 3)), splits)
    assert rows.too_few
    assert rows.left_out > 400
    assert rows.holdout is splits.holdout_rows


def test_few_rows_that_are_no_copies_are_judged_where_they_are_enough():
    """2,000 rows drawn from 700: a seventh is not seen in training, and that is no coarse table."""
    X, y = noise(700)
    drawn = np.random.default_rng(1).integers(0, 700, 2000)
    rows = rows_to_judge(table_of(X[drawn], y[drawn]), splits_of(2000))
    assert not rows.too_few
    assert rows.left_out > 0.7 * 2000
    assert len(rows.holdout) >= 20


def test_one_copy_does_not_silence_a_small_table():
    X, y = noise(60)
    splits = splits_of(60)
    X[splits.holdout_rows[0]], y[splits.holdout_rows[0]] = (
        X[splits.search_rows[0]],
        y[splits.search_rows[0]],
    )
    rows = rows_to_judge(table_of(X, y), splits)
    assert (rows.too_few, rows.left_out) == (False, 1)


def test_rows_depend_on_each_other_by_group_and_by_time():
    X, y = noise(1000)
    group = np.arange(1000) % 7
    assert dependent_rows(table_of(X, y), "random") is None
    assert dependent_rows(table_of(X, y, group=group), "group") is group
    blocks = dependent_rows(table_of(X, y), "time")
    assert (np.diff(blocks) >= 0).all()
    assert np.bincount(blocks).max() == 10


@pytest.mark.parametrize("seed", [0, 1])
def test_blocks_of_time_follow_the_time_column_and_never_part_equal_times(seed):
    X, y = noise(1000)
    time = np.random.default_rng(seed).integers(0, 60, 1000)
    blocks = dependent_rows(table_of(X, y, time=time), "time")
    order = np.argsort(time, kind="stable")
    assert (np.diff(blocks[order]) >= 0).all()
    assert all(len(np.unique(blocks[time == moment])) == 1 for moment in range(60))
