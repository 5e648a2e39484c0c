"""People change their minds while the search is on: it acts, and no trial is lost or repeated."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gpu.host.devices import Device
from gpu.host.units import work_family
from gpu.protocol import FinalFit, TrainTrial
from steps.step5_training.comparison import Gpus, Orders

FAMILIES = ("neural_net", "xgboost", "lightgbm")
GPUS = tuple(Device("cuda", f"GPU-{x}", i, f"GPU {i}", 80_000, 70_000) for i, x in enumerate("ab"))
NO_GPUS = Gpus(use=False)
LAST = "training.stop_after_trial in the policy"


class Script:
    """Orders that change at given looks: {look: orders}; each holds until the next."""

    def __init__(self, script):
        self.script = script
        self.looks = 0
        self.now = Orders()

    def __call__(self):
        self.now = self.script.get(self.looks, self.now)
        self.looks += 1
        return self.now


def values(studies):
    return {family: [t.values for t in study.finished] for family, study in studies.items()}


def check_each_trial_counts_once(studies, trials):
    """Every position is final exactly once; what was cut off is marked so, and is no failure."""
    for study in studies.values():
        assert [trial.position for trial in study.finished] == list(range(trials))
        assert not study._pending
        stored = study._study.get_trials(deepcopy=False)
        assert {t.state.name for t in stored} <= {"COMPLETE", "PRUNED", "FAIL"}
        done = [t for t in stored if not t.user_attrs.get("postponed")]
        positions = Counter(t.user_attrs.get("position") for t in done)
        positions.pop(None, None)  # the best trial at full resolution
        assert positions == dict.fromkeys(range(trials), 1)


@pytest.fixture
def undisturbed(world):
    """The values of an undisturbed run on one slot."""
    scheduler, studies, *_ = world(families=FAMILIES, slots=1, run="undisturbed")
    scheduler.run()
    return values(studies)


def watched(pool, look):
    """Have the pool tell what it starts: look(work's family, device) at each start."""
    start = pool.try_start

    def try_start(work):
        done = start(work)
        if done:
            look(work, pool.placed[work.id])
        return done

    pool.try_start = try_start


def on_gpus(work):
    """Whether the work is of a family that trains on GPUs where there are some."""
    return work_family(work) != "lightgbm"


# --- stop after the current trial ------------------------------------------------------------


def count_units(study):
    """Jobs that have an outcome: of the search, of finalists, at full resolution."""
    found = study._outcomes
    return len(found.searched) + len(found.finals) + (found.confirmation is not None)


@pytest.mark.parametrize("at", [0, 1, 7, 20, 45])
def test_after_the_last_trial_nothing_starts_and_what_ran_is_kept(world, undisturbed, at):
    script = Script({at: Orders(last=LAST)})
    scheduler, studies, pool, *_ = world(families=FAMILIES, orders=script, run="halted")
    late = []
    watched(pool, lambda work, device: late.append(work) if script.now.last else None)
    comparison = scheduler.run()
    assert comparison.stopped == LAST
    assert late == []
    assert pool.cancelled == []
    told = sum(count_units(study) for study in studies.values())
    trials = [job for job in pool.started if isinstance(job, TrainTrial)]
    assert told == len(trials)
    assert all(not study._pending for study in studies.values())
    # Resumed under the same run, as a retry is.
    scheduler, studies, pool, *_ = world(families=FAMILIES, run="halted")
    assert scheduler.run().stopped is None
    assert values(studies) == undisturbed
    check_each_trial_counts_once(studies, 10)
    again = [job for job in pool.started if isinstance(job, TrainTrial)]
    finalists, confirmations = 3 * 4, 2
    assert len(again) == 30 + finalists + confirmations - told


def test_a_final_fit_that_runs_is_finished_before_the_halt(world):
    script = Script({})
    scheduler, _, pool, *_ = world(families=("lightgbm", "xgboost"), orders=script)

    def look(work, device):
        if isinstance(work, FinalFit) and not script.now.last:
            script.now = Orders(last=LAST)

    watched(pool, look)
    comparison = scheduler.run()
    assert comparison.stopped == LAST
    assert len(comparison.fits) == 1
    assert pool.cancelled == []


def test_the_last_trial_taken_back_in_time_goes_on(world, undisturbed):
    script = Script({10: Orders(last=LAST), 12: Orders()})
    seconds = dict.fromkeys(FAMILIES, 20.0)
    scheduler, studies, *_ = world(families=FAMILIES, orders=script, seconds=seconds)
    comparison = scheduler.run()
    assert comparison.stopped is None
    assert set(comparison.fits) == set(FAMILIES)
    assert values(studies) == undisturbed


def test_a_search_that_ends_with_its_last_trials_is_complete_and_not_halted(world):
    script = Script({})
    scheduler, _, pool, *_ = world(families=("lightgbm",), orders=script)

    def look(work, device):
        if isinstance(work, FinalFit):
            script.now = Orders(last=LAST)

    watched(pool, look)
    comparison = scheduler.run()
    assert comparison.stopped is None
    assert set(comparison.fits) == {"lightgbm"}


# --- tree workers and networks ---------------------------------------------------------------


def test_tree_workers_go_down_without_cutting_off_and_up_again(world, undisturbed):
    script = Script({15: Orders(tree_workers=1), 40: Orders(tree_workers=3)})
    scheduler, studies, pool, *_ = world(families=FAMILIES, slots=4, orders=script)
    seen = {1: [], 3: []}

    def look(work, device):
        if script.now.tree_workers:
            trees = sum(job.family != "neural_net" for job in pool.running)
            started = getattr(work, "family", "neural_net") != "neural_net"
            seen[script.now.tree_workers] += [trees] if started else []

    watched(pool, look)
    scheduler.run()
    # A tree trial that starts is the only one, then one of three at most.
    assert set(seen[1]) == {1}
    assert max(seen[3]) == 3
    assert pool.cancelled == []
    assert values(studies) == undisturbed
    check_each_trial_counts_once(studies, 10)


def test_the_next_batch_of_networks_has_the_size_that_is_ordered(world):
    script = Script({2: Orders(networks=3), 30: Orders(networks=5)})
    seconds = {"neural_net": 1.0}
    scheduler, _, pool, *_ = world(
        families=("neural_net",), slots=1, trials=16, orders=script, seconds=seconds
    )
    scheduler.run()
    sizes = [batch.n_concurrent for batch in pool.batches]
    # Four batches of the search, then five finalists: four, and one trial of three folds.
    first, *others, last = sizes
    assert (first, last) == (12, 3)
    assert others == sorted(others)
    assert set(others) == {3, 5}


# --- GPUs off and on -------------------------------------------------------------------------


def test_gpus_off_moves_all_work_to_cpu_slots_and_loses_nothing(world, undisturbed):
    script = Script({12: Orders(gpus=NO_GPUS)})
    scheduler, studies, pool, *_ = world(families=FAMILIES, slots=3, gpus=GPUS, orders=script)
    kinds = []
    watched(
        pool,
        lambda work, device: kinds.append((on_gpus(work), script.now.gpus.use, device.kind)),
    )
    comparison = scheduler.run()
    moved = {(True, True, "cuda"), (True, False, "cpu")}
    assert set(kinds) == {*moved, (False, True, "cpu"), (False, False, "cpu")}
    assert not any(name.startswith("lightgbm") for name in pool.cancelled)
    assert len(pool.cancelled) >= 2
    assert len(pool.devices) == 3
    assert values(studies) == undisturbed
    check_each_trial_counts_once(studies, 10)
    assert set(comparison.fits) == set(FAMILIES)
    notes = scheduler._placement.notes
    assert "one trial a GPU" in notes[0]
    assert notes[1].startswith("other GPUs were allowed while the search was on: 3 CPU slots")
    assert any("begun again because their GPU was switched off" in note for note in notes)


@pytest.mark.parametrize("name", ["1", "gpu-B"])
def test_one_gpu_off_takes_no_more_work_while_the_other_is_not_disturbed(world, undisturbed, name):
    script = Script({8: Orders(gpus=Gpus(off=(name,)))})
    scheduler, studies, pool, *_ = world(families=FAMILIES, slots=3, gpus=GPUS, orders=script)
    placed = []
    watched(
        pool,
        lambda work, device: on_gpus(work) and placed.append((script.now.gpus.off, device.uuid)),
    )
    scheduler.run()
    assert {uuid for off, uuid in placed if off} == {"GPU-a"}
    assert {uuid for off, uuid in placed if not off} == {"GPU-a", "GPU-b"}
    # One unit at most ran on the second GPU at that moment: a trial, or a batch of networks.
    assert 1 <= len(pool.cancelled) <= 4
    assert values(studies) == undisturbed
    check_each_trial_counts_once(studies, 10)
    assert any("not used, by training.gpus_off" in note for note in scheduler._placement.notes)


def test_gpus_switched_on_again_come_back_and_trials_on_cpu_slots_are_finished(world, undisturbed):
    script = Script({8: Orders(gpus=NO_GPUS), 20: Orders()})
    scheduler, studies, pool, *_ = world(families=FAMILIES, slots=3, gpus=GPUS, orders=script)
    placed = []
    watched(pool, lambda work, device: on_gpus(work) and placed.append((script.looks, device.kind)))
    before = []
    use = pool.use

    def watched_use(devices, **options):
        before.append(len(pool.cancelled))
        use(devices, **options)
        before.append(len(pool.cancelled))

    pool.use = watched_use
    scheduler.run()
    assert {kind for look, kind in placed if look > 21} == {"cuda"}
    assert before[-1] == before[-2]
    assert values(studies) == undisturbed
    check_each_trial_counts_once(studies, 10)


def test_a_run_that_started_without_gpus_takes_them_when_they_are_allowed(world, undisturbed):
    script = Script({0: Orders(gpus=NO_GPUS), 10: Orders()})
    scheduler, studies, pool, *_ = world(
        families=FAMILIES, slots=2, gpus=GPUS, allowed=NO_GPUS, orders=script
    )
    kinds = []
    watched(pool, lambda work, device: on_gpus(work) and kinds.append(device.kind))
    scheduler.run()
    assert kinds[0] == "cpu"
    assert kinds[-1] == "cuda"
    assert pool.cancelled == []
    assert values(studies) == undisturbed


def test_a_final_fit_that_is_cut_off_begins_again_on_a_cpu_slot(world):
    script = Script({})
    scheduler, _, pool, *_ = world(families=("xgboost",), gpus=GPUS[:1], orders=script)
    fits = []

    def look(work, device):
        if isinstance(work, FinalFit):
            fits.append(device.kind)
            script.now = Orders(gpus=NO_GPUS)

    watched(pool, look)
    comparison = scheduler.run()
    assert fits == ["cuda", "cpu"]
    assert comparison.fits["xgboost"][1].status == "fit_complete"
    assert pool.cancelled == ["xgboost-final"]


def test_networks_that_waited_for_a_gpu_are_divided_anew_for_the_slots(world):
    script = Script({3: Orders(gpus=NO_GPUS)})
    scheduler, studies, pool, *_ = world(
        families=("neural_net",), slots=4, trials=4, gpus=GPUS[:1], orders=script,
        seconds={"neural_net": 50.0},
    )  # fmt: skip
    scheduler.run()
    assert [len(batch.jobs) for batch in pool.batches] == [4, 1, 1, 1, 1]
    check_each_trial_counts_once(studies, 4)


def test_gpus_off_where_there_is_none_changes_nothing(world):
    script = Script({5: Orders(gpus=NO_GPUS), 9: Orders(gpus=Gpus(off=("0",)))})
    scheduler, _, pool, *_ = world(orders=script)
    devices = list(pool.devices)
    scheduler.run()
    assert pool.cancelled == []
    assert pool.devices == devices
    assert len(scheduler._placement.notes) == 1


def test_after_the_last_trial_gpus_may_still_be_switched_off(world):
    script = Script({6: Orders(last=LAST), 7: Orders(last=LAST, gpus=NO_GPUS)})
    seconds = dict.fromkeys(FAMILIES, 50.0)
    scheduler, studies, pool, *_ = world(
        families=FAMILIES, gpus=GPUS, orders=script, seconds=seconds
    )
    assert scheduler.run().stopped == LAST
    assert pool.running == ()
    assert all(not study._pending for study in studies.values())


def test_beside_a_gpu_the_families_of_the_cpu_train_at_the_same_time(world):
    """The GPU has work to its end, and so have the slots; neither waits for the other."""
    seconds = {"xgboost": 3.0, "lightgbm": 3.0}
    families = ("xgboost", "lightgbm")
    scheduler, _, pool, clock, _ = world(
        families=families, slots=3, gpus=GPUS[:1], trials=12, seconds=seconds
    )
    ends = {}
    watched(pool, lambda work, device: ends.update({device.uuid: clock.now}))
    begun = clock.now
    scheduler.run()
    assert set(ends) == {"GPU-a", "cpu-slot-0", "cpu-slot-1", "cpu-slot-2"}
    alone = sum(pool.lasts(job) for job in pool.started if job.family == "xgboost")
    assert clock.now - begun < 1.3 * alone


# --- all of it at random ---------------------------------------------------------------------


def random_orders(rng):
    return Orders(
        persistent=rng.random() < 0.7,
        tree_workers=rng.choice([0, 1, 2]),
        networks=rng.choice([0, 2, 7]),
        gpus=rng.choice([Gpus(), NO_GPUS, Gpus(off=("0",)), Gpus(off=("0", "GPU-b"))]),
    )


@pytest.mark.parametrize("seed", range(6))
def test_no_order_of_orders_changes_a_trial_or_counts_one_twice(world, undisturbed, seed):
    rng = random.Random(seed)
    script = Script({look: random_orders(rng) for look in rng.sample(range(120), 25)})
    scheduler, studies, *_ = world(families=FAMILIES, slots=2, gpus=GPUS, orders=script, seed=seed)
    comparison = scheduler.run()
    assert comparison.stopped is None
    assert set(comparison.fits) == set(FAMILIES)
    assert values(studies) == undisturbed
    check_each_trial_counts_once(studies, 10)
