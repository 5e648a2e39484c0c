"""A study's trials one by one, and which parameters its score depended on."""

from __future__ import annotations

import time

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from gpu.protocol import FoldScore
from steps.step5_training.diagnosis.trial_history import (
    BEST_ROWS,
    MOST_ROWS,
    parameter_importance,
    thinned_note,
    trial_rows,
)
from steps.step5_training.trials import Finished

SPACE = {
    "learning_rate": FloatDistribution(0.01, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "layers": CategoricalDistribution(("64", "128")),
}


def trial(position, r2=None, state=TrialState.COMPLETE, failure="", values=None, folds=3):
    scores = tuple(
        FoldScore(fold=k, r2=r2, val_mse=1, train_mse=1, best_round=1, rounds_run=2, duration_s=0.1)
        for k in range(folds if r2 is not None else 0)
    )
    return Finished(
        position=position,
        state=state,
        values=values or {"learning_rate": 0.1, "dropout": 0.1, "layers": "64"},
        record={},
        scores=scores,
        wall_s=1.5,
        failure=failure,
    )


def searched(n, seed=0):
    """Trials whose score depends on the learning rate, on nothing else."""
    rng = np.random.default_rng(seed)
    trials = []
    for position in range(n):
        values = {
            "learning_rate": float(10 ** rng.uniform(-2, 0)),
            "dropout": float(rng.uniform(0, 0.5)),
            "layers": str(rng.choice(["64", "128"])),
        }
        r2 = -abs(np.log10(values["learning_rate"]) + 1)
        trials.append(trial(position, float(r2), values=values))
    return trials


def test_each_trial_is_a_row_with_its_state_and_only_complete_ones_have_a_score():
    trials = [
        trial(0, 0.5),
        trial(1, 0.1, TrialState.PRUNED, folds=1),
        trial(2, None, TrialState.FAIL, "diverged: loss is nan\n" + "line\n" * 1000),
    ]
    rows = trial_rows(trials)
    assert [(row.position, row.state, row.score, row.folds) for row in rows] == [
        (0, "complete", 0.5, 3),
        (1, "pruned", None, 1),
        (2, "failed", None, 0),
    ]
    assert rows[2].failure == "diverged: loss is nan"
    assert rows[0].params == {"learning_rate": 0.1, "dropout": 0.1, "layers": "64"}
    assert rows[0].duration_s == 1.5


def test_of_a_long_search_the_best_trials_and_others_in_even_steps_are_shown_and_it_is_said():
    trials = searched(3000)
    rows = trial_rows(trials)
    assert len(rows) == MOST_ROWS
    positions = [row.position for row in rows]
    assert positions == sorted(set(positions))
    best = sorted(trials, key=lambda t: -t.mean_r2)[:BEST_ROWS]
    assert {t.position for t in best} <= set(positions)
    (note,) = thinned_note({"xgboost": 3000, "catboost": 50})
    assert "xgboost 3000" in note.message
    assert "catboost" not in note.message
    assert thinned_note({"xgboost": 50}) == []


def test_the_parameter_that_the_score_depends_on_is_the_most_important_one():
    found = parameter_importance(searched(50), SPACE)
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"] > 0.5
    assert sum(found.values()) == pytest.approx(1.0)
    assert set(found) == set(SPACE)
    assert found == parameter_importance(searched(50), SPACE)


def test_few_trials_tell_nothing():
    assert parameter_importance(searched(9), SPACE) == {}
    assert parameter_importance([], SPACE) == {}
    failed = [trial(i, None, TrialState.FAIL, "x: y") for i in range(30)]
    assert parameter_importance(failed, SPACE) == {}


def test_trials_that_are_all_alike_tell_nothing():
    assert parameter_importance([trial(i, 0.5) for i in range(20)], SPACE) == {}


def test_a_space_of_one_value_tells_nothing():
    space = {"layers": CategoricalDistribution(("64",))}
    trials = [trial(i, i / 20, values={"layers": "64"}) for i in range(20)]
    assert parameter_importance(trials, space) == {}


def test_the_importance_of_a_long_search_is_cheap():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = searched(1000)
    started = time.process_time()
    assert parameter_importance(trials, SPACE)
    assert time.process_time() - started < 2.0
