"""All families share the devices; the result depends on neither timing nor number of slots."""

from __future__ import annotations

import pytest

from gpu.params import complete_params
from gpu.protocol import FinalFit, TrainFailed
from steps.step5_training.comparison import Orders
from steps.step5_training.finalists import finalist_count

FAMILIES = ("xgboost", "lightgbm")


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
    assert all(not study._pending for study in studies.values())
    scheduler, studies, *_ = world(run="resumed")
    scheduler.run()
    assert all(len(study.finished) == 10 for study in studies.values())
    for family, before in done.items():
        now = {trial.position: trial for trial in studies[family].finished}
        # Finalists have gone on since; what they had is the beginning of what they have.
        for trial in before:
            assert now[trial.position].values == trial.values
            assert now[trial.position].scores[: len(trial.scores)] == trial.scores


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
    assert all(study.search_ended == "time budget used up" for study in studies.values())
    for study in studies.values():
        # What was searched has its finalists: none was cut off for the final fits.
        assert len(study.complete) == finalist_count(len(study.finished))


def test_progress_counts_every_trial_and_estimates_the_time_left(world):
    scheduler, _, _, _clock, seen = world()
    scheduler.run()
    families, left, _ = seen[-1]
    assert {name: (f.complete, f.pruned) for name, f in families.items()} == {
        "xgboost": (4, 6),
        "lightgbm": (4, 6),
    }
    assert left == 0
    middle = next(snapshot for snapshot in seen if snapshot[1] is not None)
    assert 0 < middle[1] < 60
    assert any(family.running for snapshot in seen for family in snapshot[0].values())


def test_a_wait_for_another_runs_device_is_said(world):
    scheduler, _, pool, _, seen = world(slots=1)
    pool.held_elsewhere = True
    looks = []

    def wait(timeout_s):
        looks.append(1)
        if len(looks) == 5:
            pool.held_elsewhere = False
        return type(pool).wait(pool, timeout_s)

    pool.wait = wait
    scheduler.run()
    assert "waiting for a device that another run or process holds" in seen[2][2]
    assert seen[-1][2] == ""


def test_networks_are_asked_leased_and_ended_as_batches_of_one_architecture(world):
    scheduler, studies, pool, *_ = world(families=("neural_net", *FAMILIES), trials=12)
    comparison = scheduler.run()
    search, finalists = pool.batches[:3], pool.batches[3:]
    assert [len(batch.jobs) for batch in search] == [4, 4, 4]
    assert sum(len(batch.jobs) for batch in finalists) == 4
    for batch in finalists:
        assert {(len(job.folds), len(job.begun)) for job in batch.jobs} == {(3, 2)}
    for batch in search:
        assert len({tuple(job.params["hidden_layers"]) for job in batch.jobs}) == 1
        assert len({job.params["batch_size"] for job in batch.jobs}) == 1
    assert len(studies["neural_net"].finished) == 12
    assert set(comparison.fits) == {"neural_net", *FAMILIES}


def test_networks_of_a_large_ask_train_four_at_a_time_those_of_one_architecture(world):
    scheduler, studies, pool, *_ = world(
        families=("neural_net", *FAMILIES), trials=14, trials_per_ask=10
    )
    scheduler.run()
    sizes = [len(batch.jobs) for batch in pool.batches]
    # Ten trials, then four, then five finalists.
    assert sizes == [4, 4, 2, 4, 2, 3]
    for batch in pool.batches[:4]:
        assert len({tuple(job.params["hidden_layers"]) for job in batch.jobs}) == 1
    assert len(studies["neural_net"].finished) == 14


def test_a_large_ask_of_networks_uses_all_devices(world):
    scheduler, _, pool, *_ = world(
        families=("neural_net",), trials=12, trials_per_ask=12, slots=5, pruning=False
    )
    scheduler.run()
    assert [len(batch.jobs) for batch in pool.batches] == [2] * 6


def test_a_batch_is_divided_where_devices_would_idle(world):
    scheduler, _, pool, *_ = world(families=("neural_net",), trials=8, slots=2)
    scheduler.run()
    # Two batches of the search and one of finalists.
    assert [len(batch.jobs) for batch in pool.batches] == [2, 2, 2, 2, 2, 2]


