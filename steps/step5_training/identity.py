"""What makes two runs' trials comparable, so that results are never mixed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from optuna.distributions import distribution_to_json

from steps.files import sha256_text
from steps.step5_training.families.base import FamilySpec, SearchSpace
from steps.step5_training.settings import Settings


@dataclass(frozen=True, slots=True)
class Identity:
    """What must be equal for two runs' trials to be comparable; every part is a hash or number."""

    table: str
    folds: str
    search_space: str
    seed: int
    trials_per_ask: int

    def digest(self) -> str:
        """Twelve hexadecimal digits for the study's name."""
        return sha256_text(json.dumps(self.parts(), sort_keys=True))[:12]

    def parts(self) -> dict[str, Any]:
        """As stored with the study, to say later what differs."""
        return {
            "table": self.table,
            "folds": self.folds,
            "search space": self.search_space,
            "seed": self.seed,
            "trials_per_ask": self.trials_per_ask,
        }


def search_identity(
    spec: FamilySpec, space: SearchSpace, settings: Settings, table: str, folds: str
) -> Identity:
    """The identity of a family's study. The fixed parameters are part of the search space."""
    fixed = settings.model_dump(
        include={"epochs", "patience", "clip_norm", "batch_mode", "optimizer"}
        | {
            "normalize_features",
            "use_leaky_relu",
            "nn_precision",
            "dropout",
            "n_estimators",
            "early_stopping_rounds",
            "pruning",
            "coarse_bins",
        },
        mode="json",
    )
    described = {name: distribution_to_json(d) for name, d in sorted(space.items())}
    text = json.dumps([spec.family, described, fixed, spec.shared], sort_keys=True)
    space_hash = sha256_text(text)[:16]
    return Identity(table, folds, space_hash, settings.seed, settings.trials_per_ask)
