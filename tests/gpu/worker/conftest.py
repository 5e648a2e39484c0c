"""A small table folder as workers map it, and the jobs that refer to it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gpu.params import complete_params
from gpu.protocol import FinalFit, TrainTrial

SMALL = {
    "neural_net": {"hidden_layers": [16, 8], "epochs": 12, "batch_size": 40, "dropout": 0.1},
    "xgboost": {"n_estimators": 30, "early_stopping_rounds": 5, "subsample": 0.7},
    "lightgbm": {"n_estimators": 30, "early_stopping_rounds": 5, "bagging_fraction": 0.7},
    "catboost": {"n_estimators": 30, "early_stopping_rounds": 5, "learning_rate": 0.2},
}


def _write_table(folder, X, y, columns, *, holdout, folds=2):
    """holdout: how many of the last rows are held out."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.arange(len(y) - holdout, dtype=np.int32)
    np.save(folder / "X.npy", X.astype(np.float32))
    np.save(folder / "y.npy", y.astype(np.float64))
    np.save(folder / "search_rows.npy", rows)
    np.save(folder / "holdout_rows.npy", np.arange(len(rows), len(y), dtype=np.int32))
    for k in range(folds):
        np.save(folder / f"train_{k}.npy", rows[rows % folds != k])
        np.save(folder / f"val_{k}.npy", rows[rows % folds == k])
    kinds, levels = columns
    (folder / "columns.json").write_text(
        json.dumps({"kinds": kinds, "levels": levels}), encoding="utf-8"
    )
    return folder


@pytest.fixture
def mixed_table(tmp_path):
    """620 rows, the last 20 held out: a category first, three numbers with gaps, one constant."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(620, 5))
    X[:, 0] = rng.integers(0, 4, 620)
    X[:, 4] = 3.0
    y = 40 + 6 * X[:, 1] + np.array([0.0, 9.0, -6.0, 3.0])[X[:, 0].astype(int)]
    y = y + 0.3 * rng.normal(size=620)
    X[::9, 2] = np.nan
    X[::11, 0] = np.nan
    columns = (["categorical", *["numeric"] * 4], [4, 0, 0, 0, 0])
    return _write_table(tmp_path / "mixed", X, y, columns, holdout=20)


def _record(family, **params):
    return complete_params(family, {**SMALL[family], **params}).model_dump(mode="json")


def _final_fit(family, table, out, *, observed=True, rounds=10, **params):
    suffix = {"neural_net": "pth", "xgboost": "json", "lightgbm": "txt", "catboost": "cbm"}[family]
    return FinalFit(
        id=f"{family}-final",
        family=family,
        trial_number=0,
        params=_record(family, **params),
        rounds=rounds,
        table=str(table),
        seed=3,
        checkpoint_path=str(out / f"best_model.{suffix}"),
        preprocessing_path=str(out / "preprocessing.json"),
        predictions_path=str(out / "holdout.npy"),
        observations_path=str(out / "observations.json") if observed else None,
    )


def _train_trial(family, table, out, *, curves=True, folds=(0, 1), prune=None, **params):
    return TrainTrial(
        id=f"{family}-0",
        family=family,
        trial_number=0,
        params=_record(family, **params),
        table=str(table),
        folds=folds,
        seed=3,
        predictions_path=str(out / "predictions.npy"),
        curves_path=str(out / "curves.json") if curves else None,
        prune=prune,
    )


@pytest.fixture
def write_table():
    """(folder, X, y, (kinds, levels), *, holdout, folds) -> the folder."""
    return _write_table


@pytest.fixture
def final_fit():
    """(family, table, out, *, observed, rounds, **params) -> a FinalFit."""
    return _final_fit


@pytest.fixture
def train_trial():
    """(family, table, out, *, curves, folds, prune, **params) -> a TrainTrial."""
    return _train_trial