def test_the_last_networks_use_the_devices_that_the_trees_have_left(world):
    families = ("neural_net", "lightgbm")
    seconds = {"neural_net": 40.0, "lightgbm": 0.1}
    scheduler, _, pool, *_ = world(families=families, slots=2, trials=12, seconds=seconds)
    scheduler.run()
    # While two families share two devices each has one; then the networks have both.
    sizes = [len(batch.jobs) for batch in pool.batches]
    assert sizes[0] == 4
    assert sizes[-2:] == [2, 2]


def test_networks_on_which_runs_died_are_trained_alone(world):
    for stop in range(3):
        looks = []

        def orders(looks=looks, stop=stop):
            looks.append(1)
            if stop < 2 and len(looks) == 4:
                raise KeyboardInterrupt  # the run dies with its first batch under way
            return Orders()

        run = "resumed" if stop else "first"
        scheduler, studies, pool, *_ = world(
            families=("neural_net",), slots=1, run=run, orders=orders
        )
        if stop < 2:
            with pytest.raises(KeyboardInterrupt):
                scheduler.run()
            assert [len(batch.jobs) for batch in pool.batches] == [4]
        else:
            scheduler.run()
    assert [len(batch.jobs) for batch in pool.batches[:5]] == [1, 1, 1, 1, 4]
    assert not any(trial.failure for trial in studies["neural_net"].finished)


def test_a_trees_lack_of_memory_does_not_make_the_networks_batches_smaller(world):
    oom = TrainFailed(kind="oom", message="no memory")
    families = ("neural_net", "lightgbm")
    scheduler, _, pool, *_ = world(families=families, trials=12, fail={"lightgbm": oom})
    most = scheduler._placement.budget.most
    record = {"hidden_layers": (64,), "learning_rate": 0.01, "batch_size": 512}
    before = most([complete_params("neural_net", record).model_dump(mode="json")], 0)
    scheduler.run()
    assert any(job.family == "lightgbm" for job in pool.started)
    assert most([complete_params("neural_net", record).model_dump(mode="json")], 0) == before


def test_a_final_fit_knows_the_time_that_is_left_when_it_starts(world):
    seconds = {"xgboost": 3.0, "lightgbm": 3.0}
    scheduler, _, pool, *_ = world(trials=4, deadline=60.0, slots=1, seconds=seconds)
    limits = []
    start = pool.try_start

    def try_start(work):
        if isinstance(work, FinalFit):
            limits.append((work.deadline_s, scheduler._timing.fit_limit_s(work.family)))
        return start(work)

    pool.try_start = try_start
    scheduler.run()
    # Some waited for the only device, and had less time left at each look.
    assert len({now for _, now in limits}) > 2
    assert all(asked == now for asked, now in limits)


def test_the_networks_do_not_depend_on_slots_or_timing(world):
    families = ("neural_net", "lightgbm")
    scheduler, studies, *_ = world(families=families, slots=1, run="a")
    scheduler.run()
    expected = values(studies)
    for slots, seed in ((2, 1), (8, 3)):
        scheduler, studies, *_ = world(families=families, slots=slots, seed=seed, run=f"b{slots}")
        scheduler.run()
        assert values(studies) == expected


def test_a_stop_puts_all_trials_of_a_running_batch_back(world):
    looks = []

    def orders():
        looks.append(1)
        return Orders(stop="halt" if len(looks) > 12 else None)

    scheduler, studies, pool, *_ = world(families=("neural_net",), orders=orders)
    scheduler.run()
    assert len(pool.cancelled) in (2, 4)
    assert not studies["neural_net"]._pending
    scheduler, studies, *_ = world(families=("neural_net",), run="resumed")
    scheduler.run()
    assert len(studies["neural_net"].finished) == 10


def test_tree_workers_and_networks_follow_the_orders(world):
    most = []

    def orders():
        return Orders(tree_workers=1, networks=7, persistent=False)

    families = ("neural_net", *FAMILIES)
    scheduler, _, pool, *_ = world(families=families, slots=4, orders=orders)
    start = pool.try_start

    def try_start(work):
        done = start(work)
        most.append(sum(job.family != "neural_net" for job in pool.running))
        return done

    pool.try_start = try_start
    scheduler.run()
    assert max(most) == 1
    # The last batch of the search has two trials of three folds, fewer than the limit.
    assert [batch.n_concurrent for batch in pool.batches] == [7, 7, 6, 7]
    assert pool.persistent is False


def test_the_next_familys_worker_is_prepared_and_a_finished_ones_is_let_go(world):
    scheduler, _, pool, *_ = world()
    scheduler.run()
    assert set(pool.prepared) == set(FAMILIES)
    assert sorted(pool.retired) == sorted(FAMILIES)
