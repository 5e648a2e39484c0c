"""xgboost's search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from gpu.params import XGBoostParams
from steps.step5_training.families.base import FamilySpec, SearchSpace
from steps.step5_training.settings import Settings

# Trials are ranked as well with coarse bins, in about two thirds of the time; what full bins add is
# found by fitting the best trial's folds once more with them (benchmarks/bins.py).
SEARCH_BINS = 64
FULL_BINS = 256


def _search_space(settings: Settings, n_rows: int) -> SearchSpace:
    del settings, n_rows
    return {
        # Early stopping chooses the rounds, so the rate is bounded by what n_estimators can use.
        "learning_rate": FloatDistribution(0.02, 0.3, log=True),
        "max_depth": IntDistribution(3, 10),
        "min_child_weight": FloatDistribution(1.0, 100.0, log=True),
        "subsample": FloatDistribution(0.5, 1.0),
        "colsample_bytree": FloatDistribution(0.5, 1.0),
        "reg_lambda": FloatDistribution(0.1, 10.0, log=True),
    }


def _complete(values: Mapping[str, Any], settings: Settings) -> XGBoostParams:
    return XGBoostParams(
        **values,
        max_bin=SEARCH_BINS if settings.coarse_bins else FULL_BINS,
        n_estimators=settings.n_estimators,
        early_stopping_rounds=settings.early_stopping_rounds,
    )


SPEC = FamilySpec(
    family="xgboost",
    search_space=_search_space,
    complete=_complete,
    rounds_param="n_estimators",
    full_resolution={"max_bin": FULL_BINS},
    sources=(
        "xgboost documentation, Notes on Parameter Tuning",
        "Grinsztajn, Oyallon, Varoquaux 2022, Why do tree-based models still outperform deep "
        "learning on typical tabular data?, appendix A.3",
    ),
)
