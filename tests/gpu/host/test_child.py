"""A worker is killed for sure, but nobody waits for ever for one that the kernel holds."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gpu.host import pool as pools
from gpu.host.child import DIES_WITHIN_S, Child
from gpu.host.devices import Device, cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.pool import JobEnded, Pool
from gpu.protocol import TrainTrial, TrialDone

FAULTY = Path(__file__).parents[2] / "faults" / "faulty_worker.py"
COMMAND = (sys.executable, "-I", "-S", str(FAULTY))


class Held:
    """A process as its parent sees it while the kernel does not let it go."""

    def __init__(self, process):
        self.process, self.let_go, self.waits = process, False, []

    def __getattr__(self, name):
        return getattr(self.process, name)

    def poll(self):
        return self.process.poll() if self.let_go else None

    def wait(self, timeout):
        self.waits.append(timeout)
        raise subprocess.TimeoutExpired(self.args, timeout)


def make_job(folder, job_id, do, deadline_s=30.0):
    return TrainTrial(
        id=job_id,
        family="lightgbm",
        trial_number=0,
        params={"do": do},
        table=str(folder),
        folds=(0,),
        seed=0,
        predictions_path=str(folder / job_id),
        deadline_s=deadline_s,
    )


def outcome_of(pool, job):
    assert pool.try_start(job)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for event in pool.wait(5.0):
            if isinstance(event, JobEnded):
                return event.outcome
    raise AssertionError("no outcome")


@pytest.fixture
def held(monkeypatch):
    """The first worker of a pool, which SIGKILL does not seem to end."""
    found = []

    class HeldChild(Child):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            if not found:
                self.process = Held(self.process)
                found.append(self.process)

    monkeypatch.setattr(pools, "Child", HeldChild)
    return found


def test_a_worker_that_sigkill_does_not_end_costs_its_job_and_no_more(held, tmp_path):
    leases = LeaseQueue(cpu_slots(1), tmp_path / "locks")
    with Pool(leases, threads=1, command=COMMAND) as pool:
        failed = outcome_of(pool, make_job(tmp_path, "a", "hang", deadline_s=0.2))
        assert failed.kind == "timeout"
        assert failed.message == (
            "no result within 0.2 s; its worker did not die within 2 s of SIGKILL; "
            "it may still hold memory"
        )
        assert leases.held == ()
        assert isinstance(outcome_of(pool, make_job(tmp_path, "b", "succeed")), TrialDone)
        (process,) = held
        assert process.waits == [DIES_WITHIN_S]
        assert process.returncode is None
        process.let_go = True
        deadline = time.monotonic() + 5
        while process.returncode is None:
            assert time.monotonic() < deadline
            pool.wait(0.02)
    assert process.returncode == -9
    assert psutil.Process().children() == []


def test_a_worker_that_is_let_go_late_is_reaped_when_the_pool_closes(held, tmp_path):
    leases = LeaseQueue(cpu_slots(1), tmp_path / "locks")
    pool = Pool(leases, threads=1, command=COMMAND)
    outcome_of(pool, make_job(tmp_path, "a", "hang", deadline_s=0.2))
    (process,) = held
    # Dead, but not reaped.
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    process.let_go = True
    pool.close()
    assert psutil.Process().children() == []


@pytest.mark.parametrize("kind", ["cpu", "cuda", "rocm"])
def test_a_worker_is_told_what_kind_of_device_it_has(kind):
    device = Device(kind, "GPU-1", 0, "a device", 1000, 900)
    child = Child("catboost", device, 1, once=False, command=COMMAND)
    try:
        words = child.process.args
        assert words[words.index("--device") + 1] == kind
    finally:
        child.kill()
        child.close()
