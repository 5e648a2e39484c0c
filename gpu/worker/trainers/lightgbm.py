"""Train lightgbm: leaf-wise trees, native missing values and categories."""

from __future__ import annotations

from dataclasses import dataclass
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
from gpu.worker.trainers.kept import Kept
from gpu.worker.trainers.target import TargetScale, fit_target

hide_modules(["pandas", "sklearn", "pyarrow", "matplotlib", "graphviz", "dask"])
import lightgbm as lgb  # noqa: E402

CAT_SMOOTH = 10.0


@dataclass(frozen=True, slots=True)
class _Binned:
    """A split's rows in bins."""

    target: TargetScale
    train: lgb.Dataset
    validation: lgb.Dataset | None


class LightGBMTrainer:
    """A Trainer for lightgbm. It trains on the CPU, on a leased GPU as well.

    The published wheels have no CUDA code. Their OpenCL code numbers devices in its own way, so it
    could not be held to the leased one, and its results cannot be repeated.
    """

    family = "lightgbm"

    def __init__(self, device: str, threads: int) -> None:
        self._threads = threads
        self.device_name = "cpu" if device == "cpu" else "cpu (lightgbm wheels have no CUDA code)"
        self._kept: Kept[_Binned] = Kept()

    def fit(self, split: Split, params: Params, *, seed: int, rounds: int | None) -> Fitted:
        """See Trainer.fit."""
        if not isinstance(params, LightGBMParams):
            raise TypeError(f"lightgbm cannot train {type(params).__name__}")
        binned = self._kept.get(split, params.max_bin, lambda: self._bin(split, params.max_bin))
        valid_sets = []
        callbacks = []
        if binned.validation is not None and rounds is None:
            valid_sets = [binned.validation]
            callbacks = [lgb.early_stopping(params.early_stopping_rounds, verbose=False)]
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
            num_boost_round=rounds or params.n_estimators,
            valid_sets=valid_sets,
            callbacks=callbacks,
            # Otherwise the model is written as text, read back, and cut to its best round.
            keep_training_booster=True,
        )
        run = int(booster.current_iteration())
        # best_iteration is 0 when a model could not split at all.
        best = max(1, int(booster.best_iteration)) if valid_sets else run
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
