"""A pool without processes on a made-up clock, and a scheduler that works with it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from optuna.storages import InMemoryStorage

from gpu.host import devices
from gpu.host.devices import Detection, cpu_slots, devices_of
from gpu.host.pool import FoldFitted, JobEnded, JobStarted
from gpu.host.units import work_family
from gpu.host.vram import DataSize
from gpu.protocol import (
    FinalFit,
    FitDone,
    FoldDone,
    FoldScore,
    TrainBatch,
    TrainFailed,
    TrialDone,
)
from steps.step5_training import placement
from steps.step5_training.comparison import Gpus, Orders
from steps.step5_training.families import SPECS
from steps.step5_training.final_fit import Places
from steps.step5_training.identity import search_identity
from steps.step5_training.placement import Placement
from steps.step5_training.scheduler import Scheduler
from steps.step5_training.settings import Settings
from steps.step5_training.studies import open_study

SIZE = DataSize(
    table_rows=1500, train_rows=1000, val_rows=500, n_features=5, input_width=5, n_folds=3
)
FAMILIES = ("xgboost", "lightgbm")
FOLDS = 3


BROKEN = TrainFailed(kind="internal", message="broken")
ALL_GPUS = Gpus()


class Clock:
    """A clock that moves when work is done."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class FakePool:
    """The face of Pool; jobs take time on a made-up clock and end in a random order."""

    def __init__(self, clock, devices, seed, seconds=None, fail=()):
        self.clock, self.devices, self.random = clock, list(devices), random.Random(seed)
        self.held_elsewhere = False
        self.threads = 1
        self.seconds = seconds or {"xgboost": 3.0, "lightgbm": 1.0, "neural_net": 2.0}
        # Families whose trials fail, and how.
        self.fail = fail if isinstance(fail, dict) else dict.fromkeys(fail, BROKEN)
        self.units = {}
        self.placed = {}
        self.events = []
        self.started = []
        self.batches = []
        self.cancelled = []
        self.prepared = []
        self.retired = []
        self.persistent = True

    @property
    def running(self):
        return tuple(job for jobs, _ in self.units.values() for job in jobs)

    @property
    def busy(self):
        """Devices with a unit, by uuid."""
        return {self.placed[unit].uuid for unit in self.units}

    def use(self, devices, *, threads, reason):
        self.devices, self.threads = list(devices), threads
        kept = {device.uuid for device in devices}
        for unit in list(self.units):
            device = self.placed[unit]
            if device.kind != "cpu" and device.uuid not in kept:
                self.cancel(self.units[unit][0][0].id, reason)

    def try_start(self, work):
        mine = devices_of(work_family(work), self.devices)
        free = [device for device in mine if device.uuid not in self.busy]
        if not free or self.held_elsewhere:
            return False
        self.placed[work.id] = free[0]
        jobs = work.jobs if isinstance(work, TrainBatch) else (work,)
        if isinstance(work, TrainBatch):
            self.batches.append(work)
        seconds = sum(map(self.lasts, jobs)) * self.random.uniform(0.5, 1.5)
        self.units[work.id] = (jobs, self.clock.now + seconds)
        self.started += jobs
        self.events += [JobStarted(job, free[0].name, 1) for job in jobs]
        return True

    def prepare(self, family):
        self.prepared.append(family)
        return True

    def retire(self, family):
        self.retired.append(family)

    def wait(self, timeout_s):
        if not self.events and self.units:
            unit, (jobs, ends) = min(self.units.items(), key=lambda pair: pair[1][1])
            if ends <= self.clock.now + timeout_s:
                self.clock.now = max(self.clock.now, ends)
                del self.units[unit]
                for job in self.random.sample(jobs, len(jobs)):
                    self.events += self.finish(job)
            else:
                self.clock.now += timeout_s
        elif not self.events:
            self.clock.now += timeout_s
        events, self.events = self.events, []
        return events

    def cancel(self, job_id, reason):
        (unit,) = [u for u, (jobs, _) in self.units.items() if any(j.id == job_id for j in jobs)]
        jobs, _ = self.units.pop(unit)
        for job in jobs:
            self.cancelled.append(job.id)
            failed = TrainFailed(kind="cancelled", message=reason, id=job.id)
            self.events.append(JobEnded(job, failed, 0.1))

    def lasts(self, job):
        """Seconds of a job; the family's own are those of a trial on all folds, and of a fit."""
        if isinstance(job, FinalFit):
            return self.seconds[job.family]
        return self.seconds[job.family] * (len(job.folds) - len(job.begun)) / FOLDS

    def finish(self, job):
        seconds = self.lasts(job)
        if isinstance(job, FinalFit):
            done = FitDone(
                id=job.id,
                checkpoint_sha256="0" * 64,
                train_mse=1.0,
                duration_s=seconds,
                device="cpu",
                library_version="1",
            )
            return [JobEnded(job, done, seconds)]
        if job.family in self.fail:
            failed = self.fail[job.family]
            return [JobEnded(job, failed.model_copy(update={"id": job.id}), seconds)]
        np.save(job.predictions_path, np.zeros(3))
        r2 = 0.9 - abs(np.log(job.params["learning_rate"] / 0.1)) / 10
        scores = tuple(
            FoldScore(
                fold=k,
                r2=r2,
                val_mse=1.0,
                train_mse=1.0,
                best_round=10 + k,
                rounds_run=20,
                duration_s=self.seconds[job.family] / FOLDS,
            )
            for k in job.folds[len(job.begun) :]
        )
        folds = [FoldFitted(job, FoldDone(id=job.id, score=score)) for score in scores]
        scores = (*job.begun, *scores)
        done = TrialDone(
            id=job.id, scores=scores, pruned=False, duration_s=seconds, device="cpu",
            peak_rss_mib=1.0,
        )  # fmt: skip
        return [*folds, JobEnded(job, done, seconds)]


