"""The rule that ships, held to recorded searches: what it saves and what it loses."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest

from benchmarks.prune_rules import SEARCHES, replay, with_finalists

ORDERS = 5


# Validation rows of a fold, with which two folds of five rank the trials, or one.
RANKED_BY = {2: 1280, 1: 3000}


@pytest.fixture(scope="module")
def searches():
    """By name; recorded with every fold fitted."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(SEARCHES.glob("*.json"))}
    assert len(found) >= 16
    return found


def noise(scores):
    """The standard error of the difference of two trials' means, from the residuals of trial and
    fold."""
    table = np.array(scores)
    residuals = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    trials, folds = table.shape
    variance = float((residuals**2).sum()) / ((trials - 1) * (folds - 1))
    return (2 * variance / folds) ** 0.5


def test_every_search_is_whole(searches):
    for name, scores in searches.items():
        assert [len(trial) for trial in scores] == [5] * 20, name


@pytest.mark.parametrize(("folds", "share"), [(2, 0.55), (1, 0.45)])
def test_the_rule_saves_the_share_of_the_fits_that_it_is_said_to(searches, folds, share):
    runs = [replay(shipped(folds), scores, range(20)) for scores in searches.values()]
    assert sum(run.folds for run in runs) / sum(run.of for run in runs) < share


@pytest.mark.parametrize("folds", [2, 1])
def test_another_winner_is_rare_and_as_good_within_the_noise(searches, folds):
    changed, lost = [], []
    for scores in searches.values():
        rng = np.random.default_rng(0)
        orders = [list(range(20)), *(rng.permutation(20).tolist() for _ in range(ORDERS))]
        for order in orders:
            run = replay(shipped(folds), scores, order)
            changed.append(run.lost > 0)
            lost.append(run.lost / noise(scores))
    assert statistics.fmean(changed) < 0.05
    assert max(lost) < 1.0


def shipped(folds):
    return lambda scores: with_finalists(scores, RANKED_BY[folds])
