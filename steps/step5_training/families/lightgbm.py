"""lightgbm's search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from gpu.params import LightGBMParams
from steps.step5_training.families.base import FamilySpec, SearchSpace
from steps.step5_training.settings import Settings

# Trials are ranked as well with coarse bins, in about two thirds of the time; what full bins add is
# found by fitting the best trial's folds once more with them (benchmarks/bins.py).
SEARCH_BINS = 63
FULL_BINS = 255


def _search_space(settings: Settings, n_rows: int) -> SearchSpace:
    del settings
    # A leaf needs rows: on small tables more leaves than this only memorise.
    most_leaves = int(min(255, max(16, n_rows // 20)))
    return {
        "learning_rate": FloatDistribution(0.02, 0.3, log=True),
        "num_leaves": IntDistribution(8, most_leaves, log=True),
        "min_data_in_leaf": IntDistribution(5, 200, log=True),
        "feature_fraction": FloatDistribution(0.5, 1.0),
        "bagging_fraction": FloatDistribution(0.5, 1.0),
        "lambda_l2": FloatDistribution(1e-3, 10.0, log=True),
    }


def _complete(values: Mapping[str, Any], settings: Settings) -> LightGBMParams:
    return LightGBMParams(
        **values,
        max_bin=SEARCH_BINS if settings.coarse_bins else FULL_BINS,
        n_estimators=settings.n_estimators,
        early_stopping_rounds=settings.early_stopping_rounds,
    )


SPEC = FamilySpec(
    family="lightgbm",
    search_space=_search_space,
    complete=_complete,
    rounds_param="n_estimators",
    full_resolution={"max_bin": FULL_BINS},
    sources=(
        "LightGBM documentation, Parameters Tuning",
        "Optuna's LightGBMTuner (Ozaki et al.): feature and bagging fractions, leaves, L2",
    ),
)
