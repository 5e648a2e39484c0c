"""Train catboost: symmetric trees, native missing values, ordered statistics for categories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu.params import CatBoostParams, Params
from gpu.protocol.observations import Importance
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

hide_modules(
    ["pandas", "polars", "sklearn", "matplotlib", "plotly", "graphviz", "IPython", "ipywidgets"]
)
import catboost as cb  # noqa: E402


@dataclass(frozen=True, slots=True)
class _Binned:
    """A split's rows as catboost trains on them."""

    target: TargetScale
    train: cb.Pool
    validation: cb.Pool | None


class CatBoostTrainer:
    """A Trainer for catboost. It has no code for AMD's GPUs: there it trains on the CPU."""

    family = "catboost"

    def __init__(self, device: str, threads: int) -> None:
        self._device = "cpu" if device == "rocm" else device
        self._threads = threads
        self.device_name = "cpu (catboost has no ROCm code)" if device == "rocm" else device
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
        if not isinstance(params, CatBoostParams):
            raise TypeError(f"catboost cannot train {type(params).__name__}")
        try:
            return self._fit(split, params, seed=seed, rounds=rounds, watch=watch)
        except cb.CatBoostError as error:
            if "memory" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise

    def load(self, blob: bytes, preprocessing: dict[str, Any], columns: Columns) -> Predictor:
        """See Trainer.load."""
        target = TargetScale.model_validate(preprocessing["target"])
        model = cb.CatBoost()
        model.load_model(blob=blob)
        rounds = int(model.tree_count_)
        return _Model(model, columns, target, self._threads, best_round=rounds, rounds_run=rounds)

    def version(self) -> str:
        """See Trainer.version."""
        return str(cb.__version__)

    def _fit(
        self,
        split: Split,
        params: CatBoostParams,
        *,
        seed: int,
        rounds: int | None,
        watch: Watch | None,
    ) -> Fitted:
        bins = params.border_count
        binned = self._kept.get(split, bins, lambda: self._bin(split, bins))
        validation = binned.validation if rounds is None else None
        model = cb.CatBoost(
            {
                "loss_function": "RMSE",
                "boosting_type": "Plain",
                "bootstrap_type": "Bayesian",
                "bagging_temperature": params.bagging_temperature,
                "learning_rate": params.learning_rate,
                "depth": params.depth,
                "l2_leaf_reg": params.l2_leaf_reg,
                "random_strength": params.random_strength,
                "border_count": bins,
                "max_ctr_complexity": params.max_ctr_complexity,
                "iterations": rounds or params.n_estimators,
                "use_best_model": validation is not None,
                "random_seed": seed,
                "thread_count": self._threads,
                "allow_writing_files": False,
                "logging_level": "Silent",
                # A leased process sees exactly one GPU, so its number is 0.
                **({"task_type": "GPU", "devices": "0"} if self._device == "cuda" else {}),
                **(
                    {"od_type": "Iter", "od_wait": params.early_stopping_rounds}
                    if validation is not None
                    else {}
                ),
            }
        )
        model.fit(binned.train, eval_set=validation)
        best = int(model.tree_count_)
        run = best
        if validation is not None:
            run = len(model.get_evals_result()["validation"]["RMSE"])
        best = max(1, best)
        if watch is not None:
            with noted(watch.absent, "the loss curve"):
                watch.losses = _losses(model, binned.target, early=validation is not None)
        return _Model(
            model, split.columns, binned.target, self._threads, best_round=best, rounds_run=run
        )

    def _bin(self, split: Split, bins: int) -> _Binned:
        target = fit_target(split.y_train)
        train = _pool(split.X_train, target.apply(split.y_train), split.columns)
        if self._device != "cuda":
            # On a GPU catboost draws the borders in its own way when it trains.
            train.quantize(border_count=bins)
        validation = None
        if split.X_val is not None and split.y_val is not None:
            validation = _pool(split.X_val, target.apply(split.y_val), split.columns)
        return _Binned(target, train, validation)


class _Model:
    def __init__(
        self,
        model: cb.CatBoost,
        columns: Columns,
        target: TargetScale,
        threads: int,
        best_round: int,
        rounds_run: int,
    ) -> None:
        self._model = model
        self._threads = threads
        self._target = target
        self._columns = columns
        self.best_round = best_round
        self.rounds_run = rounds_run

    def predict(self, X: FloatMatrix) -> FloatVector:
        standard = self._model.predict(_pool(X, None, self._columns))
        return self._target.undo(finite(standard))

    def save(self, path: Path) -> None:
        self._model.save_model(str(path), format="cbm")

    def preprocessing(self) -> dict[str, Any]:
        return {"target": self._target.model_dump()}

    def importances(self, X: FloatMatrix) -> tuple[Importance, ...]:
        del X
        found = self._model.get_feature_importance(
            type="PredictionValuesChange", thread_count=self._threads
        )
        values = self._of_table(np.asarray(found, dtype=np.float64))
        return (Importance(kind="PredictionValuesChange", values=tuple(values.tolist())),)

    def contributions(self, X: FloatMatrix) -> Contributions:
        found = self._model.get_feature_importance(
            _pool(X, None, self._columns), type="ShapValues", thread_count=self._threads
        )
        values = np.asarray(found, dtype=np.float64)
        return Contributions(
            "shap",
            self._target.undo(values[:, -1]),
            self._of_table(values[:, :-1]) * self._target.scale,
        )

    def _of_table(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values by feature, last axis: from a Pool's order to that of the table."""
        ordered = np.empty_like(values)
        ordered[..., _pool_order(self._columns)] = values
        return ordered


def _losses(model: cb.CatBoost, target: TargetScale, *, early: bool) -> Losses:
    seen = model.get_evals_result()
    validation = target.undo_squared(np.square(seen["validation"]["RMSE"])) if early else None
    return Losses(target.undo_squared(np.square(seen["learn"]["RMSE"])), validation)


def _pool_order(columns: Columns) -> list[int]:
    """The table's feature at each position of a Pool: numbers first, then categories."""
    categorical = set(columns.categorical)
    numeric = [i for i in range(len(columns.kinds)) if i not in categorical]
    return [*numeric, *columns.categorical]


def _pool(X: FloatMatrix, y: FloatVector | None, columns: Columns) -> cb.Pool:
    """A Pool of X; categorical codes travel as short texts, a missing code as the empty text."""
    categorical = list(columns.categorical)
    if not categorical:
        # A plain array would make catboost ask for pandas.
        return cb.Pool(cb.FeaturesData(num_feature_data=np.ascontiguousarray(X)), label=y)
    numeric = [i for i in range(X.shape[1]) if i not in set(categorical)]
    texts = np.empty((len(X), len(categorical)), dtype=object)
    for position, i in enumerate(categorical):
        # The last name is the missing level: position -1, and any code out of range lands there.
        names = np.array([*(str(c).encode() for c in range(columns.levels[i])), b""], dtype=object)
        codes = np.where(np.isfinite(X[:, i]), X[:, i], -1).astype(np.int64)
        codes[(codes < 0) | (codes >= columns.levels[i])] = columns.levels[i]
        texts[:, position] = names[codes]
    data = cb.FeaturesData(
        num_feature_data=np.ascontiguousarray(X[:, numeric]) if numeric else None,
        cat_feature_data=texts,
    )
    return cb.Pool(data, label=y)
