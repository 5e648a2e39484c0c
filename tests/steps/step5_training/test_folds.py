from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.step5_training.folds import FoldsError, draw_folds, rows_needed

few = settings(max_examples=40, deadline=None)
N_FOLDS = st.integers(2, 6)
FRACTIONS = st.floats(0.05, 0.5)
SEEDS = st.integers(0, 2**32 - 1)


def same(first, second) -> bool:
    return first.fingerprint == second.fingerprint and all(
        np.array_equal(a.train_rows, b.train_rows) and np.array_equal(a.val_rows, b.val_rows)
        for a, b in zip(first.folds, second.folds, strict=True)
    )


def check_partition(splits, n_rows: int) -> None:
    """No row in two places, every row somewhere, everything ascending."""
    everything = [splits.holdout_rows, *(fold.val_rows for fold in splits.folds)]
    assert np.array_equal(np.sort(np.concatenate(everything)), np.arange(n_rows))
    assert np.array_equal(splits.search_rows, np.setdiff1d(np.arange(n_rows), splits.holdout_rows))
    for index, fold in enumerate(splits.folds):
        assert fold.index == index
        assert np.array_equal(fold.train_rows, np.setdiff1d(splits.search_rows, fold.val_rows))
        assert fold.train_rows.dtype == fold.val_rows.dtype == np.int64


@few
@given(st.integers(60, 400), N_FOLDS, FRACTIONS, SEEDS)
def test_random_folds_part_all_rows_evenly(n_rows, n_folds, fraction, seed):
    def draw(seed):
        return draw_folds(
            n_rows, split="random", n_folds=n_folds, holdout_fraction=fraction, seed=seed
        )

    splits = draw(seed)
    check_partition(splits, n_rows)
    sizes = [len(fold.val_rows) for fold in splits.folds]
    assert max(sizes) - min(sizes) <= 1
    assert abs(len(splits.holdout_rows) - n_rows * fraction) <= 0.5
    assert same(splits, draw(seed))
    assert splits.fingerprint != draw(seed + 1).fingerprint


@few
@given(st.data(), N_FOLDS, FRACTIONS, SEEDS)
def test_groups_are_never_in_two_places(data, n_folds, fraction, seed):
    n_groups = data.draw(st.integers(n_folds + 1, 40))
    n_rows = data.draw(st.integers(max(60, n_groups), 300))
    rng = np.random.default_rng(seed)
    group = rng.permutation(
        np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, n_rows - n_groups)])
    )
    splits = draw_folds(
        n_rows, split="group", n_folds=n_folds, holdout_fraction=fraction, seed=seed, group=group
    )
    check_partition(splits, n_rows)
    places = [splits.holdout_rows, *(fold.val_rows for fold in splits.folds)]
    groups = [set(group[rows]) for rows in places]
    assert all(groups)
    assert sum(map(len, groups)) == n_groups
    # Largest-first packing: no fold exceeds the smallest by more than one group.
    sizes = [len(fold.val_rows) for fold in splits.folds]
    assert max(sizes) - min(sizes) <= np.bincount(group).max()


def test_a_group_holdout_is_close_to_the_asked_share():
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(200), rng.integers(1, 30, 200))
    splits = draw_folds(
        len(group), split="group", n_folds=5, holdout_fraction=0.2, seed=1, group=group
    )
    assert len(splits.holdout_rows) / len(group) == pytest.approx(0.2, abs=0.002)
    sizes = [len(fold.val_rows) for fold in splits.folds]
    assert max(sizes) / min(sizes) < 1.05


def test_as_many_groups_as_places_are_enough():
    group = np.repeat([0, 1, 2], [90, 5, 5])
    splits = draw_folds(100, split="group", n_folds=2, holdout_fraction=0.05, seed=0, group=group)
    check_partition(splits, 100)
    assert len(splits.holdout_rows) == 5


@few
@given(st.data(), N_FOLDS, FRACTIONS, SEEDS)
def test_time_folds_train_strictly_before_what_they_validate(data, n_folds, fraction, seed):
    n_times = data.draw(st.integers(n_folds + 2, 60))
    n_rows = data.draw(st.integers(max(80, n_times), 300))
    rng = np.random.default_rng(seed)
    time = rng.permutation(
        np.concatenate([np.arange(n_times), rng.integers(0, n_times, n_rows - n_times)])
    )
    splits = draw_folds(
        n_rows, split="time", n_folds=n_folds, holdout_fraction=fraction, seed=seed, time=time
    )
    assert len(splits.folds) == n_folds
    assert np.array_equal(
        np.sort(np.concatenate([splits.search_rows, splits.holdout_rows])), np.arange(n_rows)
    )
    assert time[splits.search_rows].max() < time[splits.holdout_rows].min()
    for fold in splits.folds:
        assert len(fold.train_rows)
        assert len(fold.val_rows)
        assert time[fold.train_rows].max() < time[fold.val_rows].min()
        assert np.isin(np.concatenate([fold.train_rows, fold.val_rows]), splits.search_rows).all()
        assert (np.diff(fold.train_rows) > 0).all()
    last = splits.folds[-1]
    assert len(last.train_rows) + len(last.val_rows) == len(splits.search_rows)


def test_time_blocks_are_even_where_times_differ_and_the_order_of_the_file_is_a_time():
    splits = draw_folds(100, split="time", n_folds=3, holdout_fraction=0.2, seed=0)
    assert splits.holdout_rows.tolist() == list(range(80, 100))
    assert [len(fold.train_rows) for fold in splits.folds] == [20, 40, 60]
    assert [len(fold.val_rows) for fold in splits.folds] == [20, 20, 20]


@pytest.mark.parametrize("split", ["random", "time"])
def test_the_rows_needed_are_enough_and_one_less_is_refused(split):
    for n_folds, fraction in [(2, 0.05), (5, 0.2), (10, 0.5)]:
        needed = rows_needed(n_folds, fraction, split)
        splits = draw_folds(needed, split=split, n_folds=n_folds, holdout_fraction=fraction, seed=0)
        assert min(len(fold.val_rows) for fold in splits.folds) >= 2
        assert len(splits.holdout_rows) >= 2
        with pytest.raises(FoldsError, match=f"{needed - 1} rows are too few.* at least {needed}"):
            draw_folds(needed - 1, split=split, n_folds=n_folds, holdout_fraction=fraction, seed=0)


def test_too_few_groups_or_times_are_refused_with_their_numbers():
    labels = np.arange(100) % 4
    with pytest.raises(FoldsError, match=r"has 4 groups; 5 folds .* need at least 6"):
        draw_folds(100, split="group", n_folds=5, holdout_fraction=0.2, seed=0, group=labels)
    with pytest.raises(FoldsError, match=r"has 4 different values; 5 folds .* need at least 7"):
        draw_folds(100, split="time", n_folds=5, holdout_fraction=0.2, seed=0, time=labels)
    with pytest.raises(FoldsError, match="needs a group_column"):
        draw_folds(100, split="group", n_folds=5, holdout_fraction=0.2, seed=0)
