"""A unit of work is a job, or a batch of trials that train together; each job of it ends once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpu.host.leases import Lease
from gpu.params import Family
from gpu.protocol import (
    MAX_LINE_BYTES,
    FinalFit,
    FitDone,
    FoldDone,
    Job,
    Outcome,
    PredictDone,
    PredictRows,
    ProtocolError,
    TrainBatch,
    TrainFailed,
    TrainTrial,
    TrialDone,
    encode,
)
from gpu.protocol.seeds import SiftDone, SiftSeeds

Work = Job | TrainBatch

# What answers what; a TrainFailed answers everything.
_ANSWERS: dict[type[Job], type[Outcome]] = {
    TrainTrial: TrialDone,
    FinalFit: FitDone,
    PredictRows: PredictDone,
    SiftSeeds: SiftDone,
}


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A worker on the device has been given the job. attempt: 1, and one more a restart."""

    job: Job
    device: str
    attempt: int


@dataclass(frozen=True, slots=True)
class FoldFitted:
    """A trial has fitted one more fold. The folds of a repeated attempt come again."""

    job: Job
    reply: FoldDone


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job has its outcome.

    wall_s: seconds since the job before it in its unit ended, or since the unit started, so that
    the jobs of a batch add up to the wall time of the batch.
    """

    job: Job
    outcome: Outcome
    wall_s: float


Event = JobStarted | FoldFitted | JobEnded


class Unit:
    """Work under one lease: which of its jobs are open, and how often it has been tried.

    one_by_one: its jobs are given out one at a time, each in a process of its own.
    deaths: how each worker that had the work came to its end. short_of_memory: one ran out of it,
    so that the next one trains half as many networks at once, and those of a single job one.
    """

    def __init__(self, work: Work, lease: Lease, now: float) -> None:
        self.id = work_id(work)
        self.family = work_family(work)
        self.lease = lease
        self.limit_s = work.deadline_s
        self.deadline = None if work.deadline_s is None else now + work.deadline_s
        self.attempt = 1
        self.one_by_one = False
        self.deaths: list[str] = []
        self.short_of_memory = False
        self._batch = work if isinstance(work, TrainBatch) else None
        self._open: dict[str, Job] = {job.id: job for job in work_jobs(work)}
        self._given: frozenset[str] = frozenset()
        self._last_end = now

    @property
    def open(self) -> tuple[Job, ...]:
        """Jobs without an outcome, in the order of the work."""
        return tuple(self._open.values())

    @property
    def given(self) -> tuple[Job, ...]:
        """Open jobs that the present worker has been given."""
        return tuple(job for job in self._open.values() if job.id in self._given)

    def given_job(self, job_id: str | None) -> Job | None:
        """The job of that id, if it is open and has been given out."""
        return self._open.get(job_id) if job_id is not None and job_id in self._given else None

    def give(self) -> tuple[Work, list[JobStarted]]:
        """What a worker is told to do now, which is what is still open; and the events of that."""
        jobs = self.open[:1] if self.one_by_one else self.open
        self._given = frozenset(job.id for job in jobs)
        name = self.lease.device.name
        starts = [JobStarted(job, name, self.attempt) for job in jobs]
        if self._batch is None or (self.one_by_one and not self.short_of_memory):
            return jobs[0], starts
        trials = tuple(job for job in jobs if isinstance(job, TrainTrial))
        at_once = self._at_once(self._batch.n_concurrent, trials)
        return self._batch.model_copy(update={"jobs": trials, "n_concurrent": at_once}), starts

    def end(self, job: Job, outcome: Outcome, now: float) -> JobEnded:
        """Close a job; a second outcome of one job is a KeyError."""
        del self._open[job.id]
        wall_s, self._last_end = now - self._last_end, now
        return JobEnded(job, outcome, wall_s)

    def _at_once(self, asked: int, trials: Sequence[TrainTrial]) -> int:
        """Most networks in one computation: as asked; short of memory half as many, at last one."""
        if not self.short_of_memory:
            return asked
        networks = sum(len(trial.folds) - len(trial.begun) for trial in trials)
        return 1 if self.one_by_one else max(1, min(asked or networks, networks) // 2)


def work_id(work: Work) -> str:
    """The name of the work as a whole; of a batch never that of one of its jobs."""
    if isinstance(work, TrainBatch):
        return work.id or f"batch of {work.trials[0].id}"
    return work.id


def work_jobs(work: Work) -> Sequence[Job]:
    """The jobs that the work consists of."""
    return work.trials if isinstance(work, TrainBatch) else (work,)


def work_family(work: Work) -> Family:
    """The one family of the work."""
    return work_jobs(work)[0].family


def check_work(work: Work) -> None:
    """Raises ValueError for a batch that no pool can run: shell jobs, two families, an id twice.

    And ProtocolError for work that is too long for a line.
    """
    if isinstance(work, TrainBatch):
        _check_batch(work)
    size = len(encode(work))
    if size > MAX_LINE_BYTES:
        raise ProtocolError(
            f"{work_id(work)} is {size} bytes as a line, the limit is {MAX_LINE_BYTES}"
        )


def answers(outcome: Outcome, job: Job) -> bool:
    """Whether the outcome is of the kind that the job asks for."""
    return isinstance(outcome, TrainFailed | _ANSWERS[type(job)])


def and_said(event: Event, more: str) -> Event:
    """The event; where it is the failure of a job, with more in its message."""
    match event:
        case JobEnded(outcome=TrainFailed(message=message) as failed):
            longer = failed.model_copy(update={"message": f"{message}; {more}"})
            return replace(event, outcome=longer)
    return event


def _check_batch(work: TrainBatch) -> None:
    if not work.trials:
        raise ValueError("a pool takes batches of train_trial jobs, got train jobs")
    families = sorted({job.family for job in work.trials})
    if len(families) > 1:
        raise ValueError(f"the jobs of a batch must be of one family, got {', '.join(families)}")
    ids = [job.id for job in work.trials]
    twice = sorted({job_id for job_id in ids if ids.count(job_id) > 1})
    if twice:
        raise ValueError(f"job ids of a batch must differ, got twice: {', '.join(twice)}")
    if work.id in ids:
        raise ValueError(f"a batch needs an id of its own, got that of its job {work.id}")
