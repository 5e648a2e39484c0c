"""Whole searches in which more or fewer folds rank the trials.

A replay cannot tell: what is asked next follows from the ranking.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.tree_tables import TreeTable, complete
from gpu.params import Family
from gpu.worker.jobs import hopeless
from gpu.worker.metrics import r2_score
from gpu.worker.trainers import load_trainer
from steps.step5_training.families import SPECS
from steps.step5_training.finalists import finalist_count
from steps.step5_training.pruning import prune_rule
from steps.step5_training.sampler import PastTrial, propose
from steps.step5_training.settings import TRIALS_PER_ASK, Settings

ROUNDS = 300


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found and cost. r2: of the best trial, mean over all folds. cpu_s: of fits."""

    r2: float
    folds: int
    cpu_s: float


class Fits:
    """Fits of a family on a table, each made once however many searches ask for it."""

    def __init__(self, table: TreeTable, family: Family) -> None:
        self._table, self._family = table, family
        self._trainer = load_trainer(family, "cpu", 1)
        self._known: dict[str, tuple[float, float]] = {}

    def fit(self, values: dict[str, Any], fold: int) -> tuple[float, float]:
        """R2 on the fold, and CPU seconds."""
        name = json.dumps([values, fold], sort_keys=True)
        if name not in self._known:
            started = time.process_time()
            params = complete(self._family, values, rounds=ROUNDS, resolution=None)
            split = self._table.fold(fold)
            fitted = self._trainer.fit(split, params, seed=fold, rounds=None)
            r2 = r2_score(split.y_val, fitted.predict(split.X_val))
            self._known[name] = r2, time.process_time() - started
        return self._known[name]


def search(
    table: TreeTable, family: Family, *, trials: int, seed: int, folds: int, fits: Fits
) -> Found:
    """A search as the product makes it, in which `folds` folds rank the trials."""
    space = SPECS[family].search_space(Settings(n_estimators=ROUNDS), table.fold_rows)
    scores: list[list[float]] = []
    values: list[dict[str, Any]] = []
    cpu_s, fitted = 0.0, 0

    def fit(trial: int, fold: int) -> float:
        nonlocal cpu_s, fitted
        r2, seconds = fits.fit(values[trial], fold)
        cpu_s, fitted = cpu_s + seconds, fitted + 1
        return r2

    while len(scores) < trials:
        history = [
            PastTrial(v, tuple(np.cumsum(s) / np.arange(1, len(s) + 1)), complete=len(s) == folds)
            for v, s in zip(values, scores, strict=True)
        ]
        rule = prune_rule([s for s in scores if len(s) == folds])
        values += propose(history, space, seed=seed, count=TRIALS_PER_ASK)
        for trial in range(len(scores), len(values)):
            own: list[float] = []
            while len(own) < folds and not (own and rule and hopeless(rule, own)):
                own.append(fit(trial, len(own)))
            scores.append(own)
    ranked = [i for i, own in enumerate(scores) if len(own) == folds]
    ranked.sort(key=lambda i: -statistics.fmean(scores[i]))
    complete = [
        [*scores[i], *(fit(i, k) for k in range(folds, len(table.splits.folds)))]
        for i in ranked[: finalist_count(trials)]
    ]
    return Found(max(map(statistics.fmean, complete)), fitted, cpu_s)
