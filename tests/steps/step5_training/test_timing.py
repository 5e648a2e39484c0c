"""What is expected of the time to come, from what was measured; no clock but a number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from gpu.host.devices import cpu_slots
from steps.step5_training.timing import RESERVE_FACTOR, ROUND_S, Timing

FOLDS, RANKING = 5, 2
DEVICES = tuple(cpu_slots(8))


@dataclass
class Study:
    """What timing looks at in a study.

    walls: seconds of its finished trials, on the ranking folds; best: of a fold. finalists: how
    many trials are due on the other folds.
    """

    family: str
    trials: int = 10
    walls: list[float] = field(default_factory=list)
    best_fold_s: float | None = None
    fused: bool = False
    finalists: int = 0
    ranking_folds: int = RANKING
    full_to_come: bool = False

    @property
    def finished(self):
        return [SimpleNamespace(wall_s=wall, scores=[None] * RANKING) for wall in self.walls]

    @property
    def remaining(self):
        return self.trials - len(self.walls)

    @property
    def finalists_due(self):
        return self.finalists, FOLDS - RANKING

    @property
    def folds_due(self):
        return self.remaining * RANKING + self.finalists * (FOLDS - RANKING)

    @property
    def leading(self):
        if self.best_fold_s is None:
            return None
        score = SimpleNamespace(duration_s=self.best_fold_s)
        return SimpleNamespace(scores=[score] * FOLDS)


def timing(*studies, slots=2, deadline=None, now=0.0):
    return Timing(
        {study.family: study for study in studies},
        n_folds=FOLDS,
        devices_of=lambda family: DEVICES[:slots],
        first_limit_s=600.0,
        deadline=deadline,
        clock=lambda: now,
    )


def test_nothing_is_foreseen_before_every_family_has_fitted_a_fold():
    times = timing(Study("lightgbm"), Study("xgboost"))
    times.fold_fitted("lightgbm", 1.0)
    assert times.left_s(()) is None
    times.fold_fitted("xgboost", 1.0)
    assert times.left_s(()) > 0


def test_the_time_left_counts_trials_and_fits_over_the_slots():
    times = timing(Study("lightgbm", walls=[4.0, 6.0], best_fold_s=1.0))
    times.fold_fitted("lightgbm", 1.0)
    # Eight trials of 5 s, and a fit of a fold that is five fourths as large, on two slots.
    assert times.left_s(()) == pytest.approx((8 * 5.0 + 1.25) / 2)
    assert times.left_s(("lightgbm",)) == 0.0


def test_the_time_left_is_that_of_the_folds_that_are_due():
    done = Study("lightgbm", walls=[4.0, 6.0] * 5, best_fold_s=1.0)
    left = []
    for finalists in (0, 4):
        done.finalists = finalists
        times = timing(done)
        # Its earlier trials took 2.5 s a fold, and count for more than one new fold.
        times.fold_fitted("lightgbm", 9.0)
        left.append(times.left_s(()))
    assert left == pytest.approx([1.25 / 2, (4 * 3 * 2.5 + 1.25) / 2])


def test_a_study_that_has_only_finalists_left_is_waited_for():
    done = Study("lightgbm", trials=3, walls=[1.0] * 3, finalists=3)
    assert timing(done).left_s(()) is None


def test_the_finalists_of_a_search_are_foreseen_from_its_first_fold_on(world):
    scheduler, studies, *_ = world(families=("xgboost",))
    study = studies["xgboost"]
    times = timing(study)
    times.fold_fitted("xgboost", 1.0)
    # Ten trials of two folds, the third of four of them; at full resolution, which takes twice the
    # time, the best one once more and a fit of five fourths of a fold.
    left = pytest.approx((24 + 2 * (FOLDS + 1.25)) / 2)
    assert (study.folds_due, times.left_s(())) == (24, left)
    scheduler.run()
    assert study.folds_due == 0


@pytest.mark.parametrize(
    ("fused", "fold_s", "limit"),
    [
        (False, None, 600.0),
        (False, 0.1, 60.0 + 20 * FOLDS * 0.1),
        # The next network may be much larger, so the first limit stays the least.
        (True, None, 600.0),
        (True, 0.1, 600.0),
        (True, 50.0, 60.0 + 20 * FOLDS * 50.0),
    ],
)
def test_the_first_limit_is_a_floor_for_networks_only(fused, fold_s, limit):
    study = Study("neural_net", fused=fused)
    times = timing(study)
    if fold_s is not None:
        times.fold_fitted("neural_net", fold_s)
    assert times.trial_limit_s(study) == pytest.approx(limit)


def test_a_family_of_which_nothing_is_known_is_the_most_urgent():
    times = timing(Study("lightgbm"), Study("xgboost"))
    times.fold_fitted("lightgbm", 100.0)
    assert times.urgency("xgboost", 0) == math.inf > times.urgency("lightgbm", 0)


def test_a_resumed_study_is_as_urgent_as_its_earlier_trials_say():
    """One new fold says that it is the family with most work left by what was done before."""
    slow = Study("catboost", walls=[60.0] * 5)
    fast = Study("lightgbm", walls=[1.0] * 2)
    times = timing(slow, fast)
    for family in ("catboost", "lightgbm"):
        times.fold_fitted(family, 0.5)
    assert times.urgency("catboost", 0) > times.urgency("lightgbm", 0)
    assert times.urgency("catboost", 0) >= 5 * 60.0 / 2


def test_a_resumed_study_without_trials_left_waits_for_nothing():
    done = Study("lightgbm", trials=3, walls=[1.0] * 3, best_fold_s=2.0)
    other = Study("xgboost")
    times = timing(done, other)
    times.fold_fitted("xgboost", 1.0)
    assert times.left_s(()) is not None


def test_who_has_the_longest_chain_of_last_work_goes_first():
    """As much to search; but the one's best trial is still to be run at full resolution."""
    both = {
        "lightgbm": Study("lightgbm", walls=[4.0] * 4, best_fold_s=2.0),
        "catboost": Study("catboost", walls=[4.0] * 4, best_fold_s=2.0, full_to_come=True),
    }
    times = timing(*both.values())
    for family in both:
        times.fold_fitted(family, 2.0)
    # Six trials of two folds on two slots; then a fit; before it all folds, at twice the time.
    search, fit = 6 * RANKING * 2.0 / 2, 2.0 * FOLDS / (FOLDS - 1)
    assert times.urgency("lightgbm", 0) == pytest.approx(search + fit)
    assert times.urgency("catboost", 0) == pytest.approx(search + 2 * (FOLDS * 2.0 + fit))


