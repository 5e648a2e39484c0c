"""A job ends in one outcome, whatever happens to its process; every lease comes back."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from gpu.host import child
from gpu.host.devices import Device, cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.pool import FoldFitted, JobEnded, JobStarted, Pool
from gpu.host.roster import Patience
from gpu.protocol import (
    PredictDone,
    PredictRows,
    ProtocolError,
    TrainBatch,
    TrainFailed,
    TrainTrial,
    TrialDone,
)

FAULTY = Path(__file__).parents[2] / "faults" / "faulty_worker.py"
COMMAND = (sys.executable, "-I", "-S", str(FAULTY))
# Ready, then dead at its first command; it starts faster than anything in Python.
DYING = ("/bin/sh", "-c", """
printf '{"status": "ready", "family": "%s", "device": "cpu", "pid": %s}\\n' "$2" $$
read line
kill -9 $$
""", "--")  # fmt: skip
PARENT = """
import signal, sys, time
from pathlib import Path
import psutil
from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.pool import Pool
from gpu.protocol import TrainTrial
pool = Pool(LeaseQueue(cpu_slots(1), Path(sys.argv[1])), threads=1)
job = TrainTrial(id="a", family="catboost", trial_number=0, params={}, table="none", folds=(0,),
                 seed=0, predictions_path="none")
assert pool.try_start(job)
while pool.running:
    pool.wait(1.0)
psutil.Process().children()[0].send_signal(signal.SIGSTOP)
assert pool.prepare("lightgbm")
print(*[child.pid for child in psutil.Process().children()], flush=True)
time.sleep(60)
"""


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def shared_memory():
    return sorted(path.name for path in Path("/dev/shm").iterdir())


def temporary_files():
    return sorted(path.name for path in Path(tempfile.gettempdir()).glob("*watcher*"))


def children():
    return psutil.Process().children(recursive=True)


def gone(pid):
    """Whether a process has ended; who adopts it may be slow to take note."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def leases(tmp_path):
    return LeaseQueue(cpu_slots(2), tmp_path / "locks")


@pytest.fixture
def open_pool(leases):
    """Pools that are closed at the end of the test, and then checked: nothing is left of them."""
    before = (open_files(), shared_memory(), temporary_files())
    pools = []

    def open_one(**options):
        pools.append(Pool(leases, threads=1, **{"command": COMMAND, **options}))
        return pools[-1]

    yield open_one
    for pool in pools:
        pool.close()
        assert pool.running == ()
    assert children() == []
    assert leases.held == ()
    assert leases.taken_elsewhere() == ()
    assert (open_files(), shared_memory(), temporary_files()) == before


@pytest.fixture
def pool(open_pool):
    return open_pool()


@pytest.fixture(params=["persistent", "one process a unit"])
def either(request, open_pool):
    return open_pool(persistent=request.param == "persistent")


def make_job(tmp_path, do="succeed", job_id="job", deadline_s=30.0, **params):
    return TrainTrial(
        id=job_id,
        family=params.pop("family", "lightgbm"),
        trial_number=0,
        params={"do": do, **params},
        table=str(tmp_path),
        folds=(0,),
        seed=0,
        predictions_path=str(tmp_path / job_id),
        deadline_s=deadline_s,
    )


def make_batch(tmp_path, *dos, deadline_s=30.0):
    """A batch with a job a word; a word may be (word, params)."""
    jobs = []
    for number, do in enumerate(dos):
        word, params = do if isinstance(do, tuple) else (do, {})
        jobs.append(make_job(tmp_path, word, f"b{number}", family="neural_net", **params))
    return TrainBatch(jobs=tuple(jobs), id="batch", deadline_s=deadline_s)


def outcomes(pool, count=1):
    """The first `count` ended jobs by id, and the events on the way."""
    ended, seen = {}, []
    while len(ended) < count:
        for event in pool.wait(5.0):
            seen.append(event)
            if isinstance(event, JobEnded):
                assert event.job.id not in ended
                ended[event.job.id] = event.outcome
    assert len(ended) == count
    return ended, seen


