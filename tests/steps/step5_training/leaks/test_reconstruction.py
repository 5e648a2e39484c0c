"""After training: one or two features that hold the importance and give the target back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpu.protocol.observations import Importance
from steps.step5_training.leaks.reconstruction import concentrated, leaks_of_model
from steps.tables import Table, TableSchema

N = 2000


def table_of(y, features) -> Table:
    X = np.column_stack([np.asarray(column, np.float32) for column in features.values()])
    return Table(
        path=Path("t.csv"),
        target="y",
        X=np.ascontiguousarray(X),
        y=np.asarray(y, np.float64),
        ids={},
        feature_names=tuple(features),
        kinds=("numeric",) * len(features),
        levels=(0,) * len(features),
        schema=TableSchema(target="y", columns=()),
        fingerprint="",
        group=None,
        time=None,
        notes=(),
    )


def gain(*values):
    return (
        Importance(kind="split", values=(1.0,) * len(values)),
        Importance(kind="gain", values=values),
    )


def test_importance_is_concentrated_in_one_or_two_features_or_not():
    assert concentrated(gain(1, 99, 0)) == ((1,), pytest.approx(0.99))
    assert concentrated(gain(60, 1, 39)) == ((0, 2), pytest.approx(0.99))
    assert concentrated(gain(60, 20, 20)) is None
    assert concentrated(gain(0, 0, 0)) is None
    assert concentrated(()) is None
    assert concentrated((Importance(kind="split", values=(5.0, 0.0)),)) is None


RNG = np.random.default_rng(0)
Y = np.exp(RNG.normal(size=N))
OTHER = np.exp(0.5 * RNG.normal(size=N))
NOISE = RNG.normal(size=N)


@pytest.mark.parametrize(
    ("features", "values", "named", "how"),
    [
        # Noise of 5 % in a jagged function: no rule before training accuses it.
        ({"a": np.log(Y) + 0.01 * NOISE, "z": NOISE}, (99, 1), ("a",), "function"),
        ({"a": OTHER, "b": Y / OTHER, "z": NOISE}, (50, 49, 1), ("a", "b"), "product"),
        ({"a": NOISE, "b": Y - NOISE, "z": OTHER}, (50, 49, 1), ("a", "b"), "pair"),
    ],
)
def test_features_that_give_the_target_back_are_named(features, values, named, how):
    [finding] = leaks_of_model(table_of(Y, features), gain(*values), 0.97)
    assert (finding.features, finding.how) == (named, how)
    assert 0.99 < finding.strength <= 1


def test_an_honest_cause_with_all_the_importance_is_no_leak():
    cause = table_of(Y + 0.13 * Y.std() * NOISE, {"a": Y, "z": OTHER})
    assert leaks_of_model(cause, gain(99.5, 0.5), 0.98) == ()
    law = table_of(Y * OTHER * (1 + 0.01 * NOISE), {"a": Y, "b": OTHER, "z": NOISE})
    assert leaks_of_model(law, gain(60, 39, 1), 0.98) == ()


@pytest.mark.parametrize(("values", "r2"), [((50.0, 30.0, 20.0), 0.97), ((99.0, 1.0, 0.0), 0.9)])
def test_honest_features_or_a_low_score_accuse_nobody(values, r2):
    first = Y if r2 < 0.95 else Y + 0.13 * Y.std() * NOISE
    table = table_of(Y, {"a": first, "b": OTHER, "c": OTHER**2})
    assert leaks_of_model(table, gain(*values), r2) == ()


@pytest.mark.parametrize(
    ("features", "named", "how"),
    [
        ({"z": NOISE, "o": OTHER, "a": np.log(Y) + 0.01 * NOISE}, ("a",), "function"),
        ({"z": NOISE, "a": OTHER, "b": Y / OTHER}, ("a", "b"), "product"),
        ({"z": OTHER, "a": NOISE, "b": Y - NOISE}, ("a", "b"), "pair"),
    ],
)
def test_leaks_are_found_though_no_importances_were_observed(features, named, how):
    [finding] = leaks_of_model(table_of(Y, features), (), 0.97)
    assert (finding.features, finding.how) == (named, how)
    assert leaks_of_model(table_of(Y, features), (), 0.9) == ()


def test_features_that_were_found_before_are_not_looked_at_again():
    table = table_of(Y, {"a": Y, "z": NOISE})
    assert leaks_of_model(table, (), 0.97, known={"a"}) == ()


def test_copied_rows_make_no_leak_of_a_column_with_a_value_for_each():
    table = table_of(np.tile(Y, 3), {"z": np.tile(NOISE, 3), "o": np.tile(OTHER, 3)})
    assert leaks_of_model(table, (), 0.97) == ()
    assert leaks_of_model(table, gain(99, 1), 0.97) == ()


def test_a_leak_among_many_features_is_found():
    many = {f"x{i}": RNG.normal(size=N) for i in range(60)}
    [finding] = leaks_of_model(table_of(Y, {**many, "a": OTHER, "b": Y - OTHER}), (), 0.97)
    assert set(finding.features) == {"a", "b"}


def test_a_score_too_good_to_be_true_names_what_the_model_rests_on():
    hidden = table_of(Y, {"a": OTHER, "b": RNG.normal(size=N), "z": NOISE})
    [finding] = leaks_of_model(hidden, gain(60, 39, 1), 0.9995)
    assert (finding.features, finding.how) == (("a", "b"), "model")
    assert finding.strength == pytest.approx(0.99)
    assert leaks_of_model(hidden, gain(40, 30, 30), 0.9995) == ()


def test_missing_values_are_left_out():
    holes = np.where(NOISE > 1, np.nan, Y)
    [finding] = leaks_of_model(table_of(Y, {"a": holes, "z": NOISE}), gain(99, 1), 0.97)
    assert finding.features == ("a",)
    nothing = table_of(Y, {"a": np.full(N, np.nan), "z": NOISE})
    assert leaks_of_model(nothing, gain(99, 1), 0.97) == ()


def test_feature_that_shares_the_work_is_not_accused():
    lagged = {"z": NOISE, "o": OTHER, "a": np.log(Y) + 0.01 * NOISE}
    assert leaks_of_model(table_of(Y, lagged), gain(40, 30, 30), 0.97) == ()
