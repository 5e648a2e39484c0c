"""Memory runs out for real: under a limit on the address space of a worker, or by an abort in C++.

The limit is set on a worker that has imported its library, so that the job is what does not fit.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from benchmarks.memory import Worker, short, work, write_table
from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.machine import died_of_memory
from gpu.host.pool import JobEnded, Pool
from gpu.protocol import TrainFailed, TrialDone

MIB = 1 << 20
# Loads the library of the family named after --family, limits itself, and becomes a worker.
LIMITED = """
import re, resource, runpy, sys
from pathlib import Path
import gpu.worker.serve
from gpu.worker.trainers import load_trainer
load_trainer(sys.argv[sys.argv.index("--family") + 1], "cpu", 1)
kib = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
limit = (kib << 10) + (int(sys.argv.pop(1)) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.argv[0] = "gpu.worker"
runpy.run_module("gpu.worker", run_name="__main__")
"""
ABORT = """
import ctypes
ctypes.CDLL("libstdc++.so.6")._ZSt17__throw_bad_allocv()
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("large") / "table", 60_000, 62, n_folds=2)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("small") / "table", 400, 4, n_folds=2)


def one_trial(table, family, name, **record):
    job = work(table, family, short(family, record), 1).jobs[0]
    return job.model_copy(update={"id": name, "deadline_s": 120.0})


def outcome_of(pool, job):
    assert pool.try_start(job)
    while True:
        for event in pool.wait(5.0):
            if isinstance(event, JobEnded):
                return event.outcome


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("family", ["lightgbm", "xgboost"])
def test_a_job_too_large_for_the_memory_fails_as_oom_and_the_next_one_runs(
    large, small, tmp_path, family, persistent
):
    # 28 MiB are enough for the small table and its model, not for binning the large one's rows.
    command = (sys.executable, "-c", LIMITED, "28")
    leases = LeaseQueue(cpu_slots(1), tmp_path)
    with Pool(leases, threads=1, persistent=persistent, command=command) as pool:
        failed = outcome_of(pool, one_trial(large, family, "large"))
        done = outcome_of(pool, one_trial(small, family, "small", max_bin=16))
        assert leases.held == ()
    assert isinstance(failed, TrainFailed)
    assert failed.kind == "oom"
    assert isinstance(done, TrialDone), done


def test_a_batch_too_large_for_the_memory_is_halved_until_it_fits(small):
    networks = {"hidden_layers": (1024, 1024), "batch_size": 32}
    with Worker("neural_net") as worker:
        worker.send(work(small, "neural_net", short("neural_net", {}), 1))
        worker.reply("trial_complete")
        # Four of these networks would share a stack, at about 36 MiB each.
        limit = int((worker.memory()["VmSize"] + 115) * MIB)
        resource.prlimit(worker.process.pid, resource.RLIMIT_AS, (limit, limit))
        batch = work(small, "neural_net", short("neural_net", networks), 4)
        first, second = [], []
        for replies in (first, second):
            worker.send(batch)
            replies += [worker.reply("trial_complete")["networks"] for _ in batch.jobs]
    assert len(first) == len(second) == 4
    assert max(first) < 4
    assert max(second) <= max(first)


def test_a_network_too_large_on_its_own_fails_as_oom_and_the_worker_goes_on(small):
    with Worker("neural_net") as worker:
        worker.send(work(small, "neural_net", short("neural_net", {}), 1))
        worker.reply("trial_complete")
        limit = int((worker.memory()["VmSize"] + 60) * MIB)
        resource.prlimit(worker.process.pid, resource.RLIMIT_AS, (limit, limit))
        huge = {"hidden_layers": (3000, 3000), "batch_size": 32}
        worker.send(work(small, "neural_net", short("neural_net", huge), 1))
        assert worker.reply("error")["kind"] == "oom"
        worker.send(work(small, "neural_net", short("neural_net", {}), 1))
        worker.reply("trial_complete")


def test_an_abort_on_bad_alloc_is_told_from_other_deaths():
    died = subprocess.run([sys.executable, "-c", ABORT], capture_output=True, text=True)
    assert died.returncode < 0
    reason = died_of_memory(died.returncode, died.stderr, 0, 0, 9000.0)
    assert reason == "it ended when memory ran out (bad_alloc)"
    killed = subprocess.run([sys.executable, "-c", "import os; os.abort()"], capture_output=True)
    assert died_of_memory(killed.returncode, killed.stderr.decode(), 0, 0, 9000.0) is None
