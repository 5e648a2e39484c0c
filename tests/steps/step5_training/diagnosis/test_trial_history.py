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

# Of the three folds, so many rank the trials.
RANKING = 2
SPACE = {
    "learning_rate": FloatDistribution(0.01, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
    "layers": CategoricalDistribution(("64", "128")),
}


def trial(position, r2=None, state=TrialState.COMPLETE, failure="", values=None, folds=3):
    """r2: the same on each fold, or one a fold, or None without scores."""
    each = r2 if isinstance(r2, tuple) else () if r2 is None else (r2,) * folds
    scores = tuple(
        FoldScore(fold=k, r2=r2, val_mse=1, train_mse=1, best_round=1, rounds_run=2, duration_s=0.1)
        for k, r2 in enumerate(each)
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


def searched(n, seed=0, state=TrialState.COMPLETE, folds=3):
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
        trials.append(trial(position, float(r2), state, values=values, folds=folds))
    return trials


def test_each_trial_is_a_row_with_its_state_and_only_complete_ones_have_a_score():
    trials = [
        trial(0, 0.5),
        trial(1, 0.1, TrialState.PRUNED, folds=1),
        trial(2, None, TrialState.FAIL, "diverged: loss is nan\n" + "line\n" * 1000),
    ]
    rows = trial_rows(trials, RANKING)
    assert [(row.position, row.state, row.score, row.folds) for row in rows] == [
        (0, "complete", 0.5, 3),
        (1, "pruned", None, 1),
        (2, "failed", None, 0),
    ]
    assert rows[2].failure == "diverged: loss is nan"
    assert rows[0].params == {"learning_rate": 0.1, "dropout": 0.1, "layers": "64"}
    assert rows[0].duration_s == 1.5


def test_a_stopped_trial_with_its_ranking_folds_is_ranked_but_has_no_score():
    trials = [
        trial(0, (0.5, 0.7, 0.9)),
        trial(1, (0.2, 0.4), TrialState.PRUNED),
        trial(2, (0.9,), TrialState.PRUNED),
        trial(3, None, TrialState.FAIL, "oom: no memory"),
    ]
    rows = trial_rows(trials, RANKING)
    assert [row.ranked for row in rows] == [pytest.approx(0.6), pytest.approx(0.3), None, None]
    assert [row.score for row in rows] == [pytest.approx(0.7), None, None, None]


@pytest.mark.parametrize(
    ("state", "folds"), [(TrialState.COMPLETE, 3), (TrialState.PRUNED, RANKING)]
)
def test_of_a_long_search_the_best_trials_and_others_in_even_steps_are_shown_and_it_is_said(
    state, folds
):
    trials = searched(3000, state=state, folds=folds)
    rows = trial_rows(trials, RANKING)
    assert len(rows) == MOST_ROWS
    positions = [row.position for row in rows]
    assert positions == sorted(set(positions))
    best = sorted(trials, key=lambda t: -t.mean_r2)[:BEST_ROWS]
    assert {t.position for t in best} <= set(positions)
    (note,) = thinned_note({"xgboost": 3000, "catboost": 50})
    assert "xgboost 3000" in note.message
    assert "catboost" not in note.message
    assert thinned_note({"xgboost": 50}) == []


def test_of_a_long_search_trials_count_among_the_best_by_their_ranking_folds_alone():
    # Half of them end after one good fold, and the third fold turns the order of the others round.
    trials = [
        trial(i, (2.0,), TrialState.PRUNED) if i % 2 else trial(i, (i / 3000, i / 3000, -float(i)))
        for i in range(3000)
    ]
    shown = {row.position for row in trial_rows(trials, RANKING)}
    assert {2 * i for i in range(1500 - BEST_ROWS, 1500)} <= shown


def test_the_parameter_that_the_score_depends_on_is_the_most_important_one():
    found = parameter_importance(searched(50), SPACE, RANKING)
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"] > 0.5
    assert sum(found.values()) == pytest.approx(1.0)
    assert set(found) == set(SPACE)
    assert found == parameter_importance(searched(50), SPACE, RANKING)


def test_every_trial_with_its_ranking_folds_counts_for_the_importance_and_no_other():
    whole = parameter_importance(searched(50), SPACE, RANKING)
    stopped = searched(50, state=TrialState.PRUNED, folds=RANKING)
    assert parameter_importance(stopped, SPACE, RANKING) == whole
    early = searched(50, seed=1, state=TrialState.PRUNED, folds=1)
    assert parameter_importance([*stopped, *early], SPACE, RANKING) == whole
    assert parameter_importance(early, SPACE, RANKING) == {}


def test_folds_beyond_the_ranking_ones_do_not_change_the_importance():
    stopped = searched(50, state=TrialState.PRUNED, folds=RANKING)
    finalists = [
        trial(t.position, (*(s.r2 for s in t.scores), 9.0 - t.position), values=t.values)
        for t in stopped[:20]
    ]
    assert parameter_importance([*finalists, *stopped[20:]], SPACE, RANKING) == (
        parameter_importance(stopped, SPACE, RANKING)
    )


def test_few_trials_tell_nothing():
    assert parameter_importance(searched(9), SPACE, RANKING) == {}
    assert parameter_importance([], SPACE, RANKING) == {}
    failed = [trial(i, None, TrialState.FAIL, "x: y") for i in range(30)]
    assert parameter_importance(failed, SPACE, RANKING) == {}


def test_trials_that_are_all_alike_tell_nothing():
    alike = [trial(i, 0.5) for i in range(20)]
    assert parameter_importance(alike, SPACE, RANKING) == {}


def test_a_space_of_one_value_tells_nothing():
    space = {"layers": CategoricalDistribution(("64",))}
    trials = [trial(i, i / 20, values={"layers": "64"}) for i in range(20)]
    assert parameter_importance(trials, space, RANKING) == {}


def test_the_importance_of_a_long_search_is_cheap():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = searched(1000)
    started = time.process_time()
    assert parameter_importance(trials, SPACE, RANKING)
    assert time.process_time() - started < 2.0
