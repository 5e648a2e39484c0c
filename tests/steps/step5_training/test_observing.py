"""Who is asked to observe, and whose curves are kept; the results are the same either way."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu.protocol import FinalFit
from steps.step5_training.comparison import Orders

WATCHED, UNWATCHED = Orders(diagnostics=True), Orders(diagnostics=False)


def leave_curves(pool):
    """Have every trial leave a curves file where it is asked to."""
    finish = pool.finish

    def finish_and_leave(job):
        if getattr(job, "curves_path", None):
            Path(job.curves_path).write_text(job.id)
        return finish(job)

    pool.finish = finish_and_leave


def paths(pool):
    trials = [job.curves_path for job in pool.started if not isinstance(job, FinalFit)]
    fits = [job.observations_path for job in pool.started if isinstance(job, FinalFit)]
    return trials, fits


@pytest.mark.parametrize("family", ["xgboost", "neural_net"])
def test_every_trial_and_every_final_fit_is_asked_while_diagnostics_are_on(world, family):
    scheduler, _, pool, *_ = world(families=(family,), orders=lambda: WATCHED)
    comparison = scheduler.run()
    trials, fits = paths(pool)
    assert None not in trials
    # A finalist adds to the curves of its first folds.
    begun = [job.curves_path for job in pool.started if getattr(job, "begun", ())]
    assert len(begun) == 4
    assert len(set(trials)) == len(trials) - len(begun)
    assert fits == [comparison.fits[family][0].observations_path]
    assert fits[0].endswith(f"fits/{family}/observations.json")


@pytest.mark.parametrize("family", ["xgboost", "neural_net"])
def test_nobody_is_asked_while_diagnostics_are_off_and_the_trials_are_the_same(world, family):
    scheduler, studies, pool, *_ = world(families=(family,), run="off", orders=lambda: UNWATCHED)
    scheduler.run()
    assert set(paths(pool)[0]) == set(paths(pool)[1]) == {None}
    off = [trial.values for trial in studies[family].finished]
    scheduler, studies, *_ = world(families=(family,), run="on", orders=lambda: WATCHED)
    scheduler.run()
    assert [trial.values for trial in studies[family].finished] == off


def test_the_switch_is_obeyed_for_what_is_planned_afterwards(world):
    asked = []

    def orders():
        asked.append(1)
        return UNWATCHED if len(asked) > 20 else WATCHED

    scheduler, _, pool, *_ = world(families=("xgboost",), orders=orders)
    scheduler.run()
    trials, fits = paths(pool)
    assert trials[0] is not None
    assert trials[-1] is None
    assert fits == [None]


def test_only_the_best_trials_curves_are_kept_the_coarse_and_the_full_ones(world):
    scheduler, studies, pool, *_ = world(families=("xgboost",))
    leave_curves(pool)
    scheduler.run()
    study = studies["xgboost"]
    position = study.best.position
    kept = set(study.files.path(position).parent.glob("*.curves.json"))
    assert kept == {study.files.curves_path(position, full=full) for full in (False, True)}


def test_a_resumed_study_still_has_the_curves_of_its_best_trial(world):
    scheduler, studies, pool, *_ = world(families=("xgboost",))
    leave_curves(pool)
    scheduler.run()
    best = studies["xgboost"].best.position
    before = studies["xgboost"].files.curves_path(best).read_text()
    scheduler, studies, pool, *_ = world(families=("xgboost",), run="resumed")
    scheduler.run()
    assert len(pool.started) == 1  # the final fit alone
    assert studies["xgboost"].best.position == best
    assert studies["xgboost"].files.curves_path(best).read_text() == before


def test_curves_that_are_lost_make_no_trial_run_again(world):
    scheduler, studies, pool, *_ = world(families=("xgboost",))
    leave_curves(pool)
    scheduler.run()
    study = studies["xgboost"]
    for path in study.files.path(0).parent.glob("*.curves.json"):
        path.unlink()
    scheduler, studies, pool, *_ = world(families=("xgboost",), run="resumed")
    scheduler.run()
    assert len(pool.started) == 1


def test_a_trial_knows_the_device_that_it_ran_on(world):
    scheduler, studies, *_ = world(families=("xgboost",))
    scheduler.run()
    assert {trial.device for trial in studies["xgboost"].finished} == {"cpu"}
