"""The best few trials of a search go on to all folds; what their first folds gave is kept."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from gpu.protocol import FoldScore, TrainFailed, TrialDone
from steps.step5_training.families import SPECS
from steps.step5_training.finalists import finalist_count, ranking_folds, search_folds
from steps.step5_training.identity import search_identity
from steps.step5_training.outcomes import INTERRUPTIONS_ALLOWED
from steps.step5_training.progress import family_progress
from steps.step5_training.settings import Settings
from steps.step5_training.studies import open_study

SPEC = SPECS["lightgbm"]
N_FOLDS = 5


@pytest.fixture
def storage():
    """What storages on a disk keep is tested with the studies; here they would only be slow."""
    return InMemoryStorage()


@pytest.fixture
def open_one(tmp_path, storage):
    """Opens a study of lightgbm; again with the same run, as a retry of its step does."""

    def opened(trials=12, run="r1", val_rows=500, **options):
        settings = Settings(trials=trials, coarse_bins=False, **options)
        space = SPEC.search_space(settings, 1000)
        study, _ = open_study(
            storage,
            SPEC,
            settings,
            identity=search_identity(SPEC, space, settings, "t", "folds"),
            space=space,
            table_name="orders",
            run_id=run,
            folder=tmp_path / "predictions",
            val_rows=val_rows,
        )
        return study

    return opened


def score(values, fold):
    """R2 that depends on trial and fold alone: the same whenever the fold is fitted."""
    noise = np.random.default_rng([int(values["feature_fraction"] * 1e9), fold]).normal()
    return 0.9 - abs(values["feature_fraction"] - 0.7) + 0.002 * noise


def done(planned):
    """What a worker answers: the folds that were begun, then the others."""
    new = tuple(
        FoldScore(
            fold=k, r2=score(planned.values, k), val_mse=1.0, train_mse=1.0,
            best_round=5, rounds_run=9, duration_s=0.1,
        )
        for k in range(len(planned.begun), planned.folds)
    )  # fmt: skip
    return TrialDone(
        id="x",
        scores=(*planned.begun, *new),
        pruned=False,
        duration_s=0.3,
        device="cpu",
        peak_rss_mib=1.0,
    )


def tell(study, planned, outcome=None):
    np.save(study.predictions_path(planned.position), np.zeros(3))
    study.tell(planned, outcome or done(planned), 1.0)


def search(study):
    """Run the search out; returns what is asked next: the finalists."""
    while study.remaining:
        for planned in study.ask():
            tell(study, planned)
    return study.ask()


@pytest.mark.parametrize(
    ("k_folds", "pruning", "ranking"),
    [(2, True, 2), (3, True, 2), (5, True, 2), (10, True, 4), (5, False, 5)],
)
def test_two_folds_in_five_rank_the_trials_but_two_at_least(k_folds, pruning, ranking):
    assert ranking_folds(Settings(k_folds=k_folds, pruning=pruning), 300) == ranking


@pytest.mark.parametrize(
    ("k_folds", "val_rows", "ranking"),
    [(5, 1500, 2), (5, 2999, 2), (5, 3000, 1), (10, 1000, 3), (10, 10**6, 1), (5, 0, 2)],
)
def test_no_more_folds_rank_than_have_three_thousand_rows_together(k_folds, val_rows, ranking):
    assert ranking_folds(Settings(k_folds=k_folds), val_rows) == ranking


def test_where_one_fold_ranks_finalists_go_on_with_it(open_one):
    study = open_one(trials=20, val_rows=3000)
    finalists = search(study)
    assert [len(planned.begun) for planned in finalists] == [1] * 6
    for planned in finalists:
        assert planned.prune is None
        tell(study, planned)
    assert len(study.complete) == 6
    assert [len(trial.scores) for trial in study.finished].count(1) == 14


def test_three_trials_in_ten_go_on_and_a_batch_at_least():
    assert [finalist_count(n) for n in (1, 4, 13, 14, 20, 50, 100)] == [4, 4, 4, 5, 6, 15, 30]


def test_where_every_trial_is_a_finalist_the_search_fits_all_folds():
    assert search_folds(Settings(trials=4), 300) == N_FOLDS
    assert search_folds(Settings(trials=5), 300) == 2


def test_the_best_by_their_first_folds_go_on_and_no_other(open_one):
    study = open_one()
    finalists = search(study)
    ranks = [np.mean([score(t.values, k) for k in (0, 1)]) for t in study.finished]
    assert [p.position for p in finalists] == np.argsort(ranks)[::-1][:4].tolist()
    assert {(p.folds, len(p.begun), p.prune, p.finalist) for p in finalists} == {(5, 2, None, True)}
    for planned in finalists:
        tell(study, planned)
    assert study.ended
    assert study.ask() == []
    assert len(study.finished) == 12
    assert {t.position for t in study.complete} == {p.position for p in finalists}
    assert study.best.mean_r2 == max(
        np.mean([score(p.values, k) for k in range(5)]) for p in finalists
    )


def test_a_finalist_is_one_trial_with_the_time_of_both_its_parts(open_one):
    study = open_one()
    for planned in search(study):
        tell(study, planned)
    assert {t.wall_s for t in study.complete} == {2.0}
    assert {t.wall_s for t in study.finished if t not in study.complete} == {1.0}
    # In a later process too, which reads it all from the storage.
    again = open_one()
    assert [(t.position, t.state, t.wall_s) for t in again.finished] == [
        (t.position, t.state, t.wall_s) for t in study.finished
    ]
    assert again.ended
    assert again.best.position == study.best.position


def test_while_none_is_complete_the_leading_one_is_told(open_one):
    study = open_one()
    assert study.leading is None
    for planned in study.ask():
        tell(study, planned)
    assert study.best is None
    assert study.leading.position == max(study.finished, key=lambda t: t.mean_r2).position


def test_the_trials_of_a_search_do_not_depend_on_finalists_before_them(open_one):
    whole = open_one(trials=30, run="r0")
    search(whole)
    short = open_one(trials=12, run="r1")
    for planned in search(short):
        tell(short, planned)
    longer = open_one(trials=30, run="r1")
    finalists = search(longer)
    assert [t.values for t in longer.finished] == [t.values for t in whole.finished]
    done_before = {t.position for t in longer.complete}
    assert len(done_before) == 4
    assert done_before.isdisjoint(p.position for p in finalists)


def test_a_killed_finalist_goes_on_where_its_first_folds_ended(open_one):
    study = open_one()
    finalists = search(study)
    study.started(finalists[0])
    tell(study, finalists[1])
    resumed = open_one()
    due = resumed.ask()
    assert [p.position for p in due] == [finalists[i].position for i in (0, 2, 3)]
    assert [p.begun for p in due] == [finalists[i].begun for i in (0, 2, 3)]
    for planned in due:
        tell(resumed, planned)
    assert resumed.ended
    assert len(resumed.complete) == 4


@pytest.mark.parametrize("left", [None, b"", b"half of one"])
def test_a_finalist_whose_predictions_are_gone_fits_all_folds_again(open_one, left):
    study = open_one()
    search(study)
    leading = study.leading.position
    study.predictions_path(leading).unlink()
    if left is not None:
        study.predictions_path(leading).write_bytes(left)
    resumed = open_one()
    due = resumed.ask()
    assert {p.position: len(p.begun) for p in due}[leading] == 0
    assert {len(p.begun) for p in due if p.position != leading} == {2}
    for planned in due:
        tell(resumed, planned)
    resumed.predictions_path(resumed.best.position).unlink()
    (again,) = open_one().ask()
    assert (again.position, again.begun, again.folds) == (resumed.best.position, (), 5)


def test_the_place_of_a_finalist_that_fails_is_taken_by_the_next(open_one):
    study = open_one()
    finalists = search(study)
    study.tell(finalists[0], TrainFailed(kind="diverged", message="too far"), 1.0)
    for planned in finalists[1:]:
        tell(study, planned)
    (next_best,) = study.ask()
    assert next_best.position not in {p.position for p in finalists}
    tell(study, next_best)
    assert study.ended
    assert len(study.complete) == 4
    (failed,) = [t for t in study.finished if t.state is TrialState.FAIL]
    assert (failed.position, failed.failure) == (finalists[0].position, "diverged: too far")


def test_a_best_trial_that_fewer_trials_would_not_have_chosen_is_fitted_again(open_one):
    """Its file is gone, since a later one was the best of all; it is the best of these few."""
    study = open_one(trials=40)
    for planned in search(study):
        tell(study, planned)
    complete = sorted(study.complete, key=lambda t: t.position)
    few = complete[0].position + 1
    assert few < study.best.position
    fewer = open_one(trials=few)
    (again,) = fewer.ask()[:1]
    assert (again.position, again.folds, again.begun) == (few - 1, 5, ())
    tell(fewer, again)
    while due := fewer.ask():
        for planned in due:
            tell(fewer, planned)
    assert fewer.best_predictions() is not None


def test_finalists_that_all_fail_end_the_study_with_the_reason(open_one):
    study = open_one()
    due = search(study)
    while due:
        for planned in due:
            study.tell(planned, TrainFailed(kind="oom", message="no memory"), 1.0)
        due = study.ask()
    assert study.stopped == "the first 8 finalists all failed; oom: no memory"
    assert study.ended
    assert study.best is None


def test_folds_of_growing_windows_all_rank_the_trials():
    settings = Settings(split="time", time_column="day")
    assert ranking_folds(settings, 10**6) == search_folds(settings, 10**6) == N_FOLDS


def test_a_long_search_has_no_more_finalists_than_its_disk_can_take():
    assert finalist_count(10_000) == 64


def test_a_trial_in_question_is_in_no_final_state(open_one):
    study = open_one()
    finalists = search(study)
    told = family_progress(study, ())
    assert (told.complete, told.pruned) == (0, 8)
    for planned in finalists:
        tell(study, planned)
    told = family_progress(study, ())
    assert (told.complete, told.pruned, told.finished) == (4, 8, 12)


def test_a_finalist_that_runs_die_on_is_given_up_and_said(open_one):
    study = open_one()
    first = search(study)[0]
    for _ in range(INTERRUPTIONS_ALLOWED + 1):
        study = open_one()
        for planned in study.ask():
            if planned.position == first.position:
                study.started(planned)
    study = open_one()
    due = study.ask()
    assert first.position not in {p.position for p in due}
    assert len(due) == 4
    assert study.finished[first.position].failure == "interrupted 4 times"


def test_when_the_search_is_ended_its_finalists_still_go_on(open_one):
    study = open_one()
    for _ in range(2):
        for planned in study.ask():
            tell(study, planned)
    study.search_ended = "time budget used up"
    assert study.remaining == 0
    assert not study.ended
    assert study.finalists_due == (4, 3)
    finalists = study.ask()
    assert len(finalists) == 4
    study.stopped = "time budget used up"
    for planned in finalists[:1]:
        tell(study, planned)
    for planned in finalists[1:]:
        study.postpone(planned)
    assert study.ended
    # Those three should have gone on; the others were behind, which is no less true for the clock.
    assert study.cut_off == {p.position for p in finalists[1:]}
    assert study.best.position == finalists[0].position


def test_the_storage_tells_the_parts_of_a_trial_apart(open_one, storage):
    study = open_one()
    for planned in search(study):
        tell(study, planned)
    stored = optuna.load_study(study_name=study.name, storage=storage).trials
    assert sum("position" in t.user_attrs for t in stored) == 12
    finals = [t for t in stored if "completes" in t.user_attrs]
    assert {(len(t.user_attrs["scores"]), t.user_attrs["begun"]) for t in finals} == {(5, 2)}
    assert {t.state for t in finals} == {TrialState.COMPLETE}
