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
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from steps.step5_training.families.base import SearchSpace

STARTUP_TRIALS = 10
CANDIDATES = 24
# Trials of a batch that have the shared values in common, and train as one computation.
TOGETHER = 4


@dataclass(frozen=True, slots=True)
class PastTrial:
    """A finished trial. fold_means: mean R2 over its first 1, 2, ... folds; empty if it failed."""

    values: dict[str, Any]
    fold_means: tuple[float, ...]
    complete: bool


def propose(
    history: Sequence[PastTrial],
    space: SearchSpace,
    *,
    seed: int,
    count: int,
    shared: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """The next `count` trials' values. TPE of Bergstra et al. 2011, multivariate as Falkner 2018.

    shared: categorical names whose values each TOGETHER trials of the batch have in common, so that
    they can be trained as one computation. The first of them draws these; the others are drawn
    beside them. Every option is set: the defaults differ between versions of Optuna. Trials of one
    batch see each other as unfinished (constant liar), so they spread.
    """
    with warnings.catch_warnings():
        # multivariate and constant_liar are marked experimental in some versions.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            sampler=_sampler([seed, len(history)]),
            direction="maximize",
        )
        for past in history:
            if past.fold_means:
                study.add_trial(_frozen(past, space))
        drawn: list[dict[str, Any]] = []
        free = study.sampler
        before = len(history) // count * -(-count // TOGETHER)
        for i in range(count):
            group, place = divmod(i, TOGETHER)
            if place == 0:
                starting = len(history) < STARTUP_TRIALS
                fixed = _first_choices(space, seed, before + group, shared) if starting else {}
            else:
                fixed = {name: drawn[i - place][name] for name in shared if name in space}
            study.sampler = optuna.samplers.PartialFixedSampler(fixed, free) if fixed else free
            drawn.append(dict(study.ask(fixed_distributions=space).params))
    return drawn


def _sampler(entropy: Sequence[int]) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(
        n_startup_trials=STARTUP_TRIALS,
        n_ei_candidates=CANDIDATES,
        multivariate=True,
        group=False,
        constant_liar=True,
        seed=int(np.random.SeedSequence(entropy).generate_state(1)[0]),
    )


def _frozen(past: PastTrial, space: SearchSpace) -> FrozenTrial:
    return create_trial(
        state=TrialState.COMPLETE if past.complete else TrialState.PRUNED,
        value=past.fold_means[-1],
        params=past.values,
        distributions=space,
        intermediate_values=dict(enumerate(past.fold_means, start=1)),
    )


def _first_choices(
    space: SearchSpace, seed: int, group: int, shared: Sequence[str]
) -> dict[str, Any]:
    """While the search starts at random, each group takes the next of a shuffled list of choices.

    A group has one choice only, so drawing them independently would repeat some and leave out most.
    """
    chosen = {}
    for i, name in enumerate(shared):
        if isinstance(distribution := space.get(name), CategoricalDistribution):
            order = np.random.default_rng([seed, i]).permutation(len(distribution.choices))
            chosen[name] = distribution.choices[order[group % len(order)]]
    return chosen