def test_under_a_time_budget_the_least_served_family_goes_first():
    times = timing(Study("lightgbm"), Study("xgboost"), deadline=100.0)
    times.fold_fitted("lightgbm", 1.0)
    times.training_s["lightgbm"] = 10.0
    assert times.urgency("xgboost", 0) > times.urgency("lightgbm", 0)
    # Three that run count as served.
    assert times.urgency("xgboost", 11) < times.urgency("lightgbm", 0)
    # A trial is expected to take the folds that rank it.
    assert times.urgency("lightgbm", 3) == pytest.approx(-(10.0 + 3 * RANKING * 1.0))


def test_the_reserve_is_for_the_fits_that_are_due():
    families = [Study(name, best_fold_s=8.0) for name in ("lightgbm", "xgboost", "catboost")]
    fit = 8.0 * FOLDS / (FOLDS - 1)
    two_rounds = RESERVE_FACTOR * 1.5 * fit + 2 * ROUND_S
    # While no finalist is due it is the same with and without them.
    for finalists in (False, True):
        assert timing(*families, deadline=two_rounds).only_left((), finalists=finalists)
        assert not timing(*families, deadline=two_rounds + 0.1).only_left((), finalists=finalists)


# A fold of 2 s; four trials with three more folds each, and the fit.
FINALS_S, FIT_S = 4 * 3 * 2.0, 2.0 * FOLDS / (FOLDS - 1)


