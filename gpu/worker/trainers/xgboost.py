"""Train xgboost: histogram trees, native missing values and categories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gpu.params import Params, XGBoostParams
from gpu.worker.trainers.base import (
    Columns,
    Fitted,
    FloatMatrix,
    FloatVector,
    Predictor,
    Split,
    finite,
    hide_modules,
)
from gpu.worker.trainers.target import TargetScale, fit_target

hide_modules(["pandas", "sklearn", "pyarrow", "matplotlib", "graphviz", "dask"])
import xgboost as xgb  # noqa: E402


class XGBoostTrainer:
    """A Trainer for xgboost."""

    family = "xgboost"

    def __init__(self, device: str, threads: int) -> None:
        self._device = device
        self._threads = threads
        self.device_name = device

    def fit(self, split: Split, params: Params, *, seed: int, rounds: int | None) -> Fitted:
        """See Trainer.fit."""
        if not isinstance(params, XGBoostParams):
            raise TypeError(f"xgboost cannot train {type(params).__name__}")
        types = _feature_types(split.columns)
        target = fit_target(split.y_train)
        train = xgb.QuantileDMatrix(
            _known_levels(split.X_train, split.columns),
            label=target.apply(split.y_train),
            feature_types=types,
            max_bin=params.max_bin,
            nthread=self._threads,
            enable_categorical=True,
        )
        evals = []
        if split.X_val is not None and split.y_val is not None and rounds is None:
            validation = xgb.QuantileDMatrix(
                _known_levels(split.X_val, split.columns),
                label=target.apply(split.y_val),
                feature_types=types,
                max_bin=params.max_bin,
                nthread=self._threads,
                enable_categorical=True,
                ref=train,
            )
            evals = [(validation, "validation")]
        booster = xgb.train(
            {
                "objective": "reg:squarederror",
                "tree_method": "hist",
                "device": self._device,
                "nthread": self._threads,
                "seed": seed,
                "verbosity": 0,
                "learning_rate": params.learning_rate,
                "max_depth": params.max_depth,
                "min_child_weight": params.min_child_weight,
                "subsample": params.subsample,
                "colsample_bytree": params.colsample_bytree,
                "reg_lambda": params.reg_lambda,
                "max_bin": params.max_bin,
            },
            train,
            num_boost_round=rounds or params.n_estimators,
            evals=evals,
            early_stopping_rounds=params.early_stopping_rounds if evals else None,
            verbose_eval=False,
        )
        run = int(booster.num_boosted_rounds())
        best = int(booster.best_iteration) + 1 if evals else run
        return _Model(booster[:best], split.columns, target, best_round=best, rounds_run=run)

    def load(self, blob: bytes, preprocessing: dict[str, Any], columns: Columns) -> Predictor:
        """See Trainer.load."""
        target = TargetScale.model_validate(preprocessing["target"])
        booster = xgb.Booster({"nthread": self._threads, "device": self._device})
        booster.load_model(bytearray(blob))
        rounds = int(booster.num_boosted_rounds())
        return _Model(booster, columns, target, best_round=rounds, rounds_run=rounds)

    def version(self) -> str:
        """See Trainer.version."""
        return str(xgb.__version__)


class _Model:
    def __init__(
        self,
        booster: xgb.Booster,
        columns: Columns,
        target: TargetScale,
        best_round: int,
        rounds_run: int,
    ) -> None:
        self._booster = booster
        self._target = target
        self._columns = columns
        self.best_round = best_round
        self.rounds_run = rounds_run

    def predict(self, X: FloatMatrix) -> FloatVector:
        rows = xgb.DMatrix(
            _known_levels(X, self._columns),
            feature_types=_feature_types(self._columns),
            enable_categorical=True,
        )
        return self._target.undo(finite(self._booster.predict(rows)))

    def save(self, path: Path) -> None:
        self._booster.save_model(path)

    def preprocessing(self) -> dict[str, Any]:
        return {"target": self._target.model_dump()}


def _feature_types(columns: Columns) -> list[str]:
    return ["c" if kind == "categorical" else "q" for kind in columns.kinds]


def _known_levels(X: FloatMatrix, columns: Columns) -> FloatMatrix:
    """A code outside 0..levels-1 would abort inside xgboost; it becomes a missing value here."""
    for i in columns.categorical:
        bad = (X[:, i] < 0) | (X[:, i] >= columns.levels[i])
        if bad.any():
            X = X.copy()
            X[bad, i] = np.nan
    return X
