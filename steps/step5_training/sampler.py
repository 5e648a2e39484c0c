"""Propose the next trials from the finished ones: a pure function of history, seed and position.

The sampler is made anew for each batch with a seed drawn from (seed, position), and sees the
history in order of position. So the sequence of trials depends on the seed and the batch size
only: not on timing, not on the number of slots, and not on whether the run was interrupted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState, create_trial

from steps.step5_training.families.base import SearchSpace

STARTUP_TRIALS = 10
CANDIDATES = 24


@dataclass(frozen=True, slots=True)
class PastTrial:
    """A finished trial. fold_means: mean R2 over its first 1, 2, ... folds; empty if it failed."""

    values: dict[str, Any]
    fold_means: tuple[float, ...]
    complete: bool


def propose(
    history: Sequence[PastTrial], space: SearchSpace, *, seed: int, count: int
) -> list[dict[str, Any]]:
    """The next `count` trials' values. TPE of Bergstra et al. 2011, multivariate as Falkner 2018.

    Every option is set: the defaults differ between versions of Optuna. Trials of one batch see
    each other as unfinished (constant liar), so they spread.
    """
    position = len(history)
    with warnings.catch_warnings():
        # multivariate and constant_liar are marked experimental in some versions.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS,
            n_ei_candidates=CANDIDATES,
            multivariate=True,
            group=False,
            constant_liar=True,
            seed=int(np.random.SeedSequence([seed, position]).generate_state(1)[0]),
        )
    study = optuna.create_study(
        storage=optuna.storages.InMemoryStorage(), sampler=sampler, direction="maximize"
    )
    for past in history:
        if not past.fold_means:
            continue
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if past.complete else TrialState.PRUNED,
                value=past.fold_means[-1],
                params=past.values,
                distributions=space,
                intermediate_values=dict(enumerate(past.fold_means, start=1)),
            )
        )
    return [dict(study.ask(fixed_distributions=space).params) for _ in range(count)]
