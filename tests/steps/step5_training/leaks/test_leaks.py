"""Columns made from the target are found, in every disguise; honest causes are left in peace."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.signal_tables import TARGETS, encoded, honest, in_bins, planted
from steps.step5_training.leaks import find_leaks
from steps.step5_training.leaks.groups import group_mean_leak
from steps.tables import Table, TableOptions, TableSchema, read_table

N = 3000


def table_of(y, features, kinds=None) -> Table:
    X = np.column_stack([np.asarray(column, np.float32) for column in features.values()])
    kinds = tuple((kinds or {}).get(name, "numeric") for name in features)
    levels = tuple(
        int(X[:, i].max()) + 1 if kind == "categorical" else 0 for i, kind in enumerate(kinds)
    )
    return Table(
        path=Path("t.csv"),
        target="y",
        X=np.ascontiguousarray(X),
        y=np.asarray(y, np.float64),
        ids={},
        feature_names=tuple(features),
        kinds=kinds,
        levels=levels,
        schema=TableSchema(target="y", columns=()),
        fingerprint="",
        group=None,
        time=None,
        notes=(),
    )


PLANTED = list(planted(np.arange(100.0), np.random.default_rng(0)))


@pytest.mark.parametrize("target", ["normal", "skewed"])
@pytest.mark.parametrize("name", PLANTED)
def test_what_was_made_from_the_target_is_found_and_named(name, target):
    rng = np.random.default_rng(5)
    y = TARGETS[target](rng, N)
    features, ways = planted(y, rng)[name]
    others = {f"x{i}": rng.normal(size=N) for i in range(4)}
    [finding] = find_leaks(table_of(y, {**others, **features}))
    assert finding.features == tuple(features)
    assert finding.how in ways
    assert 0.4 < finding.strength <= 1


def test_bins_are_found_as_categories_too():
    rng = np.random.default_rng(0)
    y = rng.normal(size=N)
    table = table_of(y, {"c": rng.permutation(6)[in_bins(y, 6)]}, {"c": "categorical"})
    [finding] = find_leaks(table)
    assert finding.how == "bins"


HONEST = list(honest(np.random.default_rng(0)))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", HONEST)
def test_honest_causes_are_left_in_peace(name, seed):
    rng = np.random.default_rng(seed)
    y, features = honest(rng)[name]
    extra = {"z": rng.normal(size=len(y))}
    assert find_leaks(table_of(y, {**features, **extra})) == ()
    kinds = dict.fromkeys(features.keys() & {"grade", "site"}, "categorical")
    assert find_leaks(table_of(y, {**features, **extra}, kinds)) == ()


def test_counts_that_are_mostly_zero_accuse_nobody():
    """Groups without a scatter are no rarity there: this table was once taken for a leak."""
    rng = np.random.default_rng(5434)
    hits = rng.poisson(0.03, 400).astype(np.float64)
    z = np.round(rng.normal(size=400), 1).astype(np.float32)
    assert group_mean_leak("z", z, hits) is None
    assert group_mean_leak("mean", encoded(hits, 40, rng).astype(np.float32), hits) is not None


def test_a_mean_over_groups_is_found_in_all_rows_of_a_large_table():
    """A sample of rows would break the groups up."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=60_000)
    table = table_of(y, {"x": rng.normal(size=60_000), "mean": encoded(y, 15_000, rng)})
    assert [(f.features, f.how) for f in find_leaks(table)] == [(("mean",), "group_mean")]


def test_whole_groups_are_drawn_where_there_are_too_many_rows():
    rng = np.random.default_rng(0)
    y = rng.normal(size=900_000)
    mean = encoded(y, 200_000, rng).astype(np.float32)
    assert group_mean_leak("mean", mean, y).how == "group_mean"
    assert group_mean_leak("mean", rng.permutation(mean), y) is None


REAL = [
    ("california_housing.csv", "median_house_value", PLANTED),
    ("ames.csv.gz", "Sale_Price", PLANTED[1::4]),
]


@pytest.mark.real_data
@pytest.mark.parametrize(("file", "target", "names"), REAL)
def test_leaks_are_found_among_the_columns_of_real_tables(file, target, names, data_dir):
    table = read_table(data_dir / file, TableOptions(target=target))
    rng = np.random.default_rng(1)
    if table.n_rows > 4000:
        rows = np.sort(rng.choice(table.n_rows, 4000, replace=False))
        table = dataclasses.replace(table, X=table.X[rows], y=table.y[rows])
    made = planted(table.y, rng)
    for name in names:
        features, _ = made[name]
        columns = np.float32(list(features.values())).T
        leaky = dataclasses.replace(
            table,
            X=np.ascontiguousarray(np.hstack([table.X, columns])),
            feature_names=(*table.feature_names, *features),
            kinds=(*table.kinds, *["numeric"] * len(features)),
            levels=(*table.levels, *[0] * len(features)),
        )
        assert [finding.features for finding in find_leaks(leaky)] == [tuple(features)], name