@pytest.fixture
def machine(monkeypatch):
    """A machine with the GPUs that are put into the list, and memory for any number of slots."""
    gpus = []

    def detect(environ, use_gpus=True):
        return Detection(tuple(gpus) if use_gpus and gpus else tuple(cpu_slots(1)), ())

    monkeypatch.setattr(placement, "detect", detect)
    monkeypatch.setattr(placement, "held_leases", lambda folder: ())
    monkeypatch.setattr(placement, "crowded", lambda device, need_mib: None)
    monkeypatch.setattr(devices, "available_memory_mib", lambda: 10.0**6)
    return gpus


@pytest.fixture
def world(tmp_path, machine):
    # What storages on a disk keep is tested with the studies; here they would only be slow.
    storage = InMemoryStorage()

    def build(
        slots=2,
        seed=0,
        trials=10,
        run="r",
        orders=Orders,
        deadline=None,
        families=FAMILIES,
        gpus=(),
        allowed=ALL_GPUS,
        pruning=True,
        trials_per_ask=4,
        **pool_options,
    ):
        clock = Clock()
        machine[:] = gpus
        settings = Settings(
            trials=trials,
            trials_per_ask=trials_per_ask,
            k_folds=FOLDS,
            pruning=pruning,
            resume=run == "resumed",
            slots=slots,
        )
        place = Placement(settings, families, SIZE, allowed)
        pool = FakePool(clock, place.plan.devices, seed, **pool_options)
        studies = {}
        for family in families:
            space = SPECS[family].search_space(settings, 1000)
            studies[family], _ = open_study(
                storage,
                SPECS[family],
                settings,
                identity=search_identity(SPECS[family], space, settings, "t", "f"),
                space=space,
                table_name="t",
                run_id=run,
                folder=tmp_path / "predictions",
                val_rows=500,
            )
        seen = []
        scheduler = Scheduler(
            studies,
            pool,
            Places(tmp_path / "table", tmp_path / "fits"),
            n_folds=FOLDS,
            seed=1,
            placement=place,
            first_limit_s=600.0,
            orders=orders,
            report=lambda *snapshot: seen.append(snapshot),
            deadline=None if deadline is None else clock.now + deadline,
            clock=clock,
        )
        return scheduler, studies, pool, clock, seen

    return build
