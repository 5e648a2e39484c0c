"""Tell a study's search: its trials one by one, and which parameters its score depended on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState, create_trial

from steps.contract import Note
from steps.contract.diagnostics import TrialRow
from steps.step5_training.trials import Finished

# Of a longer search the best trials and every n-th of the others are shown.
MOST_ROWS, BEST_ROWS = 1000, 200
# Below this number the best trials are too few to tell where they lie.
FEWEST_TRIALS = 10
_BEST_FEW = 5
_FAILURE_CHARACTERS = 300
_STATES: dict[TrialState, Literal["complete", "pruned", "failed"]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def trial_rows(trials: Sequence[Finished], folds: int) -> tuple[TrialRow, ...]:
    """A row a trial, in order; of over 1,000 the best 200 and evenly spaced others.

    folds: how many of the first ones rank the trials.
    """
    shown = trials
    if len(trials) > MOST_ROWS:
        by_score = sorted(trials, key=lambda t: (not _whole(t), -_rank(t, folds), t.position))
        best, others = by_score[:BEST_ROWS], sorted(by_score[BEST_ROWS:], key=lambda t: t.position)
        room = MOST_ROWS - BEST_ROWS
        spaced = [others[i * len(others) // room] for i in range(room)]
        shown = sorted([*best, *spaced], key=lambda t: t.position)
    return tuple(_row(trial, folds) for trial in shown)


def thinned_note(trials: Mapping[str, int]) -> list[Note]:
    """Say of which families not every trial is shown. trials: how many there are, by family."""
    longer = ", ".join(f"{name} {count}" for name, count in trials.items() if count > MOST_ROWS)
    if not longer:
        return []
    message = (
        f"{MOST_ROWS} trials a family are shown: the best {BEST_ROWS} and evenly spaced others "
        f"({longer}); the studies hold all"
    )
    return [Note(level="info", code="trials_shown", message=message)]


def parameter_importance(
    trials: Sequence[Finished], space: Mapping[str, BaseDistribution], folds: int
) -> dict[str, float]:
    """Shares by searched parameter, largest first, that sum to 1; empty for under ten trials.

    How much the distribution of the best trials (a tenth, but five at least) differs from that of
    all that have the first `folds` folds (PED-ANOVA: Watanabe, Bansal, Hutter 2023). Empty too
    where there is none.
    """
    ranked = [trial for trial in trials if len(trial.scores) >= folds]
    if len(ranked) < FEWEST_TRIALS:
        return {}
    # What people see in their storage stays as it is: the study is rebuilt in memory.
    study = optuna.create_study(
        direction="maximize", storage=optuna.storages.InMemoryStorage(), study_name="importance"
    )
    study.add_trials(
        create_trial(params=trial.values, distributions=dict(space), value=trial.mean_of(folds))
        for trial in ranked
    )
    # Half of what this step would take to start: it brings scikit-learn and pandas.
    from optuna.importance import PedAnovaImportanceEvaluator

    evaluator = PedAnovaImportanceEvaluator(
        target_quantile=max(0.1, min(0.5, _BEST_FEW / len(ranked)))
    )
    with warnings.catch_warnings():
        # Where the quantiles select the same trials: the zeros below say it.
        warnings.simplefilter("ignore", UserWarning)
        found = evaluator.evaluate(study)
    total = sum(found.values())
    if not math.isfinite(total) or total <= 0:
        return {}
    return {
        name: value / total for name, value in sorted(found.items(), key=lambda p: (-p[1], p[0]))
    }


def _whole(trial: Finished) -> bool:
    return trial.state is TrialState.COMPLETE


def _rank(trial: Finished, folds: int) -> float:
    return trial.mean_of(folds) if len(trial.scores) >= folds else float("-inf")


def _row(trial: Finished, folds: int) -> TrialRow:
    state = _STATES[trial.state]
    return TrialRow(
        position=trial.position,
        state=state,
        score=trial.mean_r2 if state == "complete" else None,
        ranked=trial.mean_of(folds) if len(trial.scores) >= folds else None,
        folds=len(trial.scores),
        duration_s=trial.wall_s,
        params=trial.values,
        failure=trial.failure.partition("\n")[0][:_FAILURE_CHARACTERS],
    )
