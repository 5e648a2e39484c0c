"""The verdict as a whole, calibrated on made tables with a quick model: ridge regression."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from optuna.trial import TrialState

from steps.step5_training import evaluate as evaluation
from steps.step5_training import permutation
from steps.step5_training.evaluate import evaluate
from steps.step5_training.folds import draw_folds
from steps.step5_training.judge import count_hypotheses, judge, judge_families
from steps.step5_training.judged_rows import dependent_rows, rows_to_judge
from steps.step5_training.leaks import find_leaks
from steps.step5_training.paired import compare_families
from steps.step5_training.settings import Settings
from steps.tables import Table, TableSchema

PENALTIES = (10.0, 100.0, 1000.0)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(permutation, "MOST_PERMUTATIONS", 999)
    monkeypatch.setattr(evaluation, "MOST_RESAMPLES", 250)


def table_of(X, y, **more) -> Table:
    X = np.ascontiguousarray(X, np.float32)
    n = X.shape[1]
    plain = Table(
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
        group=None,
        time=None,
        notes=(),
    )
    return dataclasses.replace(plain, **more)


def ridge(X, y, rows, penalty):
    centre = y[rows].mean()
    A = X[rows].T @ X[rows] + penalty * np.eye(X.shape[1])
    return X @ np.linalg.solve(A, X[rows].T @ (y[rows] - centre)) + centre


def nearest(X, y, rows, _):
    """One nearest neighbour: it knows copied rows by heart."""
    distance = ((X[:, None, :] - X[None, rows, :]) ** 2).sum(axis=2)
    return y[rows][np.argmin(distance, axis=1)]


def verdict(table, *, fit=ridge, split="random", seed=0, hypotheses=60):
    """Tune by cross-validation, refit, judge: as the step does, with two alike families."""
    settings = Settings(split=split, seed=seed, group_column="g" if split == "group" else None)
    splits = draw_folds(
        table.n_rows,
        split=split,
        n_folds=5,
        holdout_fraction=0.2,
        seed=seed,
        time=table.time,
        group=table.group,
    )
    X, y = table.X.astype(np.float64), table.y
    folds = [fold.val_rows for fold in splits.folds]
    tried = []
    for penalty in PENALTIES:
        guess = np.full(table.n_rows, np.nan)
        for fold in splits.folds:
            guess[fold.val_rows] = fit(X, y, fold.train_rows, penalty)[fold.val_rows]
        r2 = [1 - np.mean((y[f] - guess[f]) ** 2) / y[f].var() for f in folds]
        tried.append((np.mean(r2), penalty, guess))
    _, penalty, out_of_fold = max(tried, key=lambda one: one[0])
    final = np.full(table.n_rows, np.nan)
    final[splits.holdout_rows] = fit(X, y, splits.search_rows, penalty)[splits.holdout_rows]
    found, held = {"a": out_of_fold}, {"a": final}
    rows = rows_to_judge(table, splits)
    signals = judge_families(
        table,
        rows,
        found,
        held,
        evaluate(y, found, rows.folds, seed, dependent_rows(table, split)),
        evaluate(y, held, [rows.holdout], seed, dependent_rows(table, split)),
        find_leaks(table),
        hypotheses=hypotheses,
        settings=settings,
    )
    return signals["a"].verdict


def signal(rng, n, r2, features=5):
    X = rng.normal(size=(n, features))
    cause = X @ rng.normal(size=features)
    return X, cause / cause.std() * np.sqrt(r2 / (1 - r2)) + rng.normal(size=n)


DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy": lambda rng, n: rng.standard_t(2.5, size=n),
    "skewed": lambda rng, n: rng.exponential(size=n) ** 2,
}


@pytest.mark.parametrize("draw", DRAWS)
def test_noise_is_called_none(draw):
    called = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.choice([150, 300, 1000]))
        X = rng.normal(size=(n, int(rng.integers(3, 20))))
        called += verdict(table_of(X, DRAWS[draw](rng, n)), seed=seed) == "none"
    assert called >= 38


def test_noise_with_copied_rows_is_called_none_though_a_model_knows_them_by_heart():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, 400, 400)
        table = table_of(rng.normal(size=(400, 4))[rows], rng.normal(size=400)[rows])
        assert verdict(table, fit=nearest, seed=seed) == "none"


def test_noise_of_which_every_row_stands_there_three_times_is_called_none():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        table = table_of(
            np.tile(rng.normal(size=(200, 4)), (3, 1)), np.tile(rng.normal(size=200), 3)
        )
        assert verdict(table, fit=nearest, seed=seed) == "none"


def test_a_coarse_signal_of_which_every_row_is_alike_another_is_seen():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(600, 3))
    assert verdict(table_of(X, X.sum(axis=1) + rng.integers(0, 2, 600))) == "strong"


def test_a_holdout_of_two_groups_makes_no_strong_verdict():
    rng = np.random.default_rng(0)
    X, y = signal(rng, 600, 0.6)
    many, few = np.arange(600) % 60, np.arange(600) % 10
    assert verdict(table_of(X, y, group=many), split="group") == "strong"
    assert verdict(table_of(X, y, group=few), split="group") == "weak"


@pytest.mark.parametrize(
    ("n", "r2", "verdicts", "tables", "least"),
    [
        (20_000, 0.02, {"weak"}, 3, 3),
        (2000, 0.02, {"weak"}, 20, 8),
        (300, 0.3, {"weak", "strong"}, 20, 17),
        (1000, 0.5, {"strong"}, 20, 20),
    ],
)
def test_planted_signal_is_seen(n, r2, verdicts, tables, least):
    seen = 0
    for seed in range(tables):
        X, y = signal(np.random.default_rng(seed), n, r2)
        seen += verdict(table_of(X, y), seed=seed) in verdicts
    assert seen >= least


def test_groups_that_only_know_themselves_are_no_signal():
    """Each group has its own level of target and features; none tells of another group."""
    called = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 20)
        X = rng.normal(size=(60, 4))[group] + 0.1 * rng.normal(size=(1200, 4))
        y = rng.normal(size=60)[group] + 0.3 * rng.normal(size=1200)
        called += verdict(table_of(X, y, group=group), split="group", seed=seed) == "none"
    assert called >= 14


def test_a_leak_is_called_so_whatever_the_scores():
    rng = np.random.default_rng(0)
    X, y = signal(rng, 600, 0.3)
    group = rng.integers(0, 100, 600)
    mean = np.bincount(group, y, 100)[group] / np.bincount(group, minlength=100)[group]
    assert verdict(table_of(np.column_stack([X, mean]), y)) == "leaked"


def judged_of(table, fits):
    """As the step judges families without importances: diagnostics are off."""
    splits = draw_folds(table.n_rows, split="random", n_folds=5, holdout_fraction=0.2, seed=0)
    X, y = table.X.astype(np.float64), table.y
    out_of_fold, holdout = {}, {}
    for name, fit in fits.items():
        out_of_fold[name] = np.full(table.n_rows, np.nan)
        for fold in splits.folds:
            out_of_fold[name][fold.val_rows] = fit(X, y, fold.train_rows, 1.0)[fold.val_rows]
        holdout[name] = fit(X, y, splits.search_rows, 1.0)
    study = SimpleNamespace(finished=(), tried_full=None)
    studies = SimpleNamespace(
        by_family=dict.fromkeys(fits, study), predictions=lambda *_: (out_of_fold, holdout)
    )
    comparison = SimpleNamespace(fits=dict.fromkeys(fits, (None, None)))
    judged = judge(studies, comparison, table, splits, (), (), Settings(seed=0))
    return judged, splits, holdout


def test_a_family_that_knows_copies_by_heart_is_not_better_beyond_chance():
    rng = np.random.default_rng(0)
    X, y = signal(rng, 500, 0.3)
    rows = rng.integers(0, 500, 700)
    table = table_of(X[rows], y[rows])
    judged, splits, holdout = judged_of(table, {"lightgbm": ridge, "xgboost": nearest})
    assert judged.best == "xgboost"
    evaluations = judged.cv, judged.holdout
    [whole] = compare_families(
        "xgboost", table.y, holdout, splits.holdout_rows, *evaluations, seed=0
    )
    assert whole.verdict == "better"
    assert [found.verdict for found in judged.comparisons] == ["tie"]


def test_copies_alone_crown_nobody_and_compare_nobody():
    rng = np.random.default_rng(0)
    table = table_of(np.tile(rng.normal(size=(200, 4)), (3, 1)), np.tile(rng.normal(size=200), 3))
    judged, _, _ = judged_of(table, {"lightgbm": ridge, "xgboost": nearest})
    assert judged.best == "xgboost"
    assert judged.winner is None
    assert judged.comparisons == ()
    assert "too few rows that are not copies" in judged.signal.reasons[0]


def test_a_leak_is_found_after_training_without_importances():
    rng = np.random.default_rng(0)
    y = rng.normal(size=600)
    table = table_of(np.column_stack([rng.normal(size=600), y + 0.03 * rng.normal(size=600)]), y)
    judged, _, _ = judged_of(table, {"lightgbm": ridge})
    assert judged.signal.verdict == "leaked"
    assert judged.signal.leaked_features == ("x1",)


@pytest.mark.parametrize(("full", "trials"), [(None, 5), (TrialState.PRUNED, 6)])
def test_every_trial_that_did_not_fail_is_a_hypothesis_and_full_resolution_is_one_too(full, trials):
    states = [TrialState.COMPLETE] * 2 + [TrialState.PRUNED] * 3 + [TrialState.FAIL] * 4
    finished = tuple(SimpleNamespace(state=state) for state in states)
    # Full resolution that was stopped was compared with the best as well.
    tried_full = full and SimpleNamespace(state=full)
    study = SimpleNamespace(finished=finished, tried_full=tried_full, confirmation=None)
    studies = SimpleNamespace(by_family={"xgboost": study})
    assert count_hypotheses(studies, 5) == 5 * trials
