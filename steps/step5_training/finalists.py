"""Which trials are worth all folds: successive halving over the folds of cross-validation.

The search ranks its trials by their first folds; the best few then go on to the others (Jamieson
and Talwalkar 2016, with folds as the resource). What it saves and what it may lose was measured on
recorded searches (benchmarks/prune_rules.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from steps.step5_training.settings import Settings
from steps.step5_training.trials import Finished

# Of the folds, so many rank the trials; of the trials, so many go on.
RANKING_SHARE = 0.4
FEWEST_RANKING_FOLDS = 2
# With so many validation rows one fold ranks as well as more of fewer rows do.
RANKING_ROWS = 3000
FINALIST_SHARE = 0.3
FEWEST_FINALISTS = 4
# Their predictions are kept meanwhile, which is disk.
MOST_FINALISTS = 64


def finalist_count(trials: int) -> int:
    """How many of so many trials are fitted on all folds: three in ten, but four at least."""
    return min(MOST_FINALISTS, max(FEWEST_FINALISTS, math.ceil(FINALIST_SHARE * trials)))


def ranking_folds(settings: Settings, val_rows: int) -> int:
    """How many of the first folds rank the trials: all where pruning is switched off.

    All, too, where the split is by time: there the first folds train on the oldest and fewest rows.
    val_rows: of the smallest fold.
    """
    folds = settings.k_folds
    if not settings.pruning or settings.split == "time":
        return folds
    most = min(folds, max(FEWEST_RANKING_FOLDS, math.ceil(RANKING_SHARE * folds)))
    return min(most, math.ceil(RANKING_ROWS / max(1, val_rows)))


def search_folds(settings: Settings, val_rows: int) -> int:
    """How many folds a trial of the search fits: all where every trial will be a finalist."""
    if settings.trials <= FEWEST_FINALISTS:
        return settings.k_folds
    return ranking_folds(settings, val_rows)


def ranking(searched: Iterable[Finished], folds: int) -> list[Finished]:
    """Trials that have the first `folds` folds, by their mean R2 over these, best first."""
    ranked = [t for t in searched if len(t.scores) >= folds]
    return sorted(ranked, key=lambda t: (-t.mean_of(folds), t.position))
