"""The boosting libraries by their own scikit-learn API, as their documentation shows it.

Threads are the libraries' own choice (all cores). What is not named here is the library's default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu.params import CatBoostParams, LightGBMParams, XGBoostParams


@dataclass(frozen=True, slots=True)
class Rows:
    """One training set and perhaps a validation set. X: as the library takes it; y: float64."""

    X_train: Any
    y_train: np.ndarray
    X_val: Any | None = None
    y_val: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class PlainModel:
    """A trained model. best_round: the trees or epochs that it keeps."""

    predict: Callable[[Any], np.ndarray]
    best_round: int


def fit_xgboost(params: XGBoostParams, rows: Rows, *, seed: int, rounds: int | None) -> PlainModel:
    """XGBRegressor, with early stopping unless `rounds` is given."""
    from xgboost import XGBRegressor

    values = params.model_dump(exclude={"n_estimators", "early_stopping_rounds"})
    model = XGBRegressor(
        n_estimators=rounds or params.n_estimators,
        early_stopping_rounds=params.early_stopping_rounds if rounds is None else None,
        tree_method="hist",
        enable_categorical=True,
        random_state=seed,
        n_jobs=-1,
        **values,
    )
    if rounds is not None:
        model.fit(rows.X_train, rows.y_train)
        return PlainModel(model.predict, rounds)
    model.fit(rows.X_train, rows.y_train, eval_set=[(rows.X_val, rows.y_val)], verbose=False)
    return PlainModel(model.predict, int(model.best_iteration) + 1)


def fit_lightgbm(
    params: LightGBMParams, rows: Rows, *, seed: int, rounds: int | None
) -> PlainModel:
    """LGBMRegressor, with early stopping unless `rounds` is given."""
    import lightgbm

    model = lightgbm.LGBMRegressor(
        n_estimators=rounds or params.n_estimators,
        learning_rate=params.learning_rate,
        num_leaves=params.num_leaves,
        min_child_samples=params.min_data_in_leaf,
        colsample_bytree=params.feature_fraction,
        subsample=params.bagging_fraction,
        subsample_freq=1,
        reg_lambda=params.lambda_l2,
        max_bin=params.max_bin,
        random_state=seed,
        n_jobs=-1,
        verbose=-1,
    )
    if rounds is not None:
        model.fit(rows.X_train, rows.y_train)
        return PlainModel(model.predict, rounds)
    model.fit(
        rows.X_train,
        rows.y_train,
        eval_set=[(rows.X_val, rows.y_val)],
        eval_metric="l2",
        callbacks=[lightgbm.early_stopping(params.early_stopping_rounds, verbose=False)],
    )
    return PlainModel(model.predict, max(1, int(model.best_iteration_)))


def fit_catboost(
    params: CatBoostParams,
    rows: Rows,
    categorical: tuple[str, ...],
    *,
    seed: int,
    rounds: int | None,
) -> PlainModel:
    """CatBoostRegressor, with early stopping unless `rounds` is given."""
    from catboost import CatBoostRegressor

    model = CatBoostRegressor(
        iterations=rounds or params.n_estimators,
        learning_rate=params.learning_rate,
        depth=params.depth,
        l2_leaf_reg=params.l2_leaf_reg,
        random_strength=params.random_strength,
        boosting_type="Plain",
        bootstrap_type="Bayesian",
        bagging_temperature=params.bagging_temperature,
        border_count=params.border_count,
        max_ctr_complexity=params.max_ctr_complexity,
        random_seed=seed,
        allow_writing_files=False,
        verbose=False,
    )
    cat_features = list(categorical) or None
    if rounds is not None:
        model.fit(rows.X_train, rows.y_train, cat_features=cat_features)
        return PlainModel(model.predict, rounds)
    model.fit(
        rows.X_train,
        rows.y_train,
        cat_features=cat_features,
        eval_set=(rows.X_val, rows.y_val),
        early_stopping_rounds=params.early_stopping_rounds,
    )
    return PlainModel(model.predict, max(1, int(model.tree_count_)))
