"""The rule that ships, held to recorded searches: what it saves and what it loses."""

from __future__ import annotations

import json
import statistics

import numpy as np
import pytest

from benchmarks.prune_rules import SEARCHES, replay, with_finalists

ORDERS = 5


@pytest.fixture(scope="module")
def searches():
    """By name; as asked, and in some other orders."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(SEARCHES.glob("*.json"))}
    assert len(found) >= 30
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


def test_the_rule_saves_two_fifths_of_the_fits(searches):
    runs = [replay(with_finalists, scores, range(20)) for scores in searches.values()]
    assert sum(run.folds for run in runs) / sum(run.of for run in runs) < 0.6


def test_another_winner_is_rare_and_as_good_within_the_noise(searches):
    changed, lost = [], []
    for scores in searches.values():
        rng = np.random.default_rng(0)
        orders = [list(range(20)), *(rng.permutation(20).tolist() for _ in range(ORDERS))]
        for order in orders:
            run = replay(with_finalists, scores, order)
            changed.append(run.lost > 0)
            lost.append(run.lost / noise(scores))
    assert statistics.fmean(changed) < 0.05
    assert max(lost) < 1.0
