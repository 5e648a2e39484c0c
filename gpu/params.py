"""One frozen type a family: exactly what its trainer takes.

A tuned parameter has no default here: decoding a stored trial rejects the missing and the unknown,
so what was tuned is what is refitted. The public shell forms (`python -m gpu.worker`,
`python -m gpu.trial`) may leave parameters out; `complete_params` fills those from
`SHELL_DEFAULTS`, and only those doors call it.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Family = Literal["neural_net", "xgboost", "lightgbm", "catboost"]
FAMILIES: tuple[Family, ...] = ("neural_net", "xgboost", "lightgbm", "catboost")

Precision = Literal["float32", "bfloat16"]

# What a checkpoint is stored as, which is also its suffix.
CHECKPOINT_FORMATS: dict[Family, str] = {
    "neural_net": "pth",
    "xgboost": "json",
    "lightgbm": "txt",
    "catboost": "cbm",
}

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class UnknownParameter(ValueError):
    """A parameter name that the family does not have; the message offers the nearest one."""


class _Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NeuralNetParams(_Params):
    """A multilayer perceptron: Linear, BatchNorm1d, (Leaky)ReLU, Dropout a hidden layer.

    hidden_layers: units of each hidden layer, first to last. weight_decay: coupled into the
    gradient for "adam", decoupled for "adamw". batch_mode "full" ignores batch_size; "auto" is
    "mini" unless the training rows fit in one batch. patience: epochs without a better validation
    loss before training stops. clip_norm: the gradient of all weights together is scaled down to
    this norm where it is longer; 0: never. normalize_features: standardise inside the fold.
    precision: what the operands of the large products of training are rounded to.
    """

    hidden_layers: Annotated[tuple[Count, ...], Field(min_length=1, max_length=8)]
    learning_rate: Positive
    weight_decay: NonNegative
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Annotated[int, Field(ge=2)]
    epochs: Count
    patience: Count
    clip_norm: NonNegative
    optimizer: Literal["adam", "adamw"]
    batch_mode: Literal["auto", "full", "mini"]
    use_leaky_relu: bool
    normalize_features: bool
    precision: Precision


class XGBoostParams(_Params):
    """Histogram gradient boosting of xgboost; names are xgboost's own."""

    learning_rate: Positive
    max_depth: Annotated[int, Field(ge=1, le=16)]
    min_child_weight: NonNegative
    subsample: Fraction
    colsample_bytree: Fraction
    reg_lambda: NonNegative
    max_bin: Annotated[int, Field(ge=2, le=1024)]
    n_estimators: Count
    early_stopping_rounds: Count


class LightGBMParams(_Params):
    """Leaf-wise gradient boosting of lightgbm; names are lightgbm's own."""

    learning_rate: Positive
    num_leaves: Annotated[int, Field(ge=2, le=4096)]
    min_data_in_leaf: Count
    feature_fraction: Fraction
    bagging_fraction: Fraction
    lambda_l2: NonNegative
    max_bin: Annotated[int, Field(ge=2, le=1024)]
    n_estimators: Count
    early_stopping_rounds: Count


class CatBoostParams(_Params):
    """Ordered/plain boosting of symmetric trees of catboost; names are catboost's own."""

    learning_rate: Positive
    depth: Annotated[int, Field(ge=1, le=12)]
    l2_leaf_reg: NonNegative
    random_strength: NonNegative
    bagging_temperature: NonNegative
    border_count: Annotated[int, Field(ge=1, le=1024)]
    # Categories that are combined at most; 4 is catboost's own default.
    max_ctr_complexity: Annotated[int, Field(ge=1, le=16)]
    n_estimators: Count
    early_stopping_rounds: Count


Params = NeuralNetParams | XGBoostParams | LightGBMParams | CatBoostParams

PARAMS_TYPES: dict[Family, type[Params]] = {
    "neural_net": NeuralNetParams,
    "xgboost": XGBoostParams,
    "lightgbm": LightGBMParams,
    "catboost": CatBoostParams,
}

SHELL_DEFAULTS: dict[Family, dict[str, Any]] = {
    "neural_net": {
        "hidden_layers": (128, 64),
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "batch_size": 512,
        "epochs": 100,
        "patience": 15,
        "clip_norm": 0.0,
        "optimizer": "adam",
        "batch_mode": "auto",
        "use_leaky_relu": True,
        "normalize_features": True,
        "precision": "float32",
    },
    "xgboost": {
        "learning_rate": 0.1,
        "max_depth": 6,
        "min_child_weight": 1.0,
        "subsample": 1.0,
        "colsample_bytree": 1.0,
        "reg_lambda": 1.0,
        "max_bin": 256,
        "n_estimators": 500,
        "early_stopping_rounds": 30,
    },
    "lightgbm": {
        "learning_rate": 0.1,
        "num_leaves": 31,
        "min_data_in_leaf": 20,
        "feature_fraction": 1.0,
        "bagging_fraction": 1.0,
        "lambda_l2": 0.0,
        "max_bin": 255,
        "n_estimators": 500,
        "early_stopping_rounds": 30,
    },
    "catboost": {
        "learning_rate": 0.1,
        "depth": 6,
        "l2_leaf_reg": 3.0,
        "random_strength": 1.0,
        "bagging_temperature": 1.0,
        "border_count": 254,
        "max_ctr_complexity": 4,
        "n_estimators": 500,
        "early_stopping_rounds": 30,
    },
}


def decode_params(family: Family, record: dict[str, Any]) -> Params:
    """Read a stored parameter record; raises UnknownParameter or pydantic's ValidationError."""
    wanted = PARAMS_TYPES[family]
    for name in record:
        if name not in wanted.model_fields:
            raise UnknownParameter(_unknown(family, name))
    return wanted.model_validate(record)


def complete_params(family: Family, partial: dict[str, Any]) -> Params:
    """Fill the parameters that a person left out of a shell line with SHELL_DEFAULTS."""
    return decode_params(family, {**SHELL_DEFAULTS[family], **partial})


def _unknown(family: Family, name: str) -> str:
    names = list(PARAMS_TYPES[family].model_fields)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"it has {', '.join(names)}"
    return f"{family} has no parameter {name!r}; {hint}"
