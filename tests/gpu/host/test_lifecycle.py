"""What a pool decides, as lists of instructions: no process, no pipe, no clock but a number."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gpu.host.devices import Device, devices_of
from gpu.host.instructions import GiveBack, Kill, Report, Send, Spawn
from gpu.host.leases import Lease
from gpu.host.lifecycle import Lifecycle
from gpu.host.roster import Patience, WorkerState
from gpu.host.units import FoldFitted, JobEnded, JobStarted
from gpu.protocol import (
    FinalFit,
    FitDone,
    FoldDone,
    FoldScore,
    Ping,
    Pong,
    PredictDone,
    Ready,
    ShellDone,
    Shutdown,
    TrainBatch,
    TrainFailed,
    TrainTrial,
    TrialDone,
)

SLOTS = [Device("cpu", f"cpu-slot-{i}", i, f"CPU slot {i}", 1000, 900) for i in range(2)]
GPUS = [Device("cuda", f"GPU-{name}", i, f"GPU {i}", 1000, 900) for i, name in enumerate("ab")]
MIXED = [GPUS[0], *SLOTS]
EXCLUSIVE = Device("cuda", "GPU-x", 9, "GPU x", 1000, 900, exclusive=True)
PATIENCE = Patience(ready_s=100.0, idle_s=30.0, pong_s=10.0, exit_s=2.0)
PING, SHUTDOWN = Ping(command="ping"), Shutdown(command="shutdown")


def trial(job_id="t", family="lightgbm", deadline_s=None):
    return TrainTrial(
        id=job_id,
        family=family,
        trial_number=0,
        params={},
        table="table",
        folds=(0,),
        seed=0,
        predictions_path="predictions",
        deadline_s=deadline_s,
    )


def batch(*ids, deadline_s=None):
    jobs = tuple(trial(job_id, "neural_net") for job_id in ids)
    return TrainBatch(jobs=jobs, id="batch", n_concurrent=3, deadline_s=deadline_s)


def lease(device=SLOTS[0]):
    return Lease(device, "holder", 0.0)


def ready(family="lightgbm"):
    return Ready(family=family, device="cpu", pid=1)


def done(job_id="t"):
    return TrialDone(
        id=job_id, scores=(), pruned=False, duration_s=1.0, device="cpu", peak_rss_mib=1.0
    )


def fold(job_id="t"):
    score = FoldScore(
        fold=0, r2=0.5, val_mse=1.0, train_mse=1.0, best_round=1, rounds_run=1, duration_s=0.1
    )
    return FoldDone(id=job_id, score=score)


def failed(kind, message, job_id="t"):
    return TrainFailed(kind=kind, message=message, id=job_id)


def started(job, attempt=1, device=SLOTS[0]):
    return Report(JobStarted(job, device.name, attempt))


def ended(job, outcome, wall_s=0.0):
    return Report(JobEnded(job, outcome, wall_s))


def message_of(instructions):
    """The message of the only outcome among the instructions."""
    (outcome,) = (i.event.outcome for i in instructions if is_end(i))
    return outcome.message


def is_end(instruction):
    return isinstance(instruction, Report) and isinstance(instruction.event, JobEnded)


def make(devices=SLOTS, **options):
    return Lifecycle(devices, **{"patience": PATIENCE, **options})


def with_idle_worker(**options):
    """A pool whose worker 1 has started, for lightgbm, and waits since 0."""
    life = make(**options)
    life.foreseen("lightgbm", 0.0)
    assert life.replied(1, ready(), 0.0) == []
    assert life.workers == {1: WorkerState.IDLE}
    return life


def with_busy_worker(work, held=None, **options):
    """A pool whose worker 1 has been given work at 0, and is ready."""
    life = make(**options)
    life.submitted(work, held or lease(), 0.0)
    family = "neural_net" if isinstance(work, TrainBatch) else work.family
    assert life.replied(1, ready(family), 0.0) == []
    return life


# --- the way of work -------------------------------------------------------------------------


def test_work_without_a_worker_spawns_one_and_is_sent_ahead_of_its_ready_line():
    life, job = make(), trial()
    assert life.submitted(job, lease(), 0.0) == [
        Spawn(1, "lightgbm", SLOTS[0], once=False),
        Send(1, job),
        started(job),
    ]
    assert life.workers == {1: WorkerState.BUSY}
    assert life.replied(1, ready(), 1.0) == []
    assert life.workers == {1: WorkerState.BUSY}


def test_an_answer_ends_the_job_gives_its_lease_back_and_leaves_the_worker_idle():
    job, held = trial(), lease()
    life = with_busy_worker(job, held)
    assert life.replied(1, done(), 7.0) == [ended(job, done(), 7.0), GiveBack(held)]
    assert life.workers == {1: WorkerState.IDLE}
    assert life.units == ()


def test_an_idle_worker_of_the_family_is_used_again():
    life, job = with_idle_worker(), trial()
    assert life.submitted(job, lease(), 1.0) == [Send(1, job), started(job)]


def test_a_worker_that_is_starting_takes_work_where_none_is_idle():
    life, job = make(), trial()
    life.foreseen("lightgbm", 0.0)
    assert life.submitted(job, lease(), 1.0) == [Send(1, job), started(job)]


def test_the_worker_used_last_is_used_first():
    life = with_busy_worker(trial("a"))
    life.submitted(trial("b"), lease(SLOTS[1]), 0.0)
    life.replied(2, ready(), 0.0)
    life.replied(1, done("a"), 5.0)
    life.replied(2, done("b"), 4.0)
    assert Send(1, trial("c")) in life.submitted(trial("c"), lease(), 6.0)


def test_a_worker_on_the_cpu_serves_every_slot():
    life = with_idle_worker()
    assert Send(1, trial()) in life.submitted(trial(), lease(SLOTS[1]), 1.0)


def test_a_worker_on_a_gpu_serves_that_gpu_only():
    life = with_busy_worker(trial("a"), lease(GPUS[0]), devices=GPUS)
    life.replied(1, done("a"), 1.0)
    assert life.preferred("lightgbm") == ("GPU-a",)
    assert life.preferred("xgboost") == ()
    other = life.submitted(trial("b"), lease(GPUS[1]), 2.0)
    assert other[0] == Spawn(2, "lightgbm", GPUS[1], once=False)


def test_the_gpu_whose_worker_was_used_last_is_preferred():
    life = with_busy_worker(trial("a"), lease(GPUS[0]), devices=GPUS)
    life.submitted(trial("b"), lease(GPUS[1]), 0.0)
    life.replied(2, ready(), 0.0)
    life.replied(1, done("a"), 1.0)
    life.replied(2, done("b"), 2.0)
    assert life.preferred("lightgbm") == ("GPU-b", "GPU-a")


def test_a_worker_of_another_family_is_not_used():
    life = with_idle_worker()
    instructions = life.submitted(trial(family="xgboost"), lease(), 1.0)
    assert instructions[0] == Spawn(2, "xgboost", SLOTS[0], once=False)


def test_folds_are_reported_as_they_come():
    life = with_busy_worker(trial())
    assert life.replied(1, fold(), 1.0) == [Report(FoldFitted(trial(), fold()))]


def test_a_process_of_one_job_is_killed_when_it_has_answered():
    job, held = trial(), lease()
    life = make(persistent=False)
    assert life.submitted(job, held, 0.0)[0] == Spawn(1, "lightgbm", SLOTS[0], once=True)
    assert life.replied(1, done(), 1.0) == [ended(job, done(), 1.0), Kill(1), GiveBack(held)]
    assert life.workers == {}


def test_a_batch_is_one_message_and_its_jobs_end_one_by_one():
    work, held = batch("a", "b", "c"), lease()
    life = make()
    assert life.submitted(work, held, 0.0) == [
        Spawn(1, "neural_net", SLOTS[0], once=False),
        Send(1, work),
        *[started(job) for job in work.trials],
    ]
    a, b, c = work.trials
    oom = failed("oom", "no room", "a")
    # In any order; the walls add up to the time of the unit.
    assert life.replied(1, done("b"), 3.0) == [ended(b, done("b"), 3.0)]
    assert life.replied(1, oom, 4.0) == [ended(a, oom, 1.0)]
    assert life.replied(1, done("c"), 9.0) == [ended(c, done("c"), 5.0), GiveBack(held)]


def test_a_refusal_of_a_batch_as_a_whole_fails_each_of_its_open_jobs():
    work, held = batch("a", "b", "c"), lease()
    _, b, c = work.trials
    for whole in (None, "batch"):
        life = with_busy_worker(work, held)
        life.replied(1, done("a"), 1.0)
        assert life.replied(1, failed("bad_job", "no", whole), 2.0) == [
            ended(b, failed("bad_job", "no", "b"), 1.0),
            ended(c, failed("bad_job", "no", "c"), 0.0),
            GiveBack(held),
        ]


def test_the_failure_of_the_first_job_of_a_batch_without_a_name_is_not_that_of_all():
    work = batch("a", "b").model_copy(update={"id": None})
    life = with_busy_worker(work)
    oom = failed("oom", "no room", "a")
    assert life.replied(1, oom, 1.0) == [ended(work.trials[0], oom, 1.0)]
    assert [job.id for unit in life.units for job in unit.open] == ["b"]


# --- deaths ----------------------------------------------------------------------------------


def test_the_work_of_a_dead_worker_goes_to_a_new_one_under_the_same_lease():
    life, job = with_busy_worker(trial()), trial()
    assert life.exited(1, "killed by SIGKILL", 1.0) == [
        Spawn(2, "lightgbm", SLOTS[0], once=False),
        Send(2, job),
        started(job, attempt=2),
    ]


def test_the_work_of_a_dead_worker_is_not_given_to_one_that_is_idle():
    life = with_idle_worker()
    life.submitted(trial(), lease(), 0.0)
    life.submitted(trial("b"), lease(SLOTS[1]), 0.0)
    life.replied(2, done("b"), 1.0)
    life.replied(2, ready(), 1.0)
    assert life.exited(1, "killed by SIGKILL", 2.0)[0] == Spawn(3, "lightgbm", SLOTS[0], once=False)


def test_work_that_has_killed_two_workers_is_tried_in_a_process_of_its_own():
    life, job = with_busy_worker(trial()), trial()
    life.exited(1, "killed by SIGKILL", 1.0)
    assert life.exited(2, "killed by SIGSEGV", 2.0) == [
        Spawn(3, "lightgbm", SLOTS[0], once=True),
        Send(3, job),
        started(job, attempt=3),
    ]


def test_the_third_death_fails_the_job_and_tells_of_each():
    held, job = lease(), trial()
    life = with_busy_worker(job, held)
    life.exited(1, "killed by SIGKILL", 1.0)
    life.exited(2, "killed by SIGSEGV", 2.0)
    message = (
        "the worker died in each of 3 attempts: "
        "killed by SIGKILL; then killed by SIGSEGV; then exit status 3"
    )
    assert life.exited(3, "exit status 3", 4.0) == [
        ended(job, failed("crashed", message), 4.0),
        GiveBack(held),
    ]
    assert life.workers == {}


def test_one_process_a_unit_has_the_same_attempts():
    life = make(persistent=False)
    life.submitted(trial(), lease(), 0.0)
    spawns = [life.exited(worker, "exit status 1", 1.0)[0] for worker in (1, 2)]
    assert [spawn.once for spawn in spawns] == [True, True]
    assert "3 attempts" in message_of(life.exited(3, "exit status 1", 1.0))


def test_a_restarted_batch_holds_the_open_jobs_only():
    work = batch("a", "b", "c")
    life = with_busy_worker(work)
    life.replied(1, done("a"), 1.0)
    rest = work.model_copy(update={"jobs": work.jobs[1:]})
    assert life.exited(1, "killed by SIGKILL", 2.0) == [
        Spawn(2, "neural_net", SLOTS[0], once=False),
        Send(2, rest),
        *[started(job, attempt=2) for job in rest.trials],
    ]


def test_the_third_attempt_of_a_batch_is_one_process_a_job_under_its_lease():
    work, held = batch("a", "b", "c"), lease()
    a, _, c = work.trials
    life = with_busy_worker(work, held)
    life.exited(1, "killed by SIGKILL", 1.0)
    life.replied(2, done("b"), 2.0)
    assert life.exited(2, "killed by SIGABRT", 3.0) == [
        Spawn(3, "neural_net", SLOTS[0], once=True),
        Send(3, a),
        started(a, attempt=3),
    ]
    crashed = life.exited(3, "exit status 9", 5.0)
    assert "SIGKILL; then killed by SIGABRT; then exit status 9" in crashed[0].event.outcome.message
    assert crashed[1:] == [
        Spawn(4, "neural_net", SLOTS[0], once=True),
        Send(4, c),
        started(c, attempt=3),
    ]
    assert life.replied(4, done("c"), 6.0) == [ended(c, done("c"), 1.0), Kill(4), GiveBack(held)]


def test_a_process_of_one_job_cannot_answer_for_the_others_of_its_batch():
    work = batch("a", "b")
    life = with_busy_worker(work)
    life.exited(1, "killed by SIGKILL", 1.0)
    life.exited(2, "killed by SIGKILL", 1.0)
    kill, failure, spawn, *_ = life.replied(3, done("b"), 2.0)
    assert (kill, spawn) == (Kill(3), Spawn(4, "neural_net", SLOTS[0], once=True))
    assert failure.event.job.id == "a"
    assert "for another job, b" in failure.event.outcome.message


@pytest.mark.parametrize("asked", [0, 5, 99])
def test_a_batch_that_ran_out_of_memory_is_tried_again_by_halves_then_one_by_one(asked):
    jobs = tuple(job.model_copy(update={"folds": (0, 1)}) for job in batch("a", "b", "c").trials)
    work = batch("a", "b", "c").model_copy(update={"jobs": jobs, "n_concurrent": asked})
    life = with_busy_worker(work)
    again = life.exited(1, "out of memory", 1.0, of_memory=True)
    # Three trials of two folds are six networks, however many more were allowed.
    half = 2 if asked == 5 else 3
    assert again[1] == Send(2, work.model_copy(update={"n_concurrent": half}))
    alone = life.exited(2, "out of memory", 2.0, of_memory=True)
    # One trial a process, and of that one network at a time.
    one = {"jobs": jobs[:1], "n_concurrent": 1}
    assert alone[:2] == [
        Spawn(3, "neural_net", SLOTS[0], once=True),
        Send(3, work.model_copy(update=one)),
    ]
    last = life.exited(3, "out of memory", 3.0, of_memory=True)
    assert last[0].event.outcome.kind == "oom"
    assert last[2] == Send(4, work.model_copy(update={**one, "jobs": jobs[1:2]}))
    assert life.exited(4, "a bug", 3.0)[0].event.outcome.kind == "crashed"


def test_the_death_of_an_idle_worker_asks_for_nothing():
    life = with_idle_worker()
    assert life.exited(1, "killed by SIGKILL", 1.0) == []
    assert life.workers == {}


def test_a_worker_that_dies_of_its_start_is_not_started_ahead_again_until_one_was_ready():
    life = make()
    assert life.foreseen("lightgbm", 0.0) == [Spawn(1, "lightgbm", SLOTS[0], once=False)]
    assert life.exited(1, "exit status 1", 1.0) == []
    assert life.foreseen("lightgbm", 2.0) == []
    life.submitted(trial(), lease(), 3.0)
    life.replied(2, ready(), 4.0)
    assert life.foreseen("lightgbm", 5.0) == [Spawn(3, "lightgbm", SLOTS[0], once=False)]


# --- replies that do not belong ----------------------------------------------------------------


@pytest.mark.parametrize("late", [done("a"), fold("a"), failed("oom", "no room", "a")])
def test_a_reply_to_a_job_that_has_ended_is_counted_and_dropped(late):
    life = with_busy_worker(trial("a"))
    life.replied(1, done("a"), 1.0)
    assert life.replied(1, late, 2.0) == []
    life.submitted(trial("b"), lease(), 3.0)
    assert life.replied(1, late, 4.0) == []
    assert life.late_replies == 2
    assert life.replied(1, done("b"), 5.0)[0] == ended(trial("b"), done("b"), 2.0)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (done("other"), "a reply (trial_complete) for another job, other"),
        (fold("other"), "a reply (fold) for another job, other"),
        (failed("oom", "no room", "other"), "a reply (error) for another job, other"),
        (PredictDone(id="t", n_rows=1), "t was answered by predict_complete"),
        (ready("xgboost"), "it serves xgboost, wanted lightgbm"),
    ],
)
def test_a_reply_that_cannot_be_right_fails_the_job_and_kills_the_worker(reply, message):
    held, job = lease(), trial()
    life = with_busy_worker(job, held)
    expected = failed("internal", f"the worker broke the protocol: {message}")
    assert life.replied(1, reply, 1.0) == [Kill(1), ended(job, expected, 1.0), GiveBack(held)]


def test_a_line_that_is_no_reply_fails_what_is_open_and_kills_the_worker():
    work, held = batch("a", "b"), lease()
    life = with_busy_worker(work, held)
    life.replied(1, done("a"), 1.0)
    expected = failed("internal", "the worker broke the protocol: not JSON", "b")
    assert life.garbled(1, "not JSON", 3.0) == [
        Kill(1),
        ended(work.trials[1], expected, 2.0),
        GiveBack(held),
    ]


def test_a_shell_reply_was_never_asked_for():
    reply = ShellDone(
        model_type="lightgbm", trial_number=0, fold_idx=0, r2=0.0, val_mse=0.0, train_mse=0.0,
        duration=0.0, device="cpu", epochs_run=1,
    )  # fmt: skip
    assert "shell" in message_of(with_busy_worker(trial()).replied(1, reply, 1.0))


def test_a_reply_from_a_worker_without_work_ends_that_worker_alone():
    life = with_idle_worker()
    assert life.replied(1, done("x"), 1.0) == [Kill(1)]
    life = with_idle_worker()
    assert life.replied(1, failed("bad_job", "no", None), 1.0) == [Kill(1)]


def test_a_final_fit_is_answered_by_a_fit():
    job = FinalFit(
        id="f", family="lightgbm", trial_number=0, params={}, rounds=1, table="t", seed=0,
        checkpoint_path="c", preprocessing_path="p", predictions_path="q",
    )  # fmt: skip
    fit = FitDone(
        id="f", checkpoint_sha256="0", train_mse=0.0, duration_s=1.0, device="cpu",
        library_version="1",
    )  # fmt: skip
    assert ended(job, fit, 1.0) in with_busy_worker(job).replied(1, fit, 1.0)
    assert message_of(with_busy_worker(job).replied(1, done("f"), 1.0)).endswith("trial_complete")


def test_a_worker_with_an_unforeseen_failure_is_replaced_after_its_unit():
    job, held = trial(), lease()
    life = with_busy_worker(job, held)
    internal = failed("internal", "illegal access")
    assert life.replied(1, internal, 1.0) == [
        ended(job, internal, 1.0),
        Send(1, SHUTDOWN),
        GiveBack(held),
    ]
    assert life.workers == {1: WorkerState.STOPPING}


# --- time --------------------------------------------------------------------------------------


def test_nothing_to_wait_for_is_no_alarm():
    assert make().alarm() is None
    assert make().ticked(1e9) == []


def test_a_deadline_ends_all_that_is_open_without_another_attempt():
    work, held = batch("a", "b", "c", deadline_s=20.0), lease()
    life = with_busy_worker(work, held)
    life.replied(1, done("a"), 5.0)
    assert life.alarm() == 20.0
    assert life.ticked(19.9) == []
    late = "no result within 20.0 s"
    assert life.ticked(20.0) == [
        Kill(1),
        ended(work.trials[1], failed("timeout", late, "b"), 15.0),
        ended(work.trials[2], failed("timeout", late, "c"), 0.0),
        GiveBack(held),
    ]
    assert life.alarm() is None


def test_the_deadline_counts_from_the_first_attempt():
    life = with_busy_worker(trial(deadline_s=20.0))
    life.exited(1, "killed by SIGKILL", 19.0)
    assert life.alarm() == 20.0
    assert "no result" in message_of(life.ticked(20.0))


def test_a_worker_that_is_not_ready_in_time_counts_as_dead():
    life, job = make(), trial()
    life.submitted(job, lease(), 0.0)
    assert life.alarm() == 100.0
    assert life.ticked(100.0) == [
        Kill(1),
        Spawn(2, "lightgbm", SLOTS[0], once=False),
        Send(2, job),
        started(job, attempt=2),
    ]
    life.ticked(200.0)
    assert message_of(life.ticked(300.0)).count("killed: not ready within 100 s") == 3


def test_a_worker_started_ahead_that_is_not_ready_in_time_is_killed():
    life = make()
    life.foreseen("lightgbm", 0.0)
    assert life.ticked(100.0) == [Kill(1)]
    assert life.foreseen("lightgbm", 101.0) == []


def test_an_idle_worker_is_pinged_and_kept_if_it_answers():
    life = with_idle_worker()
    assert life.alarm() == 30.0
    assert life.ticked(30.0) == [Send(1, PING)]
    assert life.alarm() == 40.0
    assert life.ticked(35.0) == []
    assert life.replied(1, Pong(pid=1), 36.0) == []
    assert life.alarm() == 66.0
    assert life.ticked(40.0) == []


def test_an_idle_worker_that_does_not_answer_a_ping_is_killed():
    life = with_idle_worker()
    life.ticked(30.0)
    assert life.ticked(40.0) == [Kill(1)]


def test_work_given_to_a_worker_that_owes_a_pong_is_not_lost_with_it():
    life, job = with_idle_worker(), trial()
    life.ticked(30.0)
    life.submitted(job, lease(), 31.0)
    assert life.ticked(40.0) == [
        Kill(1),
        Spawn(2, "lightgbm", SLOTS[0], once=False),
        Send(2, job),
        started(job, attempt=2),
    ]


def test_a_busy_worker_is_not_pinged():
    life = with_busy_worker(trial())
    assert life.alarm() is None
    assert life.ticked(1e6) == []


# --- what people ask for -------------------------------------------------------------------------


def test_a_cancelled_job_ends_its_unit_and_its_worker():
    work, held = batch("a", "b", "c"), lease()
    life = with_busy_worker(work, held)
    life.replied(1, done("a"), 1.0)
    assert life.cancelled("c", "time is up", 2.0) == [
        Kill(1),
        ended(work.trials[1], failed("cancelled", "time is up", "b"), 1.0),
        ended(work.trials[2], failed("cancelled", "time is up", "c"), 0.0),
        GiveBack(held),
    ]
    assert life.cancelled("b", "again", 3.0) == []
    assert life.cancelled("a", "too late", 3.0) == []


def test_other_units_outlive_a_cancelled_one():
    life = with_busy_worker(trial("a"))
    life.submitted(trial("b"), lease(SLOTS[1]), 0.0)
    life.cancelled("a", "enough", 1.0)
    assert life.workers == {2: WorkerState.BUSY}


def test_a_worker_is_started_ahead_once_and_on_a_gpu_under_a_lease_only():
    life = make(devices=GPUS)
    assert life.foreseen("xgboost", 0.0) == []
    life.submitted(trial(), lease(GPUS[1]), 1.0)
    assert life.foreseen("xgboost", 2.0) == [Spawn(2, "xgboost", GPUS[1], once=False)]
    assert life.foreseen("xgboost", 3.0) == []
    life.replied(2, ready("xgboost"), 4.0)
    assert life.foreseen("xgboost", 5.0) == []


def test_beside_gpus_a_worker_is_started_ahead_where_its_family_trains():
    life = make(devices=MIXED)
    assert life.foreseen("lightgbm", 0.0) == [Spawn(1, "lightgbm", SLOTS[0], once=False)]
    assert life.foreseen("xgboost", 0.0) == []
    life.submitted(trial("x", "xgboost"), lease(GPUS[0]), 1.0)
    assert life.foreseen("catboost", 2.0) == [Spawn(3, "catboost", GPUS[0], once=False)]


def test_an_exclusive_gpu_has_no_worker_but_that_of_its_lease():
    """One that waits, or starts ahead, would keep the next one out, of whatever run it is."""
    life = make(devices=[EXCLUSIVE, GPUS[1]])
    job, held = trial("x", "xgboost"), lease(EXCLUSIVE)
    assert life.submitted(job, held, 0.0)[0] == Spawn(1, "xgboost", EXCLUSIVE, once=True)
    assert life.foreseen("catboost", 0.0) == []
    life.replied(1, ready("xgboost"), 0.0)
    # It is gone before the lease is back.
    assert life.replied(1, done("x"), 1.0) == [
        ended(job, done("x"), 1.0),
        Kill(1),
        GiveBack(held),
    ]
    life.submitted(trial("x"), lease(EXCLUSIVE), 2.0)
    life.submitted(trial("y"), lease(GPUS[1]), 2.0)
    assert life.foreseen("catboost", 3.0) == [Spawn(4, "catboost", GPUS[1], once=False)]


def test_a_busy_worker_does_not_keep_another_from_being_started_ahead():
    life = with_busy_worker(trial())
    assert life.foreseen("lightgbm", 1.0) == [Spawn(2, "lightgbm", SLOTS[0], once=False)]


def test_a_retired_family_loses_its_idle_workers():
    life = with_idle_worker()
    life.submitted(trial("x", "xgboost"), lease(), 0.0)
    life.replied(2, ready("xgboost"), 0.0)
    life.foreseen("xgboost", 0.0)
    # One that is still starting has nothing to close.
    assert life.retired("xgboost", 1.0) == [Kill(3)]
    assert life.retired("lightgbm", 1.0) == [Send(1, SHUTDOWN)]
    assert life.workers == {1: WorkerState.STOPPING, 2: WorkerState.BUSY}
    # It was not its own fault that it went.
    assert life.foreseen("xgboost", 2.0) == [Spawn(4, "xgboost", SLOTS[0], once=False)]


def test_a_worker_that_does_not_go_when_told_is_killed():
    life = with_idle_worker()
    life.retired("lightgbm", 1.0)
    assert life.alarm() == 3.0
    assert life.ticked(3.0) == [Kill(1)]


def test_a_worker_that_was_told_to_go_owes_no_pong():
    life = with_idle_worker()
    life.ticked(30.0)
    life.retired("lightgbm", 39.5)
    assert life.alarm() == 41.5


def test_a_worker_that_goes_when_told_is_forgotten():
    life = with_idle_worker()
    life.retired("lightgbm", 1.0)
    assert life.submitted(trial(), lease(), 1.5)[0] == Spawn(2, "lightgbm", SLOTS[0], once=False)
    assert life.exited(1, "exit status 0", 2.0) == []
    assert life.workers == {2: WorkerState.BUSY}


def test_beyond_the_idle_workers_that_are_kept_the_least_recently_used_goes():
    life = with_busy_worker(trial("a"), keep=1)
    life.submitted(trial("b"), lease(SLOTS[1]), 0.0)
    life.replied(2, ready(), 0.0)
    held = life.units[1].lease
    life.replied(1, done("a"), 1.0)
    assert life.replied(2, done("b"), 2.0) == [
        ended(trial("b"), done("b"), 2.0),
        Send(1, SHUTDOWN),
        GiveBack(held),
    ]


def test_switched_off_persistence_ends_idle_workers_now_and_busy_ones_after_their_unit():
    life = with_idle_worker()
    job, held = trial("x", "xgboost"), lease()
    life.submitted(job, held, 0.0)
    life.replied(2, ready("xgboost"), 0.0)
    assert life.switched(False, 1.0) == [Send(1, SHUTDOWN)]
    assert life.foreseen("lightgbm", 1.0) == []
    assert life.replied(2, done("x"), 2.0) == [
        ended(job, done("x"), 2.0),
        Send(2, SHUTDOWN),
        GiveBack(held),
    ]
    assert life.submitted(trial(), lease(), 3.0)[0] == Spawn(3, "lightgbm", SLOTS[0], once=True)
    assert life.switched(True, 4.0) == []
    # The unit that was begun with a process of its own keeps to it.
    assert Kill(3) in life.replied(3, done(), 5.0)
    assert life.submitted(trial(), lease(), 6.0)[0] == Spawn(4, "lightgbm", SLOTS[0], once=False)


def test_a_closed_pool_cancels_its_work_and_tells_its_workers_to_go():
    life = with_idle_worker()
    job, held = trial("x", "xgboost"), lease()
    life.submitted(job, held, 0.0)
    life.foreseen("catboost", 0.0)
    assert life.closed(1.0) == [
        Kill(2),
        ended(job, failed("cancelled", "pool closed", "x"), 1.0),
        GiveBack(held),
        Send(1, SHUTDOWN),
        Kill(3),
    ]


def test_a_gpu_taken_away_loses_its_work_at_once_and_its_idle_workers_go():
    life = make(devices=GPUS)
    jobs, leases = [trial("a"), trial("b")], [lease(GPUS[0]), lease(GPUS[1])]
    for number, (job, held) in enumerate(zip(jobs, leases, strict=True), start=1):
        life.submitted(job, held, 0.0)
        life.replied(number, ready(), 0.0)
    # One more on the second GPU, idle.
    life.foreseen("xgboost", 1.0)
    life.submitted(trial("x", "xgboost"), lease(GPUS[1]), 1.0)
    assert life.workers[3] is WorkerState.STARTING
    assert life.moved(GPUS[1:], "off", 2.0) == [
        Kill(1),
        ended(jobs[0], failed("cancelled", "off", "a"), 2.0),
        GiveBack(leases[0]),
        Kill(3),
    ]
    assert [unit.lease.device for unit in life.units] == [GPUS[1]] * 2
    # What it has still got is finished as ever.
    assert life.replied(2, done("b"), 3.0)[0] == ended(jobs[1], done("b"), 3.0)
    assert life.moved((), "off", 4.0)[-1] == Send(2, SHUTDOWN)


def test_work_on_cpu_slots_is_finished_there_when_gpus_are_used_again():
    life, held = make(), lease()
    job = trial()
    life.submitted(job, held, 0.0)
    life.replied(1, ready(), 0.0)
    life.foreseen("xgboost", 0.0)
    assert life.moved(GPUS, "moved", 1.0) == [Kill(2)]
    # Its worker has no device to wait for any more.
    assert life.replied(1, done(), 2.0) == [
        ended(job, done(), 2.0),
        Send(1, SHUTDOWN),
        GiveBack(held),
    ]


def test_workers_on_the_cpu_go_once_their_family_trains_on_gpus():
    life = make()
    for number, family in enumerate(("xgboost", "lightgbm"), start=1):
        life.foreseen(family, 0.0)
        life.replied(number, ready(family), 0.0)
    job, held = trial("c", "catboost"), lease(SLOTS[1])
    life.submitted(job, held, 0.0)
    life.replied(3, ready("catboost"), 0.0)
    assert life.moved(MIXED, "moved", 1.0) == [Send(1, SHUTDOWN)]
    assert life.replied(3, done("c"), 2.0) == [
        ended(job, done("c"), 2.0),
        Send(3, SHUTDOWN),
        GiveBack(held),
    ]
    assert life.workers[2] is WorkerState.IDLE


def test_as_many_idle_workers_are_kept_as_the_new_devices_need():
    life = make(devices=GPUS[:1])
    slots = [Device("cpu", f"slot-{i}", i, f"slot {i}", 1000, 900) for i in range(4)]
    life.moved(slots, "moved", 0.0)
    for number, slot in enumerate(slots, start=1):
        life.submitted(trial(f"t{number}"), lease(slot), 0.0)
        life.replied(number, ready(), 0.0)
    for number in range(5, 7):
        life.submitted(trial(f"t{number}"), lease(slots[0]), 0.0)
        life.replied(number, ready(), 0.0)
    for number in range(1, 7):
        life.replied(number, done(f"t{number}"), 1.0)
    assert set(life.workers.values()) == {WorkerState.IDLE}


# --- any order of events -------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: one outcome a job, one lease a unit, no word to the dead.

    The shell is played here: it does the instructions, and complains of those that cannot be done.
    """

    @initialize(
        persistent=st.booleans(),
        devices=st.sampled_from([SLOTS, GPUS, MIXED, [EXCLUSIVE, *MIXED]]),
        keep=st.integers(0, 2),
    )
    def open(self, persistent, devices, keep):
        self.now = 0.0
        self.devices = devices
        self.free = list(self.devices)
        self.life = make(devices=self.devices, persistent=persistent, keep=keep)
        self.alive, self.heard, self.leases = {}, {}, []
        self.exclusive = set()
        self.open_jobs, self.outcomes = {}, {}
        self.numbers = itertools.count()

    def do(self, instructions):
        for instruction in instructions:
            match instruction:
                case Spawn(worker, family, device):
                    assert worker not in self.alive
                    if device.exclusive:
                        assert not self.exclusive & self.alive.keys()
                        self.exclusive.add(worker)
                    self.alive[worker] = family
                    self.heard[worker] = []
                case Send(worker, message):
                    assert worker in self.alive
                    if not isinstance(message, Ping | Shutdown):
                        jobs = message.trials if isinstance(message, TrainBatch) else (message,)
                        assert jobs
                        assert all(job.id in self.open_jobs for job in jobs)
                        self.heard[worker] += [job.id for job in jobs]
                case Kill(worker):
                    del self.alive[worker]
                case GiveBack(lease):
                    self.leases.remove(lease)
                    assert not (lease.device.exclusive and self.exclusive & self.alive.keys())
                    if lease.device in self.devices:
                        self.free.append(lease.device)
                case Report(JobEnded(job, outcome, wall_s)):
                    del self.open_jobs[job.id]
                    assert job.id not in self.outcomes
                    assert wall_s >= 0.0
                    self.outcomes[job.id] = outcome
                case Report(event):
                    assert event.job.id in self.open_jobs

    def pick(self, data, only=lambda _: True):
        return data.draw(st.sampled_from(sorted(w for w in self.alive if only(w))))

    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds):
        self.now += seconds
        self.do(self.life.ticked(self.now))
        alarm = self.life.alarm()
        assert alarm is None or alarm > self.now

    @precondition(lambda self: self.free)
    @rule(
        data=st.data(),
        size=st.integers(0, 3),
        deadline_s=st.none() | st.integers(1, 100),
    )
    def work_comes(self, data, size, deadline_s):
        device = data.draw(st.sampled_from(self.free))
        fit = [f for f in ("lightgbm", "neural_net") if device in devices_of(f, self.devices)]
        family = data.draw(st.sampled_from(fit))
        self.free.remove(device)
        self.leases.append(lease(device))
        jobs = [trial(f"j{next(self.numbers)}", family, deadline_s) for _ in range(max(1, size))]
        self.open_jobs |= {job.id: job for job in jobs}
        work = jobs[0]
        if size:
            work = TrainBatch(jobs=tuple(jobs), id=f"u-{jobs[0].id}", deadline_s=deadline_s)
        self.do(self.life.submitted(work, self.leases[-1], self.now))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def a_worker_is_ready(self, data):
        worker = self.pick(data)
        self.do(self.life.replied(worker, ready(self.alive[worker]), self.now))

    @precondition(lambda self: any(self.heard[worker] for worker in self.alive))
    @rule(data=st.data(), kind=st.sampled_from(["done", "fold", "internal", "oom", "wrong"]))
    def a_worker_answers(self, data, kind):
        worker = self.pick(data, lambda w: self.heard[w])
        job_id = data.draw(st.sampled_from(self.heard[worker]))
        reply = {
            "done": done(job_id),
            "fold": fold(job_id),
            "internal": failed("internal", "what?", job_id),
            "oom": failed("oom", "no room", job_id),
            "wrong": PredictDone(id=job_id, n_rows=1),
        }[kind]
        self.do(self.life.replied(worker, reply, self.now))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), what=st.sampled_from(["pong", "refusal", "another", "garbage"]))
    def a_worker_says_something_else(self, data, what):
        worker = self.pick(data)
        match what:
            case "pong":
                self.do(self.life.replied(worker, Pong(pid=1), self.now))
            case "refusal":
                self.do(self.life.replied(worker, failed("bad_job", "no", None), self.now))
            case "another":
                self.do(self.life.replied(worker, done("never given"), self.now))
                assert worker not in self.alive
            case "garbage":
                self.do(self.life.garbled(worker, "garbage", self.now))
                assert worker not in self.alive

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def a_worker_dies(self, data):
        worker = self.pick(data)
        del self.alive[worker]
        self.do(self.life.exited(worker, "killed by SIGKILL", self.now))

    @precondition(lambda self: self.open_jobs)
    @rule(data=st.data())
    def a_job_is_cancelled(self, data):
        job_id = data.draw(st.sampled_from(sorted(self.open_jobs)))
        self.do(self.life.cancelled(job_id, "not wanted", self.now))
        assert self.outcomes[job_id].kind == "cancelled"

    @rule(family=st.sampled_from(["lightgbm", "neural_net"]), ahead=st.booleans())
    def a_family_is_foreseen_or_retired(self, family, ahead):
        ask = self.life.foreseen if ahead else self.life.retired
        self.do(ask(family, self.now))

    @rule(persistent=st.booleans())
    def persistence_is_switched(self, persistent):
        self.do(self.life.switched(persistent, self.now))

    @rule(devices=st.sampled_from([SLOTS, SLOTS[:1], GPUS, GPUS[:1], MIXED, [EXCLUSIVE], []]))
    def other_devices_are_used(self, devices):
        self.devices = devices
        leased = [held.device for held in self.leases]
        self.free = [device for device in devices if device not in leased]
        self.do(self.life.moved(devices, "moved", self.now))
        on_gpus = [held.device for held in self.leases if held.device.kind != "cpu"]
        assert all(device in devices for device in on_gpus)

    @invariant()
    def leases_out_are_units_open(self):
        assert sorted(map(id, self.leases)) == sorted(id(u.lease) for u in self.life.units)
        open_now = [job.id for unit in self.life.units for job in unit.open]
        assert sorted(open_now) == sorted(self.open_jobs)

    @invariant()
    def every_open_unit_has_a_living_worker(self):
        assert set(self.life.workers) == set(self.alive)
        states = list(self.life.workers.values())
        assert states.count(WorkerState.BUSY) == len(self.life.units)

    def teardown(self):
        if not hasattr(self, "life"):
            return
        self.do(self.life.closed(self.now))
        self.do(self.life.ticked(self.now + PATIENCE.exit_s))
        assert self.open_jobs == {}
        assert self.leases == []
        assert self.alive == {}
        assert len(self.outcomes) == next(self.numbers)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
