from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from steps.step5_training.folds import draw_folds
from steps.step5_training.preflight import (
    check_splits,
    find_leaks,
    inspect_table,
    repeated_rows,
)
from steps.tables import Table, TableError, TableOptions, TableSchema, read_table


def table_of(y, features, *, kinds=None, levels=None, group=None) -> Table:
    """A table as the reader gives it, without a file."""
    y = np.asarray(y, np.float64)
    X = np.column_stack([np.asarray(column, np.float32) for column in features.values()])
    n = len(features)
    return Table(
        path=Path("t.csv"),
        target="y",
        X=np.ascontiguousarray(X),
        y=y,
        ids={},
        feature_names=tuple(features),
        kinds=kinds or ("numeric",) * n,
        levels=levels or (0,) * n,
        schema=TableSchema(target="y", columns=()),
        fingerprint="",
        group=group,
        time=None,
        notes=(),
    )


def noise(n=400, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def check(table, n_folds=5, holdout_fraction=0.2, split="random"):
    return inspect_table(table, n_folds, holdout_fraction, split)[0]


def test_a_sound_table_passes_without_a_word():
    x = noise()
    assert check(table_of(x + noise(seed=1), {"x": x})) == ()


def test_missing_and_infinite_targets_are_refused_with_their_rows():
    y = noise()
    y[[16, 40]] = np.nan
    y[99] = np.inf
    message = (
        r"t\.csv: target 'y' .* in 3 of 400 rows, the first in row 17 \(missing\), 41 .*100 \(inf\)"
    )
    with pytest.raises(TableError, match=message):
        check(table_of(y, {"x": noise(seed=1)}))


def test_a_constant_target_is_refused():
    with pytest.raises(TableError, match=r"target 'y' is constant \(7 in every row\)"):
        check(table_of(np.full(400, 7.0), {"x": noise()}))


def test_fewer_rows_than_the_folds_need_are_refused_with_the_number():
    with pytest.raises(TableError, match=r"it has 11 rows; 5 folds .* need at least 12"):
        check(table_of(noise(11), {"x": noise(11, 1)}))
    check(table_of(noise(12), {"x": noise(12, 1)}))


def test_a_table_without_features_is_refused_naming_what_was_set_aside(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,c,y\n" + "\n".join(f"{i},5,{i * i}" for i in range(20)))
    table = read_table(path, TableOptions(target="y"))
    with pytest.raises(TableError, match=r"no feature is left .* id \(it counts .*c \(constant\)"):
        check(table)


def test_repeated_rows_are_counted_over_all_rows_and_named():
    y, x, z = noise(), noise(seed=1), noise(seed=2)
    x[7] = np.nan
    for later, first in [(399, 7), (50, 3), (60, 3)]:
        y[later], x[later], z[later] = y[first], x[first], z[first]
    x[80], z[80] = x[9], z[9]  # another target: no repeat
    table = table_of(y, {"x": x, "z": z})
    rows, firsts = repeated_rows(table)
    assert rows.tolist() == [50, 60, 399]
    assert firsts.tolist() == [3, 3, 7]
    [note] = check(table)
    assert note.code == "duplicate_rows"
    assert "3 of 400 rows" in note.message
    assert "51 = 4, 61 = 4, 400 = 8" in note.message


def test_repeats_inside_one_group_are_no_concern_of_a_group_split():
    y, x = noise(), noise(seed=1)
    y[1], x[1] = y[0], x[0]
    group = np.arange(400) // 2
    assert check(table_of(y, {"x": x}, group=group), split="group") == ()
    [note] = check(table_of(y, {"x": x}, group=np.arange(400)), split="group")
    assert note.code == "duplicate_rows"


N = 3000
Y = np.random.default_rng(5).gamma(2.0, 3.0, N)
OTHER = np.random.default_rng(6).normal(size=N)
MADE = np.random.default_rng(7)
LEAKS = {
    "copy": ({"leak": Y}, "copy"),
    "near copy": ({"leak": Y * (1 + 0.001 * MADE.normal(size=N))}, "copy"),
    "affine": ({"leak": 2 * Y + 1}, "affine"),
    "negative": ({"leak": 5 - Y}, "affine"),
    "monotone": ({"leak": -np.exp(Y / 3)}, "rank"),
    "copy with holes": ({"leak": np.where(MADE.random(N) < 0.6, np.nan, Y)}, "copy"),
    "sum": ({"a": Y - 4 * OTHER, "b": 4 * OTHER}, "pair"),
    "difference of near equals": ({"a": 1000 * OTHER, "b": 1000 * OTHER + Y}, "pair"),
    "sum where large parts are missing": (
        {"a": np.where(OTHER > 0.2, np.nan, 3 * OTHER), "b": Y - 3 * OTHER},
        "pair",
    ),
    "weighted sum with holes": (
        {"a": np.where(MADE.random(N) < 0.2, np.nan, 3 * OTHER), "b": 0.5 * Y - OTHER},
        "pair",
    ),
}


@pytest.mark.parametrize(("features", "how"), LEAKS.values(), ids=LEAKS)
def test_finds_features_that_give_the_target_away(features, how):
    table = table_of(Y, {"x": noise(N, 8), **features, "z": noise(N, 9)})
    [finding] = find_leaks(table)
    assert finding.features == tuple(features)
    assert finding.how == how
    assert 0.998 < finding.strength <= 1


def test_finds_levels_that_give_the_target_away():
    y = np.round(Y * 2)
    codes = np.searchsorted(np.unique(y), y)
    levels = int(codes.max()) + 1
    shuffled = np.random.default_rng(1).permutation(levels)[codes]
    table = table_of(
        y, {"c": shuffled, "x": OTHER}, kinds=("categorical", "numeric"), levels=(levels, 0)
    )
    [finding] = find_leaks(table)
    assert (finding.features, finding.how) == (("c",), "categorical")


def test_a_level_for_nearly_every_row_is_no_finding():
    table = table_of(Y, {"c": np.arange(N)}, kinds=("categorical",), levels=(N,))
    assert find_leaks(table) == ()


INNOCENT = {
    "strong predictor": {"x": Y + 0.1 * Y.std() * MADE.normal(size=N)},
    "three parts": {"a": OTHER, "b": noise(N, 11), "c": Y - OTHER - noise(N, 11)},
    "a few present": {"x": np.where(np.arange(N) < 5, Y, np.nan)},
    "constant": {"x": np.ones(N)},
    "all missing": {"x": np.full(N, np.nan)},
}


@pytest.mark.parametrize("features", INNOCENT.values(), ids=INNOCENT)
def test_does_not_accuse_features_that_are_only_good(features):
    assert find_leaks(table_of(Y, {"z": noise(N, 12), **features})) == ()


def test_one_row_far_away_is_no_leak():
    y, x = noise(N, 1), noise(N, 2)
    y[5] = x[5] = 1e6
    assert find_leaks(table_of(y, {"x": x, "z": noise(N, 3)})) == ()


def test_a_leak_is_a_critical_note_that_says_what_to_type():
    table = table_of(Y, {"a": Y - OTHER, "b": OTHER, "z": noise(N, 4)})
    [note] = check(table)
    assert (note.level, note.code) == ("critical", "leak")
    assert "'a', 'b'" in note.message
    assert '"exclude_features": ["a", "b"]' in note.message


def test_pairs_among_several_hundred_features_are_found_and_the_rest_is_said():
    rng = np.random.default_rng(2)
    features = {f"f{i}": rng.normal(size=N) for i in range(600)}
    features["f300"] = Y - 2 * features["f17"]
    told = {note.code: note.message for note in check(table_of(Y, features))}
    assert '"exclude_features": ["f17", "f300"]' in told["leak"]
    assert "100 features" in told["pairs_not_checked"]


TABLES = [
    ("california_housing.csv", "median_house_value"),
    ("diamonds.csv.gz", "price"),
    ("protein.csv.gz", "y"),
    ("elevators.csv.gz", "y"),
    ("deliveries.csv.gz", "time_to_delivery"),
    ("cps1988.csv.gz", "wage"),
    ("ames.csv.gz", "Sale_Price"),
]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "target"), TABLES)
def test_real_tables_have_no_leak_until_one_is_planted(data_dir, name, target):
    table = read_table(data_dir / name, TableOptions(target=target))
    assert [note for note in check(table) if note.code == "leak"] == []
    part = table.y.std() * np.random.default_rng(0).normal(size=table.n_rows)
    planted = np.float32([table.y * 2 + 1, part, table.y - part]).T
    leaky = dataclasses.replace(
        table,
        X=np.ascontiguousarray(np.hstack([table.X, planted])),
        feature_names=(*table.feature_names, "scaled", "part", "rest"),
        kinds=(*table.kinds, "numeric", "numeric", "numeric"),
        levels=(*table.levels, 0, 0, 0),
    )
    assert [finding.features for finding in find_leaks(leaky)] == [("scaled",), ("part", "rest")]


@pytest.mark.real_data
def test_protein_repeats_as_many_rows_as_are_known(data_dir):
    table = read_table(data_dir / "protein.csv.gz", TableOptions(target="y"))
    assert len(repeated_rows(table)[0]) == 1712


def test_a_fold_in_which_the_target_has_one_value_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "".join(f"{i * 37 % 101},{1 if i > 18 else 0}\n" for i in range(40)))
    table = read_table(path, TableOptions(target="y"))
    splits = draw_folds(40, split="time", n_folds=3, holdout_fraction=0.2, seed=0)
    with pytest.raises(
        TableError, match=r"t.csv: target 'y' is 0 in all 8 rows of the validation fold 1"
    ):
        check_splits(table, splits)
