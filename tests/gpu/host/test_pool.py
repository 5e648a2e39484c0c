"""A job ends in one outcome, whatever happens to its process; every lease comes back."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from gpu.host import pool as pool_module
from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.pool import JobEnded, JobStarted, Pool
from gpu.protocol import TrainFailed, TrainTrial, TrialDone

FAULTY = Path(__file__).parents[2] / "faults" / "faulty_worker.py"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def leases(tmp_path):
    return LeaseQueue(cpu_slots(2), tmp_path / "locks")


@pytest.fixture
def pool(leases):
    before = open_files()
    with Pool(leases, threads=1, command=(sys.executable, str(FAULTY))) as pool:
        yield pool
    # The five checks that end every fault test, as far as a pool can break them.
    assert psutil.Process().children(recursive=True) == []
    assert leases.held == ()
    assert leases.taken_elsewhere() == ()
    assert open_files() <= before


def make_job(tmp_path, do, job_id="job", deadline_s=30.0):
    return TrainTrial(
        id=job_id,
        family="lightgbm",
        trial_number=0,
        params={"do": do},
        table=str(tmp_path),
        folds=(0,),
        seed=0,
        predictions_path=str(tmp_path / job_id),
        deadline_s=deadline_s,
    )


def outcomes(pool, count=1):
    """The first `count` ended jobs by id, and the events on the way."""
    ended, seen = {}, []
    while len(ended) < count:
        for event in pool.wait(5.0):
            seen.append(event)
            if isinstance(event, JobEnded):
                assert event.job.id not in ended
                ended[event.job.id] = event.outcome
    return ended, seen


def run_one(pool, tmp_path, do, **kwargs):
    assert pool.try_start(make_job(tmp_path, do, **kwargs))
    ended, seen = outcomes(pool)
    starts = [event for event in seen if isinstance(event, JobStarted)]
    return ended["job"], len(starts)


def test_a_reply_ends_the_job(pool, tmp_path):
    outcome, starts = run_one(pool, tmp_path, "succeed")
    assert isinstance(outcome, TrialDone)
    assert starts == 1


def test_a_killed_worker_is_started_once_more(pool, tmp_path):
    outcome, starts = run_one(pool, tmp_path, "die once")
    assert isinstance(outcome, TrialDone)
    assert starts == 2


def test_the_second_death_is_the_jobs_failure_and_names_the_signal(pool, tmp_path):
    outcome, starts = run_one(pool, tmp_path, "die")
    assert isinstance(outcome, TrainFailed)
    assert outcome.kind == "crashed"
    assert "SIGKILL" in outcome.message
    assert starts == 2


def test_a_segfault_is_named(pool, tmp_path):
    outcome, _ = run_one(pool, tmp_path, "segfault")
    assert "SIGSEGV" in outcome.message


def test_a_quiet_exit_without_a_reply_is_a_failure(pool, tmp_path):
    outcome, _ = run_one(pool, tmp_path, "exit quietly")
    assert "exit status 3" in outcome.message


@pytest.mark.parametrize("fault", ["hang", "stop", "ignore term"])
def test_the_deadline_holds_whatever_the_worker_does(pool, tmp_path, fault):
    started = time.monotonic()
    outcome, starts = run_one(pool, tmp_path, fault, deadline_s=1.0)
    assert outcome.kind == "timeout"
    assert starts == 1
    assert time.monotonic() - started < 3.0


def test_grandchildren_that_hold_the_pipe_are_not_waited_for(pool, tmp_path):
    outcome, _ = run_one(pool, tmp_path, "grandchild")
    assert isinstance(outcome, TrialDone)
    # The one that fled into a group of its own is not the worker's any more once that has gone;
    # the one in the worker's group dies with it.
    left = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "3601"]]
    assert left == []
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] == ["sleep", "3600"]:
            process.kill()


def test_a_worker_that_has_replied_but_stays_is_ended(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "EXIT_GRACE_S", 0.3)
    outcome, _ = run_one(pool, tmp_path, "linger")
    assert isinstance(outcome, TrialDone)


def test_two_hundred_megabytes_on_stderr_neither_block_nor_stay(pool, tmp_path):
    before = psutil.Process().memory_info().rss
    outcome, _ = run_one(pool, tmp_path, "spew")
    assert isinstance(outcome, TrialDone)
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_what_libraries_print_does_not_reach_the_protocol(pool, tmp_path):
    outcome, _ = run_one(pool, tmp_path, "print")
    assert isinstance(outcome, TrialDone)


def test_half_a_line_is_discarded_and_the_job_tried_again(pool, tmp_path):
    outcome, starts = run_one(pool, tmp_path, "half then whole")
    assert isinstance(outcome, TrialDone)
    assert starts == 2


def test_an_endless_line_is_cut_off_with_a_clear_error(pool, tmp_path):
    outcome, _ = run_one(pool, tmp_path, "endless line")
    assert "longer than" in outcome.message


def test_a_reply_for_another_job_is_refused(pool, tmp_path):
    outcome, _ = run_one(pool, tmp_path, "wrong id")
    assert "another job" in outcome.message


def test_a_cancelled_job_says_why(pool, tmp_path):
    assert pool.try_start(make_job(tmp_path, "hang"))
    pool.cancel("job", "time is up")
    ended, _ = outcomes(pool)
    assert ended["job"].kind == "cancelled"
    assert ended["job"].message == "time is up"


def test_jobs_beyond_the_devices_wait(pool, tmp_path):
    assert pool.try_start(make_job(tmp_path, "hang", "a"))
    assert pool.try_start(make_job(tmp_path, "hang", "b"))
    assert not pool.try_start(make_job(tmp_path, "succeed", "c"))
    pool.cancel("a", "enough")
    assert pool.try_start(make_job(tmp_path, "succeed", "c"))
    ended, _ = outcomes(pool, count=2)
    assert isinstance(ended["c"], TrialDone)


def test_one_worker_killed_leaves_the_other_alone(pool, tmp_path):
    assert pool.try_start(make_job(tmp_path, "die", "a"))
    assert pool.try_start(make_job(tmp_path, "succeed", "b"))
    ended, _ = outcomes(pool, count=2)
    assert isinstance(ended["a"], TrainFailed)
    assert isinstance(ended["b"], TrialDone)


def test_workers_die_with_a_parent_that_is_killed(tmp_path):
    script = f"""
import sys, time
from pathlib import Path
from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.pool import Pool, JobStarted
from gpu.protocol import TrainTrial
with Pool(LeaseQueue(cpu_slots(1), Path({str(tmp_path)!r})), threads=1) as pool:
    pool.try_start(TrainTrial(id="a", family="lightgbm", trial_number=0, params={{}}, table="x",
                              folds=(0,), seed=0, predictions_path="x"))
    worker = next(iter(pool._running.values())).child.process.pid
    print(worker, flush=True)
    time.sleep(60)
"""
    import subprocess

    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        gone, alive = psutil.wait_procs([worker], timeout=10)
    assert alive == []
    assert len(gone) == 1
