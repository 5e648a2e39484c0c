"""All families share the devices; the result depends on neither timing nor number of slots."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from gpu.host.pool import FoldFitted, JobEnded, JobStarted
from gpu.protocol import (
    FinalFit,
    FitDone,
    FoldDone,
    FoldScore,
    TrainFailed,
    TrialDone,
)
from steps.step5_training.comparison import Orders
from steps.step5_training.families import SPECS
from steps.step5_training.final_fit import Places
from steps.step5_training.identity import search_identity
from steps.step5_training.scheduler import Scheduler
from steps.step5_training.settings import Settings
from steps.step5_training.storage import open_storage
from steps.step5_training.study import open_study

FAMILIES = ("xgboost", "lightgbm")
FOLDS = 3


class Clock:
    """A clock that moves when work is done."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class FakePool:
    """The face of Pool; jobs take time on a made-up clock and end in a random order."""

    def __init__(self, clock, slots, seed, seconds=None, fail=()):
        self.clock, self.slots, self.random = clock, slots, random.Random(seed)
        self.seconds = seconds or {"xgboost": 3.0, "lightgbm": 1.0}
        self.fail = fail
        self.jobs = {}
        self.events = []
        self.started = []
        self.cancelled = []

    @property
    def running(self):
        return tuple(job for job, _ in self.jobs.values())

    def try_start(self, job):
        if len(self.jobs) >= self.slots:
            return False
        seconds = self.seconds[job.family] * self.random.uniform(0.5, 1.5)
        self.jobs[job.id] = (job, self.clock.now + seconds)
        self.started.append(job)
        self.events.append(JobStarted(job, "CPU slot 0", 1))
        return True

    def wait(self, timeout_s):
        if not self.events and self.jobs:
            job, ends = min(self.jobs.values(), key=lambda pair: pair[1])
            if ends <= self.clock.now + timeout_s:
                self.clock.now = max(self.clock.now, ends)
                del self.jobs[job.id]
                self.events += self.finish(job)
            else:
                self.clock.now += timeout_s
        elif not self.events:
            self.clock.now += timeout_s
        events, self.events = self.events, []
        return events

    def cancel(self, job_id, reason):
        job, _ = self.jobs.pop(job_id)
        self.cancelled.append(job_id)
        failed = TrainFailed(kind="cancelled", message=reason, id=job_id)
        self.events.append(JobEnded(job, failed, 0.1))

    def finish(self, job):
        seconds = self.seconds[job.family]
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
            return [JobEnded(job, TrainFailed(kind="internal", message="broken"), seconds)]
        Path(job.predictions_path).write_bytes(b"predictions")
        r2 = 0.9 - abs(np.log(job.params["learning_rate"] / 0.1)) / 10
        scores = tuple(
            FoldScore(
                fold=k,
                r2=r2,
                val_mse=1.0,
                train_mse=1.0,
                best_round=10 + k,
                rounds_run=20,
                duration_s=seconds / FOLDS,
            )
            for k in range(FOLDS)
        )
        folds = [FoldFitted(job, FoldDone(id=job.id, score=score)) for score in scores]
        done = TrialDone(
            id=job.id, scores=scores, pruned=False, duration_s=seconds, device="cpu",
            peak_rss_mib=1.0,
        )  # fmt: skip
        return [*folds, JobEnded(job, done, seconds)]


@pytest.fixture
def world(tmp_path):
    def build(slots=2, seed=0, trials=10, run="r", orders=Orders, deadline=None, **pool_options):
        clock = Clock()
        pool = FakePool(clock, slots, seed, **pool_options)
        settings = Settings(trials=trials, resume=run == "resumed")
        storage = open_storage("sqlite", tmp_path / "studies")
        studies = {}
        for family in FAMILIES:
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
            )
        seen = []
        scheduler = Scheduler(
            studies,
            pool,
            Places(tmp_path / "table", tmp_path / "fits"),
            n_folds=FOLDS,
            seed=1,
            slots=slots,
            orders=orders,
            report=lambda *snapshot: seen.append(snapshot),
            deadline=None if deadline is None else clock.now + deadline,
            clock=clock,
        )
        return scheduler, studies, pool, clock, seen

    return build


def values(studies):
    return {family: [t.values for t in study.finished] for family, study in studies.items()}


