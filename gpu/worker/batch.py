"""Train the jobs of a batch together; each is answered on its own, as soon as it has ended."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from gpu.params import Params, decode_params
from gpu.protocol import FoldDone, FoldScore, ShellTrain, TrainBatch, TrainTrial, TrialDone
from gpu.worker.curves import TrialLog
from gpu.worker.data import SharedTable, open_shell_split
from gpu.worker.failures import BadJob
from gpu.worker.files import save_array
from gpu.worker.jobs import (
    earlier_predictions,
    hopeless,
    shell_done,
    shell_params,
    train_sample_mse,
)
from gpu.worker.metrics import mean_squared_error, r2_score
from gpu.worker.trainers.base import FloatVector, Split
from gpu.worker.trainers.many import BatchTrainer, FitTask, TaskEnd

Job = ShellTrain | TrainTrial
Send = Callable[[BaseModel], None]
Done = Callable[[Job, BaseModel], None]
Fail = Callable[[Job, Exception], None]


def run_batch(
    command: TrainBatch, trainer: BatchTrainer, send: Send, done: Done, fail: Fail
) -> None:
    """Train all jobs of the batch; each ends in one call of `done` or `fail`.

    send: takes what is said on the way, a line a fold. An exception that is raised here is none of
    a single job's; jobs that had not ended by then end with it.
    """
    shells = [job for job in command.jobs if isinstance(job, ShellTrain)]
    if shells:
        _run_shells(shells, command.n_concurrent, trainer, done, fail)
    if command.trials:
        _TrialBatch(command.trials, command.n_concurrent, trainer, send, done, fail).run()


def _run_shells(
    jobs: Sequence[ShellTrain], n_concurrent: int, trainer: BatchTrainer, done: Done, fail: Fail
) -> None:
    good: list[ShellTrain] = []
    tasks: list[FitTask] = []
    splits: dict[str, Split] = {}
    for job in jobs:
        try:
            if job.X_train_path not in splits:
                splits[job.X_train_path] = open_shell_split(Path(job.X_train_path))
            params = shell_params(job, trainer.family)
        except (ValueError, OSError) as error:
            fail(job, error)
            continue
        good.append(job)
        tasks.append(FitTask(splits[job.X_train_path], params, job.seed))
    for end in trainer.fit_many(tasks, rounds=None, n_concurrent=n_concurrent):
        job, split = good[end.index], tasks[end.index].split
        try:
            if end.fitted is None or end.error is not None:
                raise end.error or AssertionError("a task ended with neither model nor error")
            reply = shell_done(job, trainer, split, end.fitted, end.duration_s)
        except (ValueError, ArithmeticError, MemoryError, RuntimeError) as error:
            fail(job, error)
        else:
            done(job, reply)


@dataclass(slots=True)
class _Trial:
    """A trial on its way. ends: by position in job.folds; scores: of the first ones, in order."""

    job: TrainTrial
    params: Params
    table: SharedTable
    out_of_fold: FloatVector
    log: TrialLog
    ends: dict[int, FoldScore | Exception] = field(default_factory=dict)
    scores: list[FoldScore] = field(default_factory=list)
    networks: int = 0
    over: bool = False


class _TrialBatch:
    def __init__(
        self,
        jobs: Sequence[TrainTrial],
        n_concurrent: int,
        trainer: BatchTrainer,
        send: Send,
        done: Done,
        fail: Fail,
    ) -> None:
        self._n_concurrent = n_concurrent
        self._trainer = trainer
        self._send = send
        self._done = done
        self._fail = fail
        self._tables: dict[str, SharedTable] = {}
        self._trials: list[_Trial] = []
        for job in jobs:
            try:
                self._trials.append(self._open(job))
            except (ValueError, OSError) as error:
                fail(job, error)

    def run(self) -> None:
        """Train the folds in stages: a trial that its rule stops is in no later stage."""
        folds = max((len(trial.job.folds) for trial in self._trials), default=0)
        rules = any(trial.job.prune is not None for trial in self._trials)
        stage = self._trainer.folds_at_once if rules else folds
        for start in range(0, folds, max(1, stage)):
            self._run_stage(range(start, min(start + stage, folds)))

    def _open(self, job: TrainTrial) -> _Trial:
        if job.family != self._trainer.family:
            raise BadJob(f"this worker serves {self._trainer.family}, the job is for {job.family}")
        params = decode_params(job.family, job.params)
        if job.table not in self._tables:
            self._tables[job.table] = SharedTable(Path(job.table))
        table = self._tables[job.table]
        out_of_fold = earlier_predictions(job, len(table.y))
        log = TrialLog(job.curves_path, job.folds, begun=len(job.begun))
        trial = _Trial(job, params, table, out_of_fold, log, scores=list(job.begun))
        trial.ends.update(enumerate(job.begun))
        return trial

    def _run_stage(self, positions: range) -> None:
        places: list[tuple[_Trial, int]] = []
        tasks: list[FitTask] = []
        splits: dict[tuple[str, int], Split] = {}
        for position in positions:
            for trial in self._trials:
                job = trial.job
                if trial.over or not len(job.begun) <= position < len(job.folds):
                    continue
                fold = job.folds[position]
                try:
                    if (job.table, fold) not in splits:
                        splits[job.table, fold] = trial.table.fold(fold)
                except (ValueError, OSError) as error:
                    self._end(trial, position, error)
                    continue
                places.append((trial, position))
                split, watch = splits[job.table, fold], trial.log.watch()
                tasks.append(FitTask(split, trial.params, job.seed + fold, watch))
        ends = self._trainer.fit_many(tasks, rounds=None, n_concurrent=self._n_concurrent)
        for end in ends:
            trial, position = places[end.index]
            if trial.over:
                continue
            try:
                score: FoldScore | Exception = self._score(trial, position, tasks[end.index], end)
            except (ValueError, ArithmeticError, MemoryError, RuntimeError) as error:
                score = error
            self._end(trial, position, score)

    def _score(self, trial: _Trial, position: int, task: FitTask, end: TaskEnd) -> FoldScore:
        if end.fitted is None or end.error is not None:
            raise end.error or AssertionError("a task ended with neither model nor error")
        fold = trial.job.folds[position]
        predictions, y_val = end.fitted.val_predictions, task.split.y_val
        assert predictions is not None  # noqa: S101  # a fold always has validation rows
        assert y_val is not None  # noqa: S101
        trial.out_of_fold[trial.table.validation_rows(fold)] = predictions
        trial.networks = max(trial.networks, end.networks)
        trial.log.fold_fitted(fold, end.fitted, task.watch)
        return FoldScore(
            fold=fold,
            r2=r2_score(y_val, predictions),
            val_mse=mean_squared_error(y_val, predictions),
            train_mse=train_sample_mse(task.split, end.fitted),
            best_round=end.fitted.best_round,
            rounds_run=end.fitted.rounds_run,
            duration_s=end.duration_s,
        )

    def _end(self, trial: _Trial, position: int, end: FoldScore | Exception) -> None:
        """Note a fold's end, and do what follows from the folds that are known in their order."""
        trial.ends[position] = end
        job = trial.job
        while not trial.over and len(trial.scores) in trial.ends:
            known = trial.ends[len(trial.scores)]
            if isinstance(known, Exception):
                trial.over = True
                self._fail(job, known)
                return
            trial.scores.append(known)
            self._send(FoldDone(id=job.id, score=known))
            stopped = job.prune is not None and hopeless(job.prune, [s.r2 for s in trial.scores])
            whole = len(trial.scores) == len(job.folds)
            if whole or stopped:
                trial.over = True
                self._finish(trial, pruned=stopped and not whole)

    def _finish(self, trial: _Trial, *, pruned: bool) -> None:
        job = trial.job
        if not pruned:
            try:
                save_array(Path(job.predictions_path), trial.out_of_fold)
            except OSError as error:
                self._fail(job, error)
                return
            trial.log.save()
        reply = TrialDone(
            id=job.id,
            scores=tuple(trial.scores),
            pruned=pruned,
            duration_s=sum(score.duration_s for score in trial.scores[len(job.begun) :]),
            device=self._trainer.device_name,
            peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            networks=trial.networks,
        )
        self._done(job, reply)
