"""Train xgboost: histogram trees, native missing values and categories."""

from __future__ import annotations

from dataclasses import dataclass
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
from gpu.worker.trainers.kept import Kept
from gpu.worker.trainers.target import TargetScale, fit_target

hide_modules(["pandas", "sklearn", "pyarrow", "matplotlib", "graphviz", "dask"])
import xgboost as xgb  # noqa: E402


@dataclass(frozen=True, slots=True)
class _Binned:
    """A split's rows in bins."""

    target: TargetScale
    train: xgb.QuantileDMatrix
    validation: xgb.QuantileDMatrix | None


class XGBoostTrainer:
    """A Trainer for xgboost."""

    family = "xgboost"

    def __init__(self, device: str, threads: int) -> None:
        self._device = device
        self._threads = threads
        self.device_name = device
        self._kept: Kept[_Binned] = Kept()

    def fit(self, split: Split, params: Params, *, seed: int, rounds: int | None) -> Fitted:
        """See Trainer.fit."""
        if not isinstance(params, XGBoostParams):
            raise TypeError(f"xgboost cannot train {type(params).__name__}")
        binned = self._kept.get(split, params.max_bin, lambda: self._bin(split, params.max_bin))
        evals = []
        if binned.validation is not None and rounds is None:
            evals = [(binned.validation, "validation")]
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
            binned.train,
            num_boost_round=rounds or params.n_estimators,
            evals=evals,
            early_stopping_rounds=params.early_stopping_rounds if evals else None,
            verbose_eval=False,
        )
        run = int(booster.num_boosted_rounds())
        best = int(booster.best_iteration) + 1 if evals else run
        return _Model(booster[:best], split.columns, binned.target, best_round=best, rounds_run=run)

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

    def _bin(self, split: Split, bins: int) -> _Binned:
        target = fit_target(split.y_train)
        train = self._matrix(split.X_train, target.apply(split.y_train), split.columns, bins)
        validation = None
        if split.X_val is not None and split.y_val is not None:
            y_val = target.apply(split.y_val)
            validation = self._matrix(split.X_val, y_val, split.columns, bins, ref=train)
        return _Binned(target, train, validation)

    def _matrix(
        self,
        X: FloatMatrix,
        y: FloatVector,
        columns: Columns,
        bins: int,
        ref: xgb.QuantileDMatrix | None = None,
    ) -> xgb.QuantileDMatrix:
        """ref: the training rows, whose bins the validation rows must share."""
        return xgb.QuantileDMatrix(
            _known_levels(X, columns),
            label=y,
            feature_types=_feature_types(columns),
            max_bin=bins,
            nthread=self._threads,
            enable_categorical=True,
            ref=ref,
        )


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