def test_the_trials_do_not_depend_on_slots_or_timing(world):
    scheduler, studies, *_ = world(slots=1, run="a")
    scheduler.run()
    expected = values(studies)
    for slots, seed in ((2, 1), (3, 2), (8, 3)):
        scheduler, studies, *_ = world(slots=slots, seed=seed, run=f"b{slots}")
        scheduler.run()
        assert values(studies) == expected


def test_every_family_gets_its_trials_and_one_final_fit_of_its_best_record(world):
    scheduler, studies, pool, *_ = world()
    comparison = scheduler.run()
    assert {family: len(study.finished) for family, study in studies.items()} == {
        "xgboost": 10,
        "lightgbm": 10,
    }
    fits = [job for job in pool.started if isinstance(job, FinalFit)]
    assert sorted(job.family for job in fits) == sorted(FAMILIES)
    for job in fits:
        assert job.params == studies[job.family].best.record
        assert job.rounds == 11
    assert set(comparison.fits) == set(FAMILIES)


def test_no_device_idles_while_any_family_has_work(world):
    scheduler, _, pool, clock, _ = world(slots=2, trials=20)
    scheduler.run()
    work = sum(pool.seconds[job.family] for job in pool.started)
    assert clock.now - 1000.0 < work / 2 * 1.35


def test_one_broken_family_does_not_stop_the_other(world):
    scheduler, studies, *_ = world(fail=("xgboost",), trials=12)
    comparison = scheduler.run()
    assert set(comparison.fits) == {"lightgbm"}
    assert len(studies["lightgbm"].finished) == 12
    assert "broken" in studies["xgboost"].stopped


def test_a_stop_cancels_what_runs_and_keeps_what_is_done(world):
    looks = []

    def orders():
        looks.append(1)
        return Orders(stop="halt" if len(looks) > 60 else None)

    scheduler, studies, pool, *_ = world(orders=orders)
    comparison = scheduler.run()
    assert comparison.stopped == "halt"
    assert pool.cancelled
    done = {family: study.finished for family, study in studies.items()}
    assert any(done.values())
    assert all(study.pending == 0 for study in studies.values())
    scheduler, studies, *_ = world(run="resumed")
    scheduler.run()
    assert all(len(study.finished) == 10 for study in studies.values())
    for family, before in done.items():
        now = {trial.position: trial for trial in studies[family].finished}
        assert all(now[trial.position] == trial for trial in before)


def test_a_family_switched_off_stops_between_trials_and_the_others_go_on(world):
    looks = []

    def orders():
        looks.append(1)
        off = {"xgboost": "switched off by policy"} if len(looks) > 30 else {}
        return Orders(families_off=off)

    scheduler, studies, *_ = world(orders=orders)
    comparison = scheduler.run()
    assert comparison.switched_off == {"xgboost": "switched off by policy"}
    assert set(comparison.fits) == {"lightgbm"}
    assert len(studies["lightgbm"].finished) == 10
    assert len(studies["xgboost"].finished) < 10


def test_the_time_budget_is_kept_with_the_final_fits_inside(world):
    scheduler, studies, _, clock, _ = world(trials=1000, deadline=60.0, seconds={
        "xgboost": 3.0, "lightgbm": 1.0})  # fmt: skip
    comparison = scheduler.run()
    assert comparison.out_of_time
    assert set(comparison.fits) == set(FAMILIES)
    assert 60 * 0.85 <= clock.now - 1000.0 <= 60 * 1.05
    assert all(study.stopped == "time budget used up" for study in studies.values())


def test_progress_counts_every_trial_and_estimates_the_time_left(world):
    scheduler, _, _, _clock, seen = world()
    scheduler.run()
    families, left, _ = seen[-1]
    assert {name: family.complete for name, family in families.items()} == {
        "xgboost": 10,
        "lightgbm": 10,
    }
    assert left == 0
    middle = next(snapshot for snapshot in seen if snapshot[1] is not None)
    assert 0 < middle[1] < 60
    assert any(family.running for snapshot in seen for family in snapshot[0].values())


def test_a_wait_for_another_runs_device_is_said(world):
    scheduler, _, pool, _, seen = world(slots=1)
    pool.slots = 0
    looks = []

    def wait(timeout_s):
        looks.append(1)
        if len(looks) == 5:
            pool.slots = 1
        return FakePool.wait(pool, timeout_s)

    pool.wait = wait
    scheduler.run()
    assert "waiting for a device that another run holds" in seen[2][2]
    assert seen[-1][2] == ""
