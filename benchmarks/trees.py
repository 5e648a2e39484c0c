"""How much of the machine the tree families use: the same trials five ways, against pure fitting.

`python -m benchmarks.trees`; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import markdown
from benchmarks.tables import ROOT
from benchmarks.tree_tables import TREES, complete, draw_trials, lay_out_numeric, open_tree_table
from benchmarks.tree_work import Outcome, Task, Trial
from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.machine import usable_cores
from gpu.host.pool import JobEnded, Pool
from gpu.params import Family, decode_params
from gpu.protocol import TrainTrial, TrialDone

ROUNDS = 300
FOLDS = 5


def pure(task: Task) -> Outcome:
    """One process, one thread, nothing but fits counted; data binned once and kept."""
    from gpu.worker.data import SharedTable
    from gpu.worker.metrics import r2_score
    from gpu.worker.trainers import load_trainer

    table = SharedTable(Path(task.table))
    trainers = {family: load_trainer(family, "cpu", 1) for family in TREES}
    r2, fit_s, fit_cpu_s = {}, {}, {}
    for trial in task.trials:
        params = decode_params(trial.family, trial.params)
        seconds, cpu_s, scores = 0.0, 0.0, []
        for index in range(FOLDS):
            split = table.fold(index)
            started, cpu_before = time.perf_counter(), time.process_time()
            fitted = trainers[trial.family].fit(split, params, seed=index, rounds=None)
            seconds += time.perf_counter() - started
            cpu_s += time.process_time() - cpu_before
            scores.append(r2_score(split.y_val, fitted.predict(split.X_val)))
        fit_s[trial.name], fit_cpu_s[trial.name] = seconds, cpu_s
        r2[trial.name] = statistics.fmean(scores)
    return Outcome(r2=r2, fit_s=fit_s, fit_cpu_s=fit_cpu_s)


def pooled(task: Task, *, persistent: bool) -> Outcome:
    """One-thread workers of our pool, one a core; longest first, families kept together."""
    waiting = sorted(task.trials, key=lambda trial: -trial.expected_s)
    r2: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        leases = LeaseQueue(cpu_slots(usable_cores()), Path(folder) / "locks")
        with Pool(leases, threads=1, persistent=persistent) as pool:
            last: Family | None = None
            while waiting or pool.running:
                while waiting:
                    # A worker has just become free; it has this family's library loaded.
                    trial = next((t for t in waiting if t.family == last), None)
                    trial = trial or _most_left(waiting)
                    if not pool.try_start(_job(task, trial, Path(folder))):
                        break
                    waiting.remove(trial)
                    last = None
                for event in pool.wait(1.0):
                    if isinstance(event, JobEnded):
                        assert isinstance(event.outcome, TrialDone), event.outcome
                        scores = [score.r2 for score in event.outcome.scores]
                        r2[event.job.id] = statistics.fmean(scores)
                        last = event.job.family
    return Outcome(r2=r2)


def _most_left(waiting: list[Trial]) -> Trial:
    """The longest trial of the family with the most work left."""
    left: dict[Family, float] = {}
    for trial in waiting:
        left[trial.family] = left.get(trial.family, 0.0) + trial.expected_s
    family = max(left, key=lambda name: left[name])
    return next(trial for trial in waiting if trial.family == family)


def _job(task: Task, trial: Trial, folder: Path) -> TrainTrial:
    return TrainTrial(
        id=trial.name,
        family=trial.family,
        trial_number=trial.number,
        params=trial.params,
        table=task.table,
        folds=tuple(range(FOLDS)),
        seed=0,
        predictions_path=str(folder / f"{trial.name}.npy"),
    )


def plain(task: Task, *, n_jobs: int) -> Outcome:
    """The libraries' scikit-learn API in one process with all cores; Optuna runs n_jobs threads."""
    import optuna
    from sklearn.metrics import r2_score

    from benchmarks.plain_models import Rows, fit_catboost, fit_lightgbm, fit_xgboost
    from gpu.params import CatBoostParams, LightGBMParams, XGBoostParams

    folder = Path(task.table)
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    r2: dict[str, float] = {}

    def objective(asked: optuna.Trial) -> float:
        trial = task.trials[asked.number]
        params = decode_params(trial.family, trial.params)
        scores = []
        for index in range(FOLDS):
            train, val = (
                np.load(folder / f"train_{index}.npy"),
                np.load(folder / f"val_{index}.npy"),
            )
            rows = Rows(X[train], y[train], X[val], y[val])
            match params:
                case XGBoostParams():
                    model = fit_xgboost(params, rows, seed=index, rounds=None)
                case LightGBMParams():
                    model = fit_lightgbm(params, rows, seed=index, rounds=None)
                case CatBoostParams():
                    model = fit_catboost(params, rows, (), seed=index, rounds=None)
            scores.append(float(r2_score(rows.y_val, model.predict(rows.X_val))))
        r2[trial.name] = statistics.fmean(scores)
        return r2[trial.name]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=len(task.trials), n_jobs=n_jobs)
    return Outcome(r2=r2)


PURE, BESIDE = "pure", "beside"
WAYS: dict[str, tuple[str, Callable[[Task], Outcome]]] = {
    PURE: ("pure fits, one thread", pure),
    BESIDE: ("the same, one process a core side by side, each all fits", pure),
    "persistent": (
        "persistent one-thread workers, one a core",
        lambda task: pooled(task, persistent=True),
    ),
    "process": ("a process a trial, one a core", lambda task: pooled(task, persistent=False)),
    "sklearn": ("scikit-learn API, all cores", lambda task: plain(task, n_jobs=1)),
    "optuna": ("scikit-learn API, all cores, Optuna n_jobs=2", lambda task: plain(task, n_jobs=2)),
}


