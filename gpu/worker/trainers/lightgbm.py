"""Train lightgbm: leaf-wise trees, native missing values and categories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpu.params import LightGBMParams, Params
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
import lightgbm as lgb  # noqa: E402

CAT_SMOOTH = 10.0
# Where the number stands in what lightgbm says of a metric.
_VALUE = 2


@dataclass(frozen=True, slots=True)
class _Binned:
    """A split's rows in bins."""

    target: TargetScale
    train: lgb.Dataset
    validation: lgb.Dataset | None


class LightGBMTrainer:
    """A Trainer for lightgbm. It trains on the CPU, on a leased GPU as well.

    The published wheels have neither CUDA nor ROCm code. Their OpenCL code numbers devices in its
    own way, so it could not be held to the leased one, and its results cannot be repeated.
    """

    family = "lightgbm"

    def __init__(self, device: str, threads: int) -> None:
        self._threads = threads
        code = {"cuda": "CUDA", "rocm": "ROCm"}.get(device)
        self.device_name = "cpu" if code is None else f"cpu (lightgbm wheels have no {code} code)"
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
        if not isinstance(params, LightGBMParams):
            raise TypeError(f"lightgbm cannot train {type(params).__name__}")
        binned = self._kept.get(split, params.max_bin, lambda: self._bin(split, params.max_bin))
        validation = binned.validation if rounds is None else None
        callbacks: list[Callable[..., Any]] = []
        most = rounds or params.n_estimators
        watcher = None if watch is None else _Watcher(most, watch.absent)
        if watcher is not None:
            callbacks.append(watcher)
        if validation is not None:
            callbacks.append(lgb.early_stopping(params.early_stopping_rounds, verbose=False))
        booster = lgb.train(
            {
                **self._data_settings(split.columns, params.max_bin),
                "objective": "regression",
                "metric": "l2",
                "seed": seed,
                "learning_rate": params.learning_rate,
                "num_leaves": params.num_leaves,
                "min_data_in_leaf": params.min_data_in_leaf,
                "feature_fraction": params.feature_fraction,
                "bagging_fraction": params.bagging_fraction,
                "bagging_freq": 1,
                "lambda_l2": params.lambda_l2,
                "cat_smooth": _cat_smooth(split),
            },
            binned.train,
            num_boost_round=most,
            valid_sets=[] if validation is None else [validation],
            callbacks=callbacks,
            # Otherwise the model is written as text, read back, and cut to its best round.
            keep_training_booster=True,
        )
        run = int(booster.current_iteration())
        # best_iteration is 0 when a model could not split at all.
        best = run if validation is None else max(1, int(booster.best_iteration))
        if watch is not None and watcher is not None:
            watcher.losses.at_end(run, lambda: _train_l2(booster))
            with noted(watch.absent, "the loss curve"):
                # Rounds that could not split any more are measured, but are none of the model.
                watch.losses = Losses(
                    binned.target.undo_squared(watcher.losses.curve(run)),
                    None
                    if validation is None
                    else binned.target.undo_squared(watcher.validation[:run]),
                )
        return _Model(booster, binned.target, best_round=best, rounds_run=run)

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

    def _bin(self, split: Split, bins: int) -> _Binned:
        target = fit_target(split.y_train)
        settings = self._data_settings(split.columns, bins)
        categorical = list(split.columns.categorical)
        train = lgb.Dataset(
            split.X_train,
            label=target.apply(split.y_train),
            categorical_feature=categorical,
            params=settings,
        ).construct()
        validation = None
        if split.X_val is not None and split.y_val is not None:
            validation = lgb.Dataset(
                split.X_val,
                label=target.apply(split.y_val),
                categorical_feature=categorical,
                params=settings,
                reference=train,
            ).construct()
        return _Binned(target, train, validation)

    def _data_settings(self, columns: Columns, bins: int) -> dict[str, Any]:
        """Settings that the binned rows depend on: the same for every trial and seed."""
        by_feature = {}
        if columns.categorical:
            # A level without a bin of its own is lost. Two more: missing values and rare levels.
            sizes = [levels + 2 if levels else bins for levels in columns.levels]
            by_feature = {"max_bin_by_feature": sizes}
        return {
            **by_feature,
            "max_bin": bins,
            "num_threads": self._threads,
            "verbose": -1,
            # The same trees whatever the number of threads; without it a run cannot be repeated.
            "deterministic": True,
            "force_row_wise": True,
            # Otherwise columns are dropped by the first trial's min_data_in_leaf, for all trials.
            "feature_pre_filter": False,
            # Otherwise drawn from the seed.
            "data_random_seed": 1,
        }


def _cat_smooth(split: Split) -> float:
    """Rows that a level needs to take part in splits: half of what levels have on average.

    lightgbm's default is 10. In a column whose levels are all rarer, no level would ever be used.
    """
    most_levels = max(split.columns.levels, default=0)
    if most_levels == 0:
        return CAT_SMOOTH
    return min(CAT_SMOOTH, max(1.0, len(split.X_train) / most_levels / 2))


class _Watcher:
    """A callback: measures the training rows, and writes down the validation loss."""

    def __init__(self, rounds: int, absent: list[str]) -> None:
        self.losses = TrainLosses(rounds, absent)
        self.validation: list[float] = []

    def __call__(self, env: lgb.callback.CallbackEnv) -> None:
        self.losses.after_round(env.iteration + 1, lambda: _train_l2(env.model))
        for result in env.evaluation_result_list:
            self.validation.append(result[_VALUE])


def _train_l2(booster: lgb.Booster) -> float:
    return float(booster.eval_train()[0][_VALUE])


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

    def importances(self, X: FloatMatrix) -> tuple[Importance, ...]:
        del X
        return self._importance("gain"), self._importance("split")

    def contributions(self, X: FloatMatrix) -> Contributions:
        found = self._booster.predict(X, num_iteration=self.best_round, pred_contrib=True)
        values = np.asarray(found, dtype=np.float64)
        return Contributions(
            "shap", self._target.undo(values[:, -1]), values[:, :-1] * self._target.scale
        )

    def _importance(self, kind: ImportanceKind) -> Importance:
        values = self._booster.feature_importance(kind, iteration=self.best_round)
        return Importance(kind=kind, values=tuple(float(value) for value in values))
