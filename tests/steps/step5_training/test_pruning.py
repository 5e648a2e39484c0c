from __future__ import annotations

import numpy as np
import pytest

from gpu.protocol import PruneRule
from gpu.worker.jobs import hopeless
from steps.step5_training.pruning import FEWEST_COMPLETE, prune_rule


def test_there_is_no_rule_before_enough_trials_are_complete():
    assert prune_rule([[0.5, 0.6]] * (FEWEST_COMPLETE - 1)) is None


def test_the_reference_is_the_best_trial_and_sigma_the_noise_around_both_effects():
    rng = np.random.default_rng(0)
    folds = np.array([0.0, 0.1, -0.1, 0.05, 0.2])
    scores = 0.5 + 0.01 * rng.normal(size=(40, 5)) + folds
    rule = prune_rule(scores.tolist())
    assert rule.reference == tuple(scores[np.argmax(scores.mean(axis=1))])
    assert rule.sigma == pytest.approx(0.01, rel=0.3)


def test_wild_failures_do_not_hide_the_noise_near_the_best():
    good = [[0.50, 0.52, 0.51], [0.51, 0.53, 0.50], [0.49, 0.52, 0.52]]
    assert prune_rule([*good, [-9.0, 3.0, -40.0]]).sigma < 0.05


def test_a_trial_far_below_the_best_is_stopped_and_one_near_it_is_not():
    rule = PruneRule(reference=(0.8, 0.8, 0.8), sigma=0.01, factor=1.5)
    assert hopeless(rule, [0.7])
    assert not hopeless(rule, [0.79])
    # The same gap weighs more with every fold that shows it.
    assert hopeless(rule, [0.785, 0.785, 0.785])
    assert not hopeless(rule, [0.785])


def test_a_better_trial_is_never_stopped():
    rule = PruneRule(reference=(0.5, 0.5), sigma=0.0, factor=1.5)
    assert not hopeless(rule, [0.5])
    assert not hopeless(rule, [0.6, 0.6])


def test_the_winner_stays_while_a_third_of_the_folds_is_left_out():
    """A search of 20 trials whose quality and noise are like those of a real table."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        quality = 0.8 - rng.exponential(0.03, size=(20, 1))
        scores = quality + 0.01 * rng.normal(size=5) + 0.004 * rng.normal(size=(20, 5))
        fitted, complete = 0, []
        for start in range(0, 20, 4):
            rule = prune_rule([list(trial) for trial in complete])
            for trial in scores[start : start + 4]:
                stop = next((k for k in range(1, 5) if rule and hopeless(rule, list(trial[:k]))), 5)
                fitted += stop
                if stop == 5:
                    complete.append(trial)
        assert max(np.mean(trial) for trial in complete) == max(scores.mean(axis=1))
        assert fitted < 75
