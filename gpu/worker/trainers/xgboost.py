"""Train xgboost: histogram trees, native missing values and categories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpu.params import Params, XGBoostParams
from gpu.protocol.observations import Importance, ImportanceKind
from gpu.worker.absence import noted
from gpu.worker.trainers.base import (
    Columns,
    Contributions,
    Fitted,
    FloatMatrix,
    FloatVector,
    Losses,
    Predictor,
    Split,
    Watch,
    finite,
    hide_modules,
)
from gpu.worker.trainers.kept import Kept
from gpu.worker.trainers.target import TargetScale, fit_target
from gpu.worker.trainers.train_losses import TrainLosses

hide_modules(["pandas", "sklearn", "pyarrow", "matplotlib", "graphviz", "dask"])
import xgboost as xgb  # noqa: E402


@dataclass(frozen=True, slots=True)
class _Binned:
    """A split's rows in bins."""

    target: TargetScale
    train: xgb.QuantileDMatrix
    validation: xgb.QuantileDMatrix | None


class XGBoostTrainer:
    """A Trainer for xgboost. Without code for the leased GPU it trains on the CPU, and says so."""

    family = "xgboost"

    def __init__(self, device: str, threads: int) -> None:
        self._device, self.device_name = _place(device)
        self._threads = threads
        self._kept: Kept[_Binned] = Kept()

    def fit(
        self,
        split: Split,
        params: Params,
        *,
        seed: int,
        rounds: int | None,
        watch: Watch | None = None,
    ) -> Fitted:
        """See Trainer.fit."""
        if not isinstance(params, XGBoostParams):
            raise TypeError(f"xgboost cannot train {type(params).__name__}")
        binned = self._kept.get(split, params.max_bin, lambda: self._bin(split, params.max_bin))
        validation = binned.validation if rounds is None else None
        evals = [] if validation is None else [(validation, "validation")]
        seen: dict[str, dict[str, list[float]]] = {}
        most = rounds or params.n_estimators
        watcher = None if watch is None else _Watcher(binned.train, most, watch.absent)
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
            num_boost_round=most,
            evals=evals,
            evals_result=seen,
            early_stopping_rounds=None if validation is None else params.early_stopping_rounds,
            verbose_eval=False,
            callbacks=None if watcher is None else [watcher],
        )
        run = int(booster.num_boosted_rounds())
        best = run if validation is None else int(booster.best_iteration) + 1
        if watch is not None and watcher is not None:
            with noted(watch.absent, "the loss curve"):
                watch.losses = Losses(
                    binned.target.undo_squared(watcher.losses.curve(run)),
                    None
                    if validation is None
                    else binned.target.undo_squared(np.square(seen["validation"]["rmse"])),
                )
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


def _place(device: str) -> tuple[str, str]:
    """What xgboost is told, and what people are told."""
    if device == "cpu":
        return "cpu", "cpu"
    build = xgb.build_info()
    # A build for AMD has the CUDA code too, in translation, and calls its device cuda.
    code = "ROCm" if build.get("USE_HIP") else "CUDA" if build.get("USE_CUDA") else "GPU"
    wanted = {"cuda": "CUDA", "rocm": "ROCm"}[device]
    if code == wanted:
        return "cuda", device
    return "cpu", f"cpu (this xgboost has no {wanted} code)"


class _Watcher(xgb.callback.TrainingCallback):  # type: ignore[misc]  # the library is not typed
    """Measures the training rows, whose predictions are at hand: gradients need them."""

    def __init__(self, rows: xgb.QuantileDMatrix, rounds: int, absent: list[str]) -> None:
        super().__init__()
        self._rows = rows
        self.losses = TrainLosses(rounds, absent)

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: object) -> bool:
        """Never asks to stop."""
        del evals_log
        self.losses.after_round(epoch + 1, lambda: self._measure(model))
        return False

    def after_training(self, model: xgb.Booster) -> xgb.Booster:
        """Measure how it has ended."""
        self.losses.at_end(int(model.num_boosted_rounds()), lambda: self._measure(model))
        return model

    def _measure(self, model: xgb.Booster) -> float:
        # "[0]\ttrain-rmse:1.5"
        return float(model.eval_set([(self._rows, "train")]).rpartition(":")[2]) ** 2


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
        return self._target.undo(finite(self._booster.predict(self._rows(X))))

    def save(self, path: Path) -> None:
        self._booster.save_model(path)

    def preprocessing(self) -> dict[str, Any]:
        return {"target": self._target.model_dump()}

    def importances(self, X: FloatMatrix) -> tuple[Importance, ...]:
        del X
        return self._importance("gain", "total_gain"), self._importance("weight", "weight")

    def contributions(self, X: FloatMatrix) -> Contributions:
        found = self._booster.predict(self._rows(X), pred_contribs=True)
        values = np.asarray(found, dtype=np.float64)
        return Contributions(
            "shap", self._target.undo(values[:, -1]), values[:, :-1] * self._target.scale
        )

    def _importance(self, kind: ImportanceKind, name: str) -> Importance:
        # A feature without a split is not named.
        values = [0.0] * len(self._columns.kinds)
        for feature, value in self._booster.get_score(importance_type=name).items():
            values[int(feature.removeprefix("f"))] = float(value)
        return Importance(kind=kind, values=tuple(values))

    def _rows(self, X: FloatMatrix) -> xgb.DMatrix:
        return xgb.DMatrix(
            _known_levels(X, self._columns),
            feature_types=_feature_types(self._columns),
            enable_categorical=True,
        )


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