def main() -> None:
    """Lay out the table, run the ways interleaved, print the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trees", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--trials", type=int, default=3, help="of each library")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--run", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--task", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run is not None:
        task = Task.model_validate_json(args.task.read_bytes())
        outcome = WAYS[args.run][1](task)
        Path(task.outcome).write_text(outcome.model_dump_json(), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        print(compare(Path(folder), args.rows, args.trials, args.repeats, args.ways))


def compare(folder: Path, rows: int, trials: int, repeats: int, ways: list[str]) -> str:
    """Every way `repeats` times, in turn; pure fitting first, which tells the lengths of trials."""
    table = open_tree_table("made", folder, most_rows=rows, n_folds=FOLDS)
    laid_out = lay_out_numeric(table, folder / "table")
    task = Task(
        table=str(laid_out),
        trials=tuple(
            Trial(
                family=family,
                number=number,
                params=complete(family, values, rounds=ROUNDS, resolution=None).model_dump(
                    mode="json"
                ),
            )
            for family in TREES
            for number, values in enumerate(
                draw_trials(family, table, trials, rounds=ROUNDS, seed=2)
            )
        ),
        outcome=str(folder / "outcome.json"),
    )
    runs: dict[str, list[Run]] = {way: [] for way in [PURE, *ways]}
    for _ in range(repeats):
        alone = _run(PURE, task, folder)
        runs[PURE].append(alone)
        fit_s = alone.outcome.fit_s
        longer = [t.model_copy(update={"expected_s": fit_s[t.name]}) for t in task.trials]
        task = task.model_copy(update={"trials": tuple(longer)})
        for way, found in runs.items():
            if way != PURE:
                found.append(_run(way, task, folder, usable_cores() if way == BESIDE else 1))
                print(way, f"{found[-1].wall_s:.1f} s", file=sys.stderr, flush=True)
    return _table(runs)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one way. cpu_s: of its whole process tree. copies: processes that did all fits."""

    wall_s: float
    cpu_s: float
    outcome: Outcome
    copies: int = 1

    @property
    def used_s(self) -> float:
        """Wall time for the fits of one copy on one core: what the fits of all are divided by."""
        return self.wall_s * usable_cores() / self.copies


def _table(runs: dict[str, list[Run]]) -> str:
    alone = [run.outcome for run in runs[PURE]]
    fit_s = [sum(outcome.fit_s.values()) for outcome in alone]
    fit_cpu_s = [sum(outcome.fit_cpu_s.values()) for outcome in alone]
    heads = ["way", "s", "CPU s", "pure / (wall x cores)", "pure CPU / CPU", "R2 apart"]
    rows = [[WAYS[PURE][0], f"{_middle(fit_s):.1f}", f"{_middle(fit_cpu_s):.1f}", "", "", ""]]
    for way, found in runs.items():
        if way == PURE:
            continue
        of_wall = [s / run.used_s for s, run in zip(fit_s, found, strict=True)]
        of_cpu = [s * run.copies / run.cpu_s for s, run in zip(fit_cpu_s, found, strict=True)]
        pairs = zip(alone, found, strict=True)
        apart = [
            abs(run.outcome.r2[name] - r2) for one, run in pairs for name, r2 in one.r2.items()
        ]
        rows.append(
            [
                WAYS[way][0],
                f"{_middle([run.wall_s for run in found]):.1f}",
                f"{_middle([run.cpu_s for run in found]):.1f}",
                f"{_middle(of_wall):.2f}",
                f"{_middle(of_cpu):.2f}",
                f"{max(apart):.4f}",
            ]
        )
    return markdown(heads, rows)


def _middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def _run(way: str, task: Task, folder: Path, copies: int = 1) -> Run:
    """copies: how many processes do all of it at once; the outcome is that of the first.

    Of several, the fits alone count: starting them is nobody's share of the cores.
    """
    environment = dict(os.environ)
    environment.pop("OMP_NUM_THREADS", None)
    if way in (PURE, BESIDE):
        environment["OMP_NUM_THREADS"] = "1"
    tasks = [
        task.model_copy(update={"outcome": f"{task.outcome}.{index}"}) for index in range(copies)
    ]
    cpu_before, started = _children_cpu_s(), time.perf_counter()
    processes = []
    for index, own in enumerate(tasks):
        path = folder / f"task-{index}.json"
        path.write_text(own.model_dump_json(), encoding="utf-8")
        argv = [sys.executable, "-m", "benchmarks.trees", "--run", way, "--task", str(path)]
        processes.append(subprocess.Popen(argv, cwd=ROOT, env=environment))
    for process in processes:
        if process.wait() != 0:
            raise subprocess.CalledProcessError(process.returncode, process.args)
    wall_s = time.perf_counter() - started
    outcomes = [Outcome.model_validate_json(Path(own.outcome).read_bytes()) for own in tasks]
    cpu_s = _children_cpu_s() - cpu_before
    if copies > 1:
        wall_s = statistics.fmean(sum(outcome.fit_s.values()) for outcome in outcomes)
        cpu_s = sum(sum(outcome.fit_cpu_s.values()) for outcome in outcomes)
    return Run(wall_s, cpu_s, outcomes[0], copies)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
