"""Ways (b) and (c): one process, study.optimize family after family.

`python -m benchmarks.plain_loop TASK.json OUTCOME.json`; see docs/benchmarks.md.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from sklearn.metrics import r2_score

from benchmarks.plain_models import PlainModel, Rows, fit_catboost, fit_lightgbm, fit_xgboost
from benchmarks.work import FamilyOutcome, Outcome, PlainTask
from gpu.params import CatBoostParams, Family, LightGBMParams, NeuralNetParams, Params
from gpu.worker.trainers.base import Columns
from steps.step5_training.families import SPECS
from steps.step5_training.families.base import SearchSpace
from steps.step5_training.folds import draw_folds
from steps.step5_training.settings import read_settings
from steps.tables import Table, read_table

_MODULES: dict[Family, str] = {
    "neural_net": "benchmarks.plain_network",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
}


class Bench:
    """One table with its folds, and the trials of one family after the other."""

    def __init__(self, task: PlainTask) -> None:
        self._task = task
        self._settings = read_settings(task.work.params(pruning=False, coarse_bins=False))
        table = read_table(Path(task.work.table), self._settings.table_options())
        self._splits = draw_folds(
            table.n_rows,
            split="random",
            n_folds=task.work.folds,
            holdout_fraction=self._settings.holdout_fraction,
            seed=task.work.seed,
        )
        self._table = table
        self._columns = Columns(table.kinds, table.levels)

    def run_family(self, family: Family) -> FamilyOutcome:
        """Search, refit the best trial, score the holdout."""
        spec, work, splits = SPECS[family], self._task.work, self._splits
        smallest_fold = min(len(fold.train_rows) for fold in splits.folds)
        space = spec.search_space(self._settings, smallest_fold)
        X, y = self._inputs(family), self._table.y

        def objective(trial: optuna.Trial) -> float:
            params = spec.complete(_suggest(trial, space), self._settings)
            scores, rounds = [], []
            for fold in splits.folds[: self._task.fit_folds]:
                train, val = fold.train_rows, fold.val_rows
                rows = Rows(_take(X, train), y[train], _take(X, val), y[val])
                # The product's own seeds, so that the fits are the same.
                model = self._fit(params, rows, work.seed + fold.index, None)
                scores.append(r2_score(rows.y_val, model.predict(rows.X_val)))
                rounds.append(model.best_round)
            trial.set_user_attr("rounds", rounds)
            return float(np.mean(scores))

        sampler = optuna.samplers.TPESampler(seed=work.seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for values in () if self._task.draws is None else self._task.draws[family]:
            study.enqueue_trial(values)
        importlib.import_module(_MODULES[family])  # before the clock of the trials starts
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        # A network that diverges predicts NaN, which r2_score refuses: that trial failed.
        study.optimize(
            objective, n_trials=work.trials, n_jobs=self._task.n_jobs, catch=(ValueError,)
        )
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s

        best = study.best_trial
        rounds = max(1, round(statistics.median(best.user_attrs["rounds"])))
        search, holdout = splits.search_rows, splits.holdout_rows
        params = spec.complete(best.params, self._settings)
        rows = Rows(_take(X, search), y[search])
        model = self._fit(params, rows, work.seed, rounds)
        done = study.get_trials(states=(TrialState.COMPLETE,))
        return FamilyOutcome(
            best_cv_r2=study.best_value,
            holdout_r2=float(r2_score(y[holdout], model.predict(_take(X, holdout)))),
            trials_done=len(done),
            fold_fits=sum(len(trial.user_attrs["rounds"]) for trial in done),
            draws=tuple(trial.params for trial in study.get_trials()),
            search_s=wall_s,
            search_cpu_s=cpu_s,
        )

    def _inputs(self, family: Family) -> Any:
        """The features as people give them to the library: category columns where there are any.

        A table without categories stays a float32 matrix, the cheapest to cut rows from.
        """
        if family == "neural_net" or not self._columns.categorical:
            return self._table.X
        # catboost wants a missing category to be a level.
        return _frame(self._table, missing_is_level=family == "catboost")

    def _fit(self, params: Params, rows: Rows, seed: int, rounds: int | None) -> PlainModel:
        match params:
            case NeuralNetParams():
                from benchmarks.plain_network import fit_network

                return fit_network(params, rows, self._columns, seed=seed, epochs=rounds)
            case LightGBMParams():
                return fit_lightgbm(params, rows, seed=seed, rounds=rounds)
            case CatBoostParams():
                names = tuple(self._table.feature_names[i] for i in self._columns.categorical)
                return fit_catboost(params, rows, names, seed=seed, rounds=rounds)
            case _:
                return fit_xgboost(params, rows, seed=seed, rounds=rounds)


def _suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, wanted in space.items():
        match wanted:
            case FloatDistribution():
                values[name] = trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)
            case IntDistribution():
                values[name] = trial.suggest_int(name, wanted.low, wanted.high, log=wanted.log)
            case CategoricalDistribution():
                values[name] = trial.suggest_categorical(name, wanted.choices)
            case _:
                raise TypeError(f"{name}: no suggestion for {type(wanted).__name__}")
    return values


def _frame(table: Table, *, missing_is_level: bool) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for i, name in enumerate(table.feature_names):
        column = table.X[:, i]
        if table.kinds[i] != "categorical":
            columns[name] = column
            continue
        levels = [str(code) for code in range(table.levels[i])]
        codes = np.where(np.isfinite(column), column, -1).astype(np.int64)
        if missing_is_level:
            codes[codes < 0] = len(levels)
            levels.append("")
        columns[name] = pd.Categorical.from_codes(codes, categories=levels)
    return pd.DataFrame(columns)


def _take(X: Any, rows: np.ndarray) -> Any:
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def main() -> None:
    """Read the task, run its families, write the outcome."""
    task_path, outcome_path = (Path(argument) for argument in sys.argv[1:])
    task = PlainTask.model_validate_json(task_path.read_bytes())
    bench = Bench(task)
    outcome = Outcome(families={family: bench.run_family(family) for family in task.work.families})
    outcome_path.write_text(outcome.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
