"""Train lightgbm: leaf-wise trees, native missing values and categories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpu.params import LightGBMParams, Params
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
import lightgbm as lgb  # noqa: E402


class LightGBMTrainer:
    """A Trainer for lightgbm. It trains on the CPU: the published wheels have no CUDA code."""

    family = "lightgbm"

    def __init__(self, device: str, threads: int) -> None:
        self._threads = threads
        self.device_name = "cpu" if device == "cpu" else "cpu (lightgbm wheels have no CUDA code)"

    def fit(self, split: Split, params: Params, *, seed: int, rounds: int | None) -> Fitted:
        """See Trainer.fit."""
        if not isinstance(params, LightGBMParams):
            raise TypeError(f"lightgbm cannot train {type(params).__name__}")
        settings = {
            "objective": "regression",
            "metric": "l2",
            "verbose": -1,
            "num_threads": self._threads,
            "seed": seed,
            # The same trees whatever the number of threads; without it a run cannot be repeated.
            "deterministic": True,
            "force_row_wise": True,
            "learning_rate": params.learning_rate,
            "num_leaves": params.num_leaves,
            "min_data_in_leaf": params.min_data_in_leaf,
            "feature_fraction": params.feature_fraction,
            "bagging_fraction": params.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": params.lambda_l2,
            "max_bin": params.max_bin,
        }
        target = fit_target(split.y_train)
        train = lgb.Dataset(
            split.X_train,
            label=target.apply(split.y_train),
            categorical_feature=list(split.columns.categorical),
            params=settings,
        )
        callbacks = []
        valid_sets = []
        if split.X_val is not None and split.y_val is not None and rounds is None:
            validation = target.apply(split.y_val)
            valid_sets = [lgb.Dataset(split.X_val, label=validation, reference=train)]
            callbacks = [lgb.early_stopping(params.early_stopping_rounds, verbose=False)]
        booster = lgb.train(
            settings,
            train,
            num_boost_round=rounds or params.n_estimators,
            valid_sets=valid_sets,
            callbacks=callbacks,
        )
        run = int(booster.current_iteration())
        # best_iteration is 0 when a model could not split at all.
        best = max(1, int(booster.best_iteration)) if valid_sets else run
        return _Model(booster, target, best_round=best, rounds_run=run)

    def load(self, blob: bytes, preprocessing: dict[str, Any], columns: Columns) -> Predictor:
        """See Trainer.load."""
        del columns
        target = TargetScale.model_validate(preprocessing["target"])
        booster = lgb.Booster(model_str=blob.decode("utf-8"))
        rounds = int(booster.current_iteration())
        return _Model(booster, target, best_round=rounds, rounds_run=rounds)

    def version(self) -> str:
        """See Trainer.version."""
        return str(lgb.__version__)


class _Model:
    def __init__(
        self, booster: lgb.Booster, target: TargetScale, best_round: int, rounds_run: int
    ) -> None:
        self._booster = booster
        self._target = target
        self.best_round = best_round
        self.rounds_run = rounds_run

    def predict(self, X: FloatMatrix) -> FloatVector:
        standard = self._booster.predict(X, num_iteration=self.best_round)
        return self._target.undo(finite(standard))

    def save(self, path: Path) -> None:
        self._booster.save_model(path, num_iteration=self.best_round)

    def preprocessing(self) -> dict[str, Any]:
        return {"target": self._target.model_dump()}
