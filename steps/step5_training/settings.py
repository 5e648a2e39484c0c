"""Step 5's parameters, checked. The manifest declares the same names; a test keeps them in step."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gpu.params import FAMILIES, Family, Precision
from steps.policies import validation_message
from steps.tables import TableOptions

OVERALL = "(the file)"
# Trials of a family that are drawn at once.
TRIALS_PER_ASK = 4
MISSING_VALUES = ("", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL")


class SettingsError(ValueError):
    """A parameter of Step 5 that cannot be used; the message names it."""


class Settings(BaseModel):
    """All parameters of Step 5; agent_manifests/reinforcement.json describes each."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    survivors: str | None = None
    engine_config: str | None = None
    target: str | None = None
    compare_models: bool = True
    model_type: Family = "lightgbm"
    trials: Annotated[int, Field(ge=1)] = 50
    trials_per_ask: Annotated[int, Field(ge=1, le=256)] = TRIALS_PER_ASK
    k_folds: Annotated[int, Field(ge=2)] = 5
    holdout_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    split: Literal["random", "time", "group"] = "random"
    time_column: str | None = None
    group_column: str | None = None
    categorical_features: tuple[str, ...] = ()
    id_columns: tuple[str, ...] = ()
    exclude_features: tuple[str, ...] = ()
    keep_features: tuple[str, ...] = ()
    missing_values: tuple[str, ...] = MISSING_VALUES
    seed: Annotated[int, Field(ge=0)] = 0
    resume: bool = False
    study_storage: str = "sqlite"
    time_budget_minutes: Annotated[float, Field(gt=0)] | None = None
    pruning: bool = True
    coarse_bins: bool = True
    slots: Annotated[int, Field(ge=0)] = 0
    persistent_workers: bool = True
    tree_parallel_workers: Annotated[int, Field(ge=0)] = 0
    n_concurrent_nn: Annotated[int, Field(ge=0)] = 0
    epochs: Annotated[int, Field(ge=1)] = 60
    patience: Annotated[int, Field(ge=1)] = 10
    clip_norm: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    batch_mode: Literal["auto", "full", "mini"] = "auto"
    optimizer: Literal["adam", "adamw"] = "adamw"
    normalize_features: bool = True
    use_leaky_relu: bool = True
    nn_precision: Precision = "float32"
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    max_learning_rate: Annotated[float, Field(ge=1e-6, le=1)] | None = None
    n_estimators: Annotated[int, Field(ge=1)] = 500
    early_stopping_rounds: Annotated[int, Field(ge=1)] = 30

    @model_validator(mode="after")
    def _split_has_its_column(self) -> Self:
        if self.split == "group" and self.group_column is None:
            raise ValueError('split "group" needs group_column')
        if self.group_column is not None and self.split != "group":
            raise ValueError('group_column is used by split "group" only')
        if self.time_column is not None and self.split != "time":
            raise ValueError('time_column is used by split "time" only')
        return self

    @property
    def families(self) -> tuple[Family, ...]:
        """The families asked for."""
        return FAMILIES if self.compare_models else (self.model_type,)

    def table_options(self) -> TableOptions:
        """How the table is to be read."""
        return TableOptions(
            target=self.target,
            categorical_features=self.categorical_features,
            id_columns=self.id_columns,
            exclude_features=self.exclude_features,
            keep_features=self.keep_features,
            missing_values=self.missing_values,
            time_column=self.time_column,
            group_column=self.group_column,
        )


def read_settings(params: dict[str, Any]) -> Settings:
    """Check a request's parameters; raises SettingsError."""
    try:
        return Settings.model_validate(params)
    except ValidationError as error:
        message = validation_message(error)
        if message.startswith(OVERALL):
            # A rule between parameters: the values of all of them say nothing.
            message = str(error.errors()[0]["ctx"]["error"])
        raise SettingsError(message) from None