@pytest.mark.parametrize(
    ("fused", "slots", "work_s", "rounds"),
    [
        (False, 1, FINALS_S + FIT_S, 2),
        (False, 2, (FINALS_S + FIT_S) / 2, 1),
        # No trial is divided, and the fit comes after the last.
        (False, 16, FINALS_S / 4 + FIT_S, 1),
        # Networks that train as one computation have one device, however many there are.
        (True, 1, FINALS_S + FIT_S, 2),
        (True, 16, FINALS_S + FIT_S, 1),
    ],
)
def test_the_reserve_of_a_search_is_for_its_finalists_too(fused, slots, work_s, rounds):
    reserve = RESERVE_FACTOR * work_s + ROUND_S * rounds
    for deadline, over in ((reserve - 0.1, True), (reserve + 0.1, False)):
        times = timing(
            Study("neural_net", fused=fused, finalists=4), slots=slots, deadline=deadline
        )
        times.fold_fitted("neural_net", 2.0)
        assert times.only_left((), finalists=True) is over
        # For the fit alone there is still time.
        assert not times.only_left((), finalists=False)


def test_the_finalists_of_all_families_share_the_slots():
    families = [Study("neural_net", fused=True, finalists=4), Study("lightgbm", finalists=4)]
    # Either family has half of the work, so none takes longer than both do on two slots.
    reserve = RESERVE_FACTOR * (FINALS_S + FIT_S) + ROUND_S * 2
    for deadline, over in ((reserve - 0.1, True), (reserve + 0.1, False)):
        times = timing(*families, deadline=deadline)
        for study in families:
            times.fold_fitted(study.family, 2.0)
        assert times.only_left((), finalists=True) is over
        assert not times.only_left({"lightgbm", "neural_net"}, finalists=True)


def test_a_family_that_is_switched_off_has_no_share_in_the_reserve():
    families = [Study(name, best_fold_s=8.0) for name in ("lightgbm", "xgboost", "catboost")]
    one = RESERVE_FACTOR * 8.0 * FOLDS / (FOLDS - 1) + ROUND_S
    settled = {"xgboost", "catboost"}
    families[1].finalists = 4  # of a family that is settled: for nothing
    for finalists in (False, True):
        assert timing(*families, deadline=one).only_left(settled, finalists=finalists)
        assert not timing(*families, deadline=one + 0.1).only_left(settled, finalists=finalists)
        assert timing(*families, deadline=one + 0.1).only_left((), finalists=finalists)


def test_without_a_time_budget_the_search_is_never_ended():
    times = timing(Study("lightgbm", finalists=4), now=10.0**9)
    assert not times.only_left((), finalists=False)
    assert not times.only_left((), finalists=True)


def test_a_late_fit_is_waited_for_a_little_and_a_fit_without_budget_for_long():
    study = Study("lightgbm", best_fold_s=8.0)
    fit = 8.0 * FOLDS / (FOLDS - 1)
    assert timing(study).fit_limit_s("lightgbm") == pytest.approx(60.0 + 20 * fit)
    late = timing(study, deadline=5.0).fit_limit_s("lightgbm")
    assert late == pytest.approx(10.0 + 3 * fit)
    # A fold of a network is timed as its share of a stack; the final fit is alone.
    network = Study("neural_net", best_fold_s=8.0, fused=True)
    assert timing(network).fit_limit_s("neural_net") == pytest.approx(600.0)


def test_a_resumed_study_keeps_time_for_its_finalists_before_it_has_fitted_a_fold():
    study = Study("lightgbm", walls=[4.0] * 10, best_fold_s=2.0, finalists=4)
    for now, only in ((0.0, False), (95.0, True)):
        times = timing(study, slots=1, deadline=100.0, now=now)
        assert times.only_left((), finalists=True) is only
    # The fit alone would still have time.
    assert not times.only_left((), finalists=False)
