"""catboost's search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from gpu.params import CatBoostParams
from steps.step5_training.families.base import FamilySpec, SearchSpace
from steps.step5_training.settings import Settings

# Trials are ranked as well with coarse bins, in about two thirds of the time; what full bins add is
# found by fitting the best trial's folds once more with them (benchmarks/bins.py).
SEARCH_BINS = 63
FULL_BINS = 254
# So many categories are combined in one feature. In the search none are, which takes about half of
# the time on a table with categories (benchmarks/bins.py); 4 is catboost's default.
SEARCH_COMBINED = 1
FULL_COMBINED = 4


def _search_space(settings: Settings, n_rows: int) -> SearchSpace:
    del settings, n_rows
    return {
        "learning_rate": FloatDistribution(0.03, 0.3, log=True),
        # The authors advise 4 to 10, with 6 to 8 most often best; each level doubles the leaves.
        "depth": IntDistribution(4, 8),
        "l2_leaf_reg": FloatDistribution(1.0, 30.0, log=True),
        "random_strength": FloatDistribution(0.1, 10.0, log=True),
        "bagging_temperature": FloatDistribution(0.0, 1.0),
    }


def _complete(values: Mapping[str, Any], settings: Settings) -> CatBoostParams:
    return CatBoostParams(
        **values,
        border_count=SEARCH_BINS if settings.coarse_bins else FULL_BINS,
        max_ctr_complexity=SEARCH_COMBINED if settings.coarse_bins else FULL_COMBINED,
        n_estimators=settings.n_estimators,
        early_stopping_rounds=settings.early_stopping_rounds,
    )


SPEC = FamilySpec(
    family="catboost",
    search_space=_search_space,
    complete=_complete,
    rounds_param="n_estimators",
    full_resolution={"border_count": FULL_BINS, "max_ctr_complexity": FULL_COMBINED},
    sources=(
        "CatBoost documentation, Parameter tuning",
        "Prokhorenkova et al. 2018, CatBoost: unbiased boosting with categorical features",
    ),
)