def starts(seen):
    return [(event.job.id, event.attempt) for event in seen if isinstance(event, JobStarted)]


def run_one(pool, tmp_path, do, **kwargs):
    """The outcome of one job, and how often it was started."""
    assert pool.try_start(make_job(tmp_path, do, **kwargs))
    ended, seen = outcomes(pool)
    (outcome,) = ended.values()
    return outcome, len(starts(seen))


def run_batch(pool, batch):
    assert pool.try_start(batch)
    return outcomes(pool, count=len(batch.jobs))


def wait_for(pool, condition, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        assert pool.wait(0.02) == []


# --- what a pool does ------------------------------------------------------------------------


def test_a_reply_ends_the_job(either, tmp_path):
    outcome, started = run_one(either, tmp_path, "succeed")
    assert isinstance(outcome, TrialDone)
    assert started == 1


def test_one_process_serves_many_jobs(pool, tmp_path):
    devices = {run_one(pool, tmp_path, "succeed", job_id=str(i))[0].device for i in range(5)}
    assert len(devices) == 1
    assert len(children()) == 1


def test_without_persistence_each_job_has_a_process_that_goes(open_pool, tmp_path):
    pool = open_pool(persistent=False)
    devices = {run_one(pool, tmp_path, "succeed", job_id=str(i))[0].device for i in range(3)}
    assert len(devices) == 3
    assert children() == []


def test_a_process_that_has_answered_its_one_job_is_not_waited_for(open_pool, tmp_path):
    pool = open_pool(persistent=False)
    outcome, _ = run_one(pool, tmp_path, "linger")
    assert isinstance(outcome, TrialDone)
    assert children() == []


def test_a_job_of_another_kind_is_answered_in_its_kind(either, tmp_path):
    paths = dict.fromkeys(
        ("checkpoint_path", "preprocessing_path", "rows_path", "predictions_path"), str(tmp_path)
    )
    job = PredictRows(id="p", family="lightgbm", checkpoint_sha256="0", **paths)
    assert either.try_start(job)
    ended, _ = outcomes(either)
    assert ended["p"] == PredictDone(id="p", n_rows=3)


def test_folds_are_told_as_they_are_fitted(either, tmp_path):
    assert either.try_start(make_job(tmp_path, "folds"))
    _, seen = outcomes(either)
    assert [type(event) for event in seen] == [JobStarted, FoldFitted, FoldFitted, JobEnded]


def test_each_job_of_a_batch_has_its_own_outcome_under_one_lease(either, leases, tmp_path):
    batch = make_batch(tmp_path, "succeed", ("fail", {"kind": "oom"}), "folds")
    assert either.try_start(batch)
    assert len(leases.held) == 1
    assert [job.id for job in either.running] == ["b0", "b1", "b2"]
    ended, seen = outcomes(either, count=3)
    assert starts(seen) == [("b0", 1), ("b1", 1), ("b2", 1)]
    assert isinstance(ended["b0"], TrialDone)
    assert ended["b1"].kind == "oom"
    assert isinstance(ended["b2"], TrialDone)
    assert leases.held == ()


def test_the_walls_of_a_batch_add_up(pool, tmp_path):
    started = time.monotonic()
    _, seen = run_batch(pool, make_batch(tmp_path, *[("work", {"s": 0.1})] * 3))
    wall_s = time.monotonic() - started
    walls = [event.wall_s for event in seen if isinstance(event, JobEnded)]
    assert min(walls) >= 0.09
    assert sum(walls) == pytest.approx(wall_s, abs=0.1)


def test_jobs_beyond_the_devices_wait(pool, tmp_path):
    assert pool.try_start(make_job(tmp_path, "hang", "a"))
    assert pool.try_start(make_job(tmp_path, "hang", "b"))
    assert not pool.try_start(make_job(tmp_path, "succeed", "c"))
    pool.cancel("a", "enough")
    assert pool.try_start(make_job(tmp_path, "succeed", "c"))
    ended, _ = outcomes(pool, count=2)
    assert isinstance(ended["c"], TrialDone)


def test_a_limit_holds_where_devices_are_free(open_pool, tmp_path):
    pool = open_pool(limit=1)
    assert pool.try_start(make_job(tmp_path, "succeed", "a"))
    assert not pool.try_start(make_job(tmp_path, "succeed", "b"))


def test_a_worker_started_ahead_takes_the_first_job(pool, leases, tmp_path):
    assert pool.prepare("lightgbm")
    assert not pool.prepare("lightgbm")
    assert leases.held == ()
    (ahead,) = children()
    outcome, _ = run_one(pool, tmp_path, "succeed")
    assert outcome.device == f"pid {ahead.pid}"


def test_no_worker_is_started_ahead_for_one_process_a_unit(open_pool):
    assert not open_pool(persistent=False).prepare("lightgbm")


def test_a_worker_that_cannot_start_is_not_started_ahead_again(pool, monkeypatch):
    monkeypatch.setenv("FAULTY_START", "die")
    assert pool.prepare("lightgbm")
    wait_for(pool, lambda: not children())
    assert not pool.prepare("lightgbm")


def test_persistence_can_be_switched_while_work_runs(pool, tmp_path):
    first, _ = run_one(pool, tmp_path, "succeed", job_id="first")
    assert pool.try_start(make_job(tmp_path, "work", "busy", s=0.3))
    assert pool.prepare("xgboost")
    pool.persistent = False
    ended, _ = outcomes(pool)
    assert ended["busy"].device == first.device
    wait_for(pool, lambda: not children())
    alone, _ = run_one(pool, tmp_path, "succeed", job_id="alone")
    assert alone.device != first.device
    assert children() == []
    pool.persistent = True
    kept = [run_one(pool, tmp_path, "succeed", job_id=str(i))[0].device for i in range(2)]
    assert kept[0] == kept[1]


def test_a_retired_family_leaves_no_worker(pool, tmp_path):
    run_one(pool, tmp_path, "succeed", job_id="tree")
    run_one(pool, tmp_path, "succeed", job_id="net", family="neural_net")
    pool.retire("lightgbm")
    wait_for(pool, lambda: len(children()) == 1)
    assert "neural_net" in children()[0].cmdline()


def test_no_more_idle_workers_are_kept_than_asked(open_pool, tmp_path):
    pool = open_pool(keep_idle=1)
    for family in ("lightgbm", "xgboost", "catboost"):
        run_one(pool, tmp_path, "succeed", job_id=family, family=family)
    wait_for(pool, lambda: len(children()) == 1)
    assert "catboost" in children()[0].cmdline()


def test_a_worker_that_ignores_a_shutdown_is_killed(open_pool, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULTY_END", "stay")
    pool = open_pool(patience=Patience(exit_s=0.2))
    run_one(pool, tmp_path, "succeed")
    pool.retire("lightgbm")
    wait_for(pool, lambda: not children())


def test_work_that_cannot_be_sent_takes_no_lease(pool, leases, tmp_path):
    with pytest.raises(ProtocolError, match=r"job is \d+ bytes as a line"):
        pool.try_start(make_job(tmp_path, words="x" * (9 << 20)))
    with pytest.raises(ValueError, match="got twice: job"):
        pool.try_start(TrainBatch(jobs=(make_job(tmp_path), make_job(tmp_path))))
    with pytest.raises(ValueError, match="an id of its own, got that of its job job"):
        pool.try_start(TrainBatch(jobs=(make_job(tmp_path),), id="job"))
    assert leases.held == ()
    assert pool.try_start(make_job(tmp_path, "hang"))
    with pytest.raises(ValueError, match="job: running already"):
        pool.try_start(make_job(tmp_path))


# --- what happens to a pool ------------------------------------------------------------------


def test_a_killed_worker_is_started_once_more(either, tmp_path):
    outcome, started = run_one(either, tmp_path, "die at first", times=1)
    assert isinstance(outcome, TrialDone)
    assert started == 2


def test_work_that_kills_two_workers_gets_a_process_of_its_own(either, tmp_path):
    outcome, started = run_one(either, tmp_path, "die at first", times=2)
    assert isinstance(outcome, TrialDone)
    assert started == 3
    assert children() == []


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("die", "SIGKILL"),
        ("segfault", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("exit quietly", "exit status 3"),
    ],
)
def test_the_third_death_is_the_jobs_failure_and_names_each(either, tmp_path, fault, named):
    outcome, started = run_one(either, tmp_path, fault)
    assert isinstance(outcome, TrainFailed)
    assert outcome.kind == "crashed"
    assert outcome.message.count(named) == 3
    assert started == 3


def test_the_message_of_a_crash_holds_the_words_of_its_own_job_only(pool, tmp_path):
    run_one(pool, tmp_path, "say", job_id="before", words="of another job\n")
    outcome, _ = run_one(pool, tmp_path, "say and die", words="cannot go on\n", signal=9)
    assert "cannot go on" in outcome.message
    assert "of another job" not in outcome.message


def test_a_worker_that_aborts_for_want_of_memory_is_told_from_a_bug(either, tmp_path):
    """As catboost does on a GPU: no exception, an abort."""
    words = "what(): CUDA error 2: out of memory\n"
    outcome, started = run_one(either, tmp_path, "say and die", words=words, signal=6)
    assert outcome.kind == "oom"
    assert "SIGABRT (it ended when memory ran out" in outcome.message
    assert started == 3


def test_a_process_killed_for_memory_just_before_a_job_has_nothing_to_do_with_its_end(
    pool, tmp_path, monkeypatch
):
    kills = [3]
    monkeypatch.setattr(child, "memory_kills", lambda: kills[0])
    run_one(pool, tmp_path, "succeed", job_id="before")
    kills[0] = 4
    outcome, _ = run_one(pool, tmp_path, "die")
    assert outcome.kind == "crashed"


def test_a_batch_goes_on_with_the_jobs_that_are_not_answered(either, tmp_path):
    batch = make_batch(tmp_path, "succeed", ("die at first", {"times": 1}), "succeed")
    ended, seen = run_batch(either, batch)
    assert all(isinstance(outcome, TrialDone) for outcome in ended.values())
    assert starts(seen) == [("b0", 1), ("b1", 1), ("b2", 1), ("b1", 2), ("b2", 2)]


def test_a_job_that_kills_its_batch_fails_alone(either, leases, tmp_path):
    ended, seen = run_batch(either, make_batch(tmp_path, "succeed", "segfault", "succeed"))
    assert [type(ended[f"b{i}"]) for i in range(3)] == [TrialDone, TrainFailed, TrialDone]
    assert ended["b1"].kind == "crashed"
    assert starts(seen)[-2:] == [("b1", 3), ("b2", 3)]
    assert leases.held == ()


@pytest.mark.parametrize("seed", range(3))
def test_workers_killed_at_random_moments_cost_no_job(either, tmp_path, seed):
    chance = random.Random(seed)
    batch = make_batch(tmp_path, *[("work", {"s": 0.02})] * 5)
    assert either.try_start(batch)
    assert either.try_start(make_job(tmp_path, "work", s=0.1))
    ended, kills = {}, 2
    while len(ended) < 6:
        for event in either.wait(chance.uniform(0.0, 0.1) if kills else 5.0):
            if isinstance(event, JobEnded):
                assert event.job.id not in ended
                ended[event.job.id] = event.outcome
        living = children()
        if kills and living:
            chance.choice(living).kill()
            kills -= 1
    assert all(isinstance(outcome, TrialDone) for outcome in ended.values())


def test_an_idle_workers_death_costs_nothing(pool, tmp_path):
    first, _ = run_one(pool, tmp_path, "succeed", job_id="first")
    children()[0].kill()
    wait_for(pool, lambda: not children())
    second, started = run_one(pool, tmp_path, "succeed", job_id="second")
    assert second.device != first.device
    assert started == 1


def test_a_job_sent_to_a_worker_that_has_just_died_is_not_lost(pool, tmp_path):
    run_one(pool, tmp_path, "answer and die", job_id="first")
    outcome, _ = run_one(pool, tmp_path, "succeed", job_id="second")
    assert isinstance(outcome, TrialDone)


@pytest.mark.parametrize("fault", ["hang", "stop", "ignore term", "spew for ever"])
def test_the_deadline_holds_whatever_the_worker_does(either, tmp_path, fault):
    started = time.monotonic()
    outcome, attempts = run_one(either, tmp_path, fault, deadline_s=0.4)
    assert outcome.kind == "timeout"
    assert outcome.message == "no result within 0.4 s"
    assert attempts == 1
    assert time.monotonic() - started < 1.4


def test_a_batch_past_its_deadline_keeps_what_was_answered(either, tmp_path):
    ended, _ = run_batch(either, make_batch(tmp_path, "succeed", "hang", "succeed", deadline_s=0.5))
    assert isinstance(ended["b0"], TrialDone)
    assert [ended[name].kind for name in ("b1", "b2")] == ["timeout", "timeout"]


def test_an_answer_after_the_deadline_is_not_heard(pool, tmp_path):
    outcome, _ = run_one(pool, tmp_path, "work", s=0.4, deadline_s=0.2)
    assert outcome.kind == "timeout"
    assert pool.wait(0.4) == []


def test_a_second_answer_is_dropped_by_its_id(pool, tmp_path):
    first, _ = run_one(pool, tmp_path, "answer twice", job_id="first")
    second, _ = run_one(pool, tmp_path, "succeed", job_id="second")
    assert isinstance(second, TrialDone)
    assert first.device == second.device
    assert pool.late_replies == 1


def test_an_idle_worker_that_hangs_is_found_by_a_ping(open_pool, tmp_path):
    pool = open_pool(patience=Patience(idle_s=0.1, pong_s=0.2))
    run_one(pool, tmp_path, "answer and stop", job_id="first")
    wait_for(pool, lambda: not children())


def test_an_idle_worker_that_answers_pings_is_kept(open_pool, tmp_path):
    pool = open_pool(patience=Patience(idle_s=0.05, pong_s=2.0))
    first, _ = run_one(pool, tmp_path, "succeed", job_id="first")
    assert pool.wait(0.3) == []
    second, _ = run_one(pool, tmp_path, "succeed", job_id="second")
    assert first.device == second.device


def test_a_worker_that_is_never_ready_is_killed_and_named(open_pool, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULTY_START", "never ready")
    pool = open_pool(patience=Patience(ready_s=0.1))
    outcome, started = run_one(pool, tmp_path, "succeed")
    assert outcome.kind == "crashed"
    assert outcome.message.count("not ready within 0.1 s") == 3
    assert started == 3


def test_a_worker_of_another_family_is_refused(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULTY_START", "another family")
    outcome, _ = run_one(pool, tmp_path, "succeed")
    assert outcome.kind == "internal"
    assert "serves catboost, wanted lightgbm" in outcome.message


def test_a_command_that_cannot_be_started_is_the_jobs_failure(open_pool, tmp_path):
    pool = open_pool(command=("/nowhere/worker",))
    outcome, _ = run_one(pool, tmp_path, "succeed")
    assert outcome.kind == "crashed"
    assert outcome.message.count("could not be started") == 3


@pytest.mark.parametrize("then", ["stay", "go", "die"])
def test_grandchildren_that_hold_the_pipe_are_not_waited_for_and_go_too(open_pool, tmp_path, then):
    """One of them has left the worker's group."""
    pool = open_pool(persistent=False)
    outcome, _ = run_one(pool, tmp_path, "grandchild", then=then)
    assert isinstance(outcome, TrainFailed if then == "die" else TrialDone)
    pids = (tmp_path / "job").read_text().split()
    assert len(pids) == 2
    wait_for(pool, lambda: all(gone(int(pid)) for pid in pids))


def test_two_hundred_megabytes_on_stderr_neither_block_nor_stay(either, tmp_path):
    before = psutil.Process().memory_info().rss
    outcome, _ = run_one(either, tmp_path, "spew")
    assert isinstance(outcome, TrialDone)
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_what_libraries_print_does_not_reach_the_protocol(either, tmp_path):
    outcome, _ = run_one(either, tmp_path, "print")
    assert isinstance(outcome, TrialDone)


def test_half_a_line_is_discarded_and_the_job_tried_again(either, tmp_path):
    outcome, started = run_one(either, tmp_path, "half then whole")
    assert isinstance(outcome, TrialDone)
    assert started == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("endless line", "longer than 8388608 bytes"),
        ("long line", "longer than 8388608 bytes"),
        ("no json", "reply is not JSON"),
        ("wrong id", "another job"),
        ("wrong kind", "job was answered by predict_complete"),
    ],
)
def test_a_worker_that_breaks_the_protocol_is_not_used_again(pool, tmp_path, fault, message):
    outcome, started = run_one(pool, tmp_path, fault)
    assert outcome.kind == "internal"
    assert message in outcome.message
    assert started == 1
    assert children() == []


def test_a_worker_that_failed_for_no_known_reason_is_replaced(pool, tmp_path):
    run_one(pool, tmp_path, "fail", job_id="oom", kind="oom")
    (worker,) = children()
    run_one(pool, tmp_path, "fail", job_id="internal", kind="internal")
    outcome, _ = run_one(pool, tmp_path, "succeed")
    assert outcome.device != f"pid {worker.pid}"


def test_a_cancelled_job_says_why(either, tmp_path):
    assert either.try_start(make_job(tmp_path, "hang"))
    either.cancel("job", "time is up")
    ended, _ = outcomes(either)
    assert ended["job"].kind == "cancelled"
    assert ended["job"].message == "time is up"
    either.cancel("job", "once more")
    assert either.wait(0.0) == []


def test_a_cancelled_job_takes_the_rest_of_its_batch_along(either, tmp_path):
    assert either.try_start(make_batch(tmp_path, "succeed", "hang", "succeed"))
    ended, _ = outcomes(either)
    either.cancel("b2", "time is up")
    rest, _ = outcomes(either, count=2)
    assert isinstance(ended["b0"], TrialDone)
    assert [rest[name].kind for name in ("b1", "b2")] == ["cancelled", "cancelled"]


def test_a_device_taken_away_cuts_its_work_off_at_once_and_the_next_work_goes_elsewhere(
    open_pool, leases, tmp_path
):
    pool = open_pool()
    gpus = [Device("cuda", f"GPU-{i}", i, f"GPU {i}", 1000, 900) for i in range(2)]
    pool.use(gpus, threads=3, reason="moved")
    for job_id, do in (("a", "hang"), ("b", "hang")):
        assert pool.try_start(make_job(tmp_path, do, job_id))
    assert not pool.try_start(make_job(tmp_path, "hang", "c"))
    pool.use(gpus[:1], threads=4, reason="switched off")
    assert [job.id for job in pool.running] == ["a"]
    ended, _ = outcomes(pool)
    assert (ended["b"].kind, ended["b"].message) == ("cancelled", "switched off")
    assert [held.device for held in leases.held] == gpus[:1]
    pool.use(cpu_slots(2), threads=1, reason="switched off")
    ended, _ = outcomes(pool)
    assert ended["a"].kind == "cancelled"
    assert pool.try_start(make_job(tmp_path, "succeed", "a"))
    assert [held.device.kind for held in leases.held] == ["cpu"]
    ended, _ = outcomes(pool)
    assert isinstance(ended["a"], TrialDone)


def test_each_family_works_on_its_own_kind_of_device(open_pool, leases, tmp_path):
    """On a CPU slot a worker has one thread; it goes on there when the GPU is switched off."""
    pool = open_pool()
    gpu = Device("cuda", "GPU-0", 0, "GPU 0", 1000, 900)
    pool.use([gpu, *cpu_slots(1)], threads=3, reason="moved")
    assert pool.try_start(make_job(tmp_path, "hang", "a", family="xgboost"))
    assert not pool.try_start(make_job(tmp_path, "hang", "b", family="catboost"))
    assert pool.try_start(make_job(tmp_path, "hang", "c", family="lightgbm"))
    assert not pool.try_start(make_job(tmp_path, "hang", "d", family="lightgbm"))
    held = [(lease.holder, lease.device.kind) for lease in leases.held]
    assert held == [("a", "cuda"), ("c", "cpu")]
    words = [child.cmdline() for child in children()]
    asked = {each[each.index("--family") + 1]: each[each.index("--threads") + 1] for each in words}
    assert asked == {"xgboost": "3", "lightgbm": "1"}
    pool.use(cpu_slots(2), threads=1, reason="switched off")
    ended, _ = outcomes(pool)
    assert (list(ended), ended["a"].kind) == (["a"], "cancelled")
    assert [job.id for job in pool.running] == ["c"]


def test_work_on_a_cpu_slot_is_finished_when_gpus_take_over(open_pool, leases, tmp_path):
    pool = open_pool()
    assert pool.try_start(make_job(tmp_path, "succeed"))
    pool.use([Device("cuda", "GPU-0", 0, "GPU 0", 1000, 900)], threads=1, reason="moved")
    ended, _ = outcomes(pool)
    assert isinstance(ended["job"], TrialDone)
    wait_for(pool, lambda: not children())
    assert leases.held == ()


def test_one_worker_killed_leaves_the_other_alone(either, tmp_path):
    assert either.try_start(make_job(tmp_path, "die", "a"))
    assert either.try_start(make_job(tmp_path, "succeed", "b"))
    ended, _ = outcomes(either, count=2)
    assert isinstance(ended["a"], TrainFailed)
    assert isinstance(ended["b"], TrialDone)


def test_a_stopped_worker_does_not_block_its_parent(pool, tmp_path):
    run_one(pool, tmp_path, "answer and stop", job_id="first")
    started = time.monotonic()
    # More than a pipe holds.
    assert pool.try_start(make_job(tmp_path, deadline_s=0.3, words="x" * (4 << 20)))
    assert time.monotonic() - started < 0.3
    ended, _ = outcomes(pool)
    assert ended["job"].kind == "timeout"


def test_a_command_larger_than_a_pipe_arrives_whole(either, tmp_path):
    outcome, _ = run_one(either, tmp_path, "succeed", words="x" * (4 << 20))
    assert isinstance(outcome, TrialDone)


def test_a_worker_is_spawned_not_forked_from_a_parent_with_threads(pool, tmp_path):
    import numpy as np

    np.ones((200, 200)) @ np.ones((200, 200))
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        outcome, _ = run_one(pool, tmp_path, "threads")
        (worker,) = children()
        assert outcome.message == "1"
        assert worker.cmdline()[: len(COMMAND)] == list(COMMAND)
        assert "numpy" not in Path(f"/proc/{worker.pid}/maps").read_text()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_leaving_pool_cancels_what_runs(leases, tmp_path):
    with Pool(leases, threads=1, command=COMMAND) as pool:
        assert pool.try_start(make_job(tmp_path, "hang"))
    assert children() == []
    assert leases.held == ()


def test_two_hundred_kills_leave_nothing_behind(open_pool, tmp_path):
    pool = open_pool(command=DYING)
    warm = make_job(tmp_path, job_id="warm", family="neural_net")
    assert pool.try_start(warm)
    outcomes(pool)
    files, memory = open_files(), psutil.Process().memory_info().rss
    # Two workers die of the batch, then one of each of its jobs.
    ended, seen = run_batch(pool, make_batch(tmp_path, *["succeed"] * 198))
    assert {outcome.kind for outcome in ended.values()} == {"crashed"}
    assert len(starts(seen)) == 3 * 198
    assert open_files() == files
    assert psutil.Process().memory_info().rss - memory < 10_000_000


def test_real_workers_die_with_a_parent_that_is_killed(tmp_path):
    """One of them is stopped while idle, one is in the middle of its imports."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.kill()
        parent.wait()
        _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    assert LeaseQueue(cpu_slots(1), tmp_path).taken_elsewhere() == ()
