"""A study's trials depend on its seed and history alone; nothing is lost or counted twice."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from gpu.protocol import FoldScore, TrainFailed, TrialDone
from steps.step5_training.families import SPECS
from steps.step5_training.identity import search_identity
from steps.step5_training.outcomes import INTERRUPTIONS_ALLOWED
from steps.step5_training.settings import TRIALS_PER_ASK as BATCH
from steps.step5_training.settings import Settings
from steps.step5_training.storage import StudyStorageError, open_storage
from steps.step5_training.studies import open_study

SPEC = SPECS["lightgbm"]


@pytest.fixture(params=["sqlite", "journal"])
def storage(request, tmp_path):
    return open_storage(request.param, tmp_path / "studies")


def opened(storage, tmp_path, trials=10, run="r1", table="t", **options):
    settings = Settings(trials=trials, **options)
    space = SPEC.search_space(settings, 1000)
    return open_study(
        storage,
        SPEC,
        settings,
        identity=search_identity(SPEC, space, settings, table, "folds"),
        space=space,
        table_name="orders",
        run_id=run,
        folder=tmp_path / "predictions",
        val_rows=500,
    )


def outcome(planned, pruned=False):
    """A made-up result that depends on the trial's parameters only."""
    r2 = 0.9 - abs(planned.values["feature_fraction"] - 0.7)
    scores = tuple(
        FoldScore(
            fold=k,
            r2=r2 + 0.01 * k,
            val_mse=1.0,
            train_mse=1.0,
            best_round=5,
            rounds_run=9,
            duration_s=0.1,
        )
        for k in range(1 if pruned else planned.folds)
    )
    return TrialDone(
        id="x", scores=scores, pruned=pruned, duration_s=0.3, device="cpu", peak_rss_mib=1.0
    )


def tell(study, planned, done=None):
    """Record a result as the scheduler does: the worker has left its predictions."""
    np.save(study.predictions_path(planned.position, full=planned.full), np.zeros(3))
    study.tell(planned, done or outcome(planned), 0.3)


def run_out(study, order=1):
    """Run a study to its end; with order -1 the trials of a batch finish in reverse."""
    while batch := study.ask():
        for planned in batch[::order]:
            tell(study, planned)
    return [trial.values for trial in study.finished]


def test_trials_do_not_depend_on_the_order_in_which_they_finish(storage, tmp_path):
    first, _ = opened(storage, tmp_path)
    second, _ = opened(storage, tmp_path, run="r2")
    assert run_out(first) == run_out(second, order=-1)
    assert len(first.finished) == 10


def test_a_batch_is_asked_only_when_the_last_one_is_told(storage, tmp_path):
    study, _ = opened(storage, tmp_path)
    batch = study.ask()
    assert len(batch) == BATCH
    assert study.ask() == []


def test_so_many_trials_are_asked_at_once_as_people_say(storage, tmp_path):
    study, _ = opened(storage, tmp_path, trials=15, trials_per_ask=8)
    batch = study.ask()
    assert len(batch) == 8
    for planned in batch:
        tell(study, planned)
    assert len(study.ask()) == 7
    # Another sequence of trials: no other study's are gone on with.
    other, note = opened(storage, tmp_path, trials=15, trials_per_ask=4, run="r2", resume=True)
    assert other.name != study.name
    assert not other.finished
    assert "made with another trials_per_ask;" in note


@pytest.mark.parametrize("good_ends", ["first", "last"])
def test_whether_a_study_is_given_up_does_not_depend_on_which_trial_ends_first(
    storage, tmp_path, good_ends
):
    study, _ = opened(storage, tmp_path, trials_per_ask=3)
    for asked in range(3):
        batch = study.ask()
        if good_ends == "first":
            batch.reverse()
        for planned in batch:
            good = asked == 2 and planned.position == 8
            failed = TrainFailed(kind="internal", message="broken")
            tell(study, planned, None if good else failed)
    assert study.stopped is None
    assert study.ask()


def test_a_large_ask_that_fails_whole_ends_the_study(storage, tmp_path):
    study, _ = opened(storage, tmp_path, trials=40, trials_per_ask=20)
    for planned in study.ask():
        tell(study, planned, TrainFailed(kind="internal", message="broken"))
    assert "the first 20 trials all failed; " in study.stopped


def test_resume_continues_to_exactly_the_asked_number_as_if_never_stopped(storage, tmp_path):
    whole, _ = opened(storage, tmp_path, trials=15, run="r0", seed=1)
    expected = run_out(whole)
    short, _ = opened(storage, tmp_path, trials=6, run="r1", table="t2", seed=1)
    run_out(short)
    longer, note = opened(storage, tmp_path, trials=15, run="r2", table="t2", seed=1, resume=True)
    assert "6 of 15 trials done" in note
    assert run_out(longer) == expected
    again, _ = opened(storage, tmp_path, trials=15, run="r3", table="t2", seed=1, resume=True)
    assert again.ask() == []


def test_a_killed_run_is_resumed_with_the_trials_it_left_running(storage, tmp_path):
    whole, _ = opened(storage, tmp_path, run="r0", table="t0")
    expected = run_out(whole)
    killed, _ = opened(storage, tmp_path)
    for planned in killed.ask():
        tell(killed, planned)
    second = killed.ask()
    tell(killed, second[2])
    # Nothing more is said: the process is gone, and three trials are left RUNNING.
    resumed, _ = opened(storage, tmp_path, run="r2", resume=True)
    states = [t.state for t in optuna.load_study(study_name=resumed.name, storage=storage).trials]
    assert states.count(TrialState.RUNNING) == 0
    assert states.count(TrialState.FAIL) == 3
    due = resumed.ask()
    assert [planned.position for planned in due] == [4, 5, 7]
    assert [p.values for p in due] == [p.values for p in second if p.position != 6]
    for planned in due:
        tell(resumed, planned)
    assert run_out(resumed) == expected


def test_a_trial_that_is_cut_off_again_and_again_is_given_up(storage, tmp_path):
    study, _ = opened(storage, tmp_path)
    for _ in range(INTERRUPTIONS_ALLOWED + 1):
        for planned in study.ask():
            study.started(planned)
        study, _ = opened(storage, tmp_path, resume=True)
    assert [trial.failure for trial in study.finished] == ["interrupted 4 times"] * BATCH


def test_trials_on_which_runs_died_twice_are_suspects(storage, tmp_path):
    study, _ = opened(storage, tmp_path)
    seen = []
    for _ in range(3):
        batch = study.ask()
        seen.append([planned.suspect for planned in batch])
        study.started(batch[1])
        study, _ = opened(storage, tmp_path, resume=True)
    assert seen == [[False] * 4, [False] * 4, [False, True, False, False]]


def test_a_lost_best_trial_does_not_change_the_rule_of_an_open_batch(storage, tmp_path):
    def begun(table, **options):
        study, _ = opened(
            storage, tmp_path / table, trials=12, table=table, split="time", **options
        )
        for _ in range(2):
            for planned in study.ask():
                tell(study, planned)
        return study, study.ask()

    (tmp_path / "t0").mkdir()
    (tmp_path / "t1").mkdir()
    _, undisturbed = begun("t0")
    killed, batch = begun("t1")
    for planned in batch[:2]:
        tell(killed, planned)
    best = killed.best.position
    killed.predictions_path(best).unlink()
    resumed, _ = opened(storage, tmp_path / "t1", trials=12, table="t1", split="time", resume=True)
    due = {planned.position: planned for planned in resumed.ask()}
    assert {best, 10, 11} == due.keys()
    assert undisturbed[2].prune is not None
    for planned in undisturbed[2:]:
        assert due[planned.position].values == planned.values
        assert due[planned.position].prune == planned.prune


def test_stops_before_a_trial_has_begun_never_use_it_up(storage, tmp_path):
    study, _ = opened(storage, tmp_path)
    first = [planned.values for planned in study.ask()]
    for stop in range(INTERRUPTIONS_ALLOWED + 2):
        if stop % 2:
            for planned in study.ask():
                study.started(planned)
                study.postpone(planned)
        study, _ = opened(storage, tmp_path, resume=True)
    assert study.finished == ()
    assert [planned.values for planned in study.ask()] == first


def test_a_trial_whose_device_was_taken_away_is_the_same_trial_again(storage, tmp_path):
    whole, _ = opened(storage, tmp_path, run="r0", table="t0")
    expected = run_out(whole)
    study, _ = opened(storage, tmp_path)
    for _ in range(INTERRUPTIONS_ALLOWED + 2):
        batch = study.ask()
        study.started(batch[1])
        again = study.again(batch[1])
        assert again.number != batch[1].number
        assert (again.position, again.values, again.record, again.prune) == (
            batch[1].position, batch[1].values, batch[1].record, batch[1].prune
        )  # fmt: skip
        assert study.ask() == []
        for planned in (batch[0], again, *batch[2:]):
            tell(study, planned)
        if study.remaining == 0:
            break
    run_out(study)
    assert [trial.values for trial in study.finished] == expected
    resumed, _ = opened(storage, tmp_path)
    assert [trial.values for trial in resumed.finished] == expected
    assert resumed.ask() == []


def test_a_confirmation_whose_device_was_taken_away_is_asked_for_once_more(storage, tmp_path):
    study = searched(storage, tmp_path)
    (planned,) = study.ask()
    study.started(planned)
    again = study.again(planned)
    assert again.full
    assert again.record == planned.record
    assert study.ask() == []
    study.predictions_path(again.position, full=True).write_bytes(b"full")
    study.tell(again, outcome(again), 0.3)
    assert study.confirmation is not None
    assert study.ask() == []


def test_fewer_trials_than_were_done_are_the_first_of_them(storage, tmp_path):
    whole, _ = opened(storage, tmp_path, trials=10)
    values = run_out(whole)
    fewer, _ = opened(storage, tmp_path, trials=3, resume=True)
    # The best of the first three is run again: only the best of all kept its predictions.
    assert run_out(fewer) == values[:3]
    assert fewer.remaining == 0
    assert fewer.best.position < 3


def test_a_best_trial_whose_predictions_are_lost_is_run_again(storage, tmp_path):
    whole, _ = opened(storage, tmp_path)
    values = run_out(whole)
    best = whole.best.position
    whole.predictions_path(best).unlink()
    resumed, _ = opened(storage, tmp_path, resume=True)
    batch = resumed.ask()
    assert [planned.position for planned in batch] == [best]
    assert batch[0].prune is None
    for planned in batch:
        tell(resumed, planned)
    run_out(resumed)
    assert [trial.values for trial in resumed.finished] == values
    assert resumed.best.position == best


def test_what_a_killed_worker_left_half_written_is_gone_when_the_study_is_opened(storage, tmp_path):
    study, _ = opened(storage, tmp_path)
    tell(study, study.ask()[0])
    saved = study.predictions_path(0)
    left = saved.with_name(f".{saved.name}.0a1b2c3d.tmp")
    left.write_bytes(b"half")
    opened(storage, tmp_path, resume=True)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_trial_that_a_person_enqueued_by_hand_is_left_alone(storage, tmp_path):
    first, _ = opened(storage, tmp_path)
    expected = run_out(first)
    second, _ = opened(storage, tmp_path, run="r2")
    study = optuna.load_study(study_name=second.name, storage=storage)
    study.enqueue_trial({"num_leaves": 9})
    assert run_out(second) == expected
    resumed, _ = opened(storage, tmp_path, run="r2", resume=True)
    assert len(resumed.finished) == 10


def test_a_kill_while_a_batch_is_asked_leaves_whole_trials_only(storage, tmp_path, monkeypatch):
    whole, _ = opened(storage, tmp_path, run="r0", table="t0")
    expected = run_out(whole)
    killed, _ = opened(storage, tmp_path)
    kept_in = type(killed._study._storage)
    create = kept_in.create_new_trial
    made = []

    def die_at_the_third(self, *arguments, **options):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(create(self, *arguments, **options))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(kept_in, "create_new_trial", die_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            killed.ask()
    resumed, _ = opened(storage, tmp_path, run="r2", resume=True)
    assert run_out(resumed) == expected


def test_a_study_on_other_data_is_set_aside_and_said(storage, tmp_path):
    first, _ = opened(storage, tmp_path)
    run_out(first)
    other, note = opened(storage, tmp_path, table="changed", run="r2", resume=True)
    assert other.finished == ()
    assert f"study {first.name} was made with another table" in note


def test_other_fixed_parameters_are_another_search_space(storage, tmp_path):
    first, _ = opened(storage, tmp_path)
    run_out(first)
    other, note = opened(storage, tmp_path, n_estimators=77, run="r2", resume=True)
    assert other.finished == ()
    assert "another search space" in note


def test_without_resume_a_new_study_begins(storage, tmp_path):
    first, _ = opened(storage, tmp_path)
    run_out(first)
    second, note = opened(storage, tmp_path, run="r2")
    assert second.finished == ()
    assert note is None


def test_a_retry_of_a_run_goes_on_with_its_own_study(storage, tmp_path):
    first, _ = opened(storage, tmp_path)
    for planned in first.ask():
        tell(first, planned)
    retried, note = opened(storage, tmp_path)
    assert len(retried.finished) == BATCH
    assert "4 of 10 trials done" in note


def test_the_best_trial_is_complete_and_its_record_is_whole(storage, tmp_path):
    study, _ = opened(storage, tmp_path, trials=4)
    batch = study.ask()
    study.tell(batch[0], outcome(batch[0], pruned=True), 0.1)
    study.tell(batch[1], TrainFailed(kind="oom", message="no memory"), 0.1)
    for planned in batch[2:]:
        tell(study, planned)
    assert study.best.position in (2, 3)
    assert study.best.record == batch[study.best.position].record
    assert study.finished[1].failure == "oom: no memory"
    states = [trial.state for trial in study.finished]
    assert states[:2] == [TrialState.PRUNED, TrialState.FAIL]


def test_only_the_finalists_predictions_are_kept(storage, tmp_path):
    study, _ = opened(storage, tmp_path)
    for _ in range(3):
        for planned in study.ask():
            tell(study, planned)
    assert study.remaining == 0
    kept = sorted((tmp_path / "predictions" / study.name).glob("*.npy"))
    assert kept == sorted(study.predictions_path(p.position) for p in study.ask())


def test_a_family_that_always_fails_stops_early_with_the_reason(storage, tmp_path):
    study, _ = opened(storage, tmp_path, trials=50)
    for _ in range(2):
        for planned in study.ask():
            study.tell(planned, TrainFailed(kind="internal", message="broken"), 0.1)
    assert study.ask() == []
    assert study.remaining == 0
    assert "the first 8 trials all failed; internal: broken" in study.stopped


def test_the_prune_rule_comes_from_whole_batches(storage, tmp_path):
    study, _ = opened(storage, tmp_path)
    for _ in range(2):
        batch = study.ask()
        # Five trials of two folds are the fewest that tell how far they vary.
        assert {planned.prune for planned in batch} == {None}
        for planned in batch:
            tell(study, planned)
    rule = study.ask()[0].prune
    assert rule.reference == tuple(score.r2 for score in study.leading.scores)


def test_pruning_can_be_switched_off(storage, tmp_path):
    study, _ = opened(storage, tmp_path, pruning=False)
    for _ in range(3):
        for planned in study.ask():
            assert (planned.prune, planned.folds) == (None, 5)
            tell(study, planned)
    assert len(study.complete) == 10
    (full,) = study.ask()
    assert (full.full, full.prune) == (True, None)


@pytest.mark.parametrize("setting", ["postgres", "nonsense://x/y"])
def test_a_storage_that_cannot_be_used_is_named(setting, tmp_path):
    with pytest.raises(StudyStorageError, match=setting[:8]):
        open_storage(setting, tmp_path)


def test_a_password_in_a_storage_url_is_not_shown(tmp_path):
    with pytest.raises(StudyStorageError) as caught:
        open_storage("nonsense://me:secret@host/db", tmp_path)
    assert "secret" not in str(caught.value)


def test_any_database_url_is_taken(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'own.db'}", tmp_path)
    study, _ = opened(storage, tmp_path)
    assert len(run_out(study)) == 10


def test_a_locked_database_is_a_clear_error_after_a_bounded_wait(tmp_path, monkeypatch):
    import sqlite3

    from steps.step5_training import storage as module

    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.5)
    open_storage("sqlite", tmp_path)
    holder = sqlite3.connect(tmp_path / module.SQLITE_FILE)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StudyStorageError, match="locked"):
        opened(open_storage("sqlite", tmp_path), tmp_path)
    holder.close()


def confirm(study, better):
    """Run the confirmation out: the best trial at full resolution, better or worse than before."""
    (planned,) = study.ask()
    scores = study.searched_best.scores
    moved = [s.model_copy(update={"r2": s.r2 + (0.01 if better else -0.01)}) for s in scores]
    path = study.predictions_path(planned.position, full=True)
    np.save(path, np.zeros(3))
    done = outcome(planned).model_copy(update={"scores": tuple(moved)})
    study.tell(planned, done, 0.3)
    return planned


def searched(storage, tmp_path, **options):
    """A study of 8 trials whose search and finalists are done."""
    study, _ = opened(storage, tmp_path, trials=8, **options)
    for _ in range(3):
        for planned in study.ask():
            tell(study, planned)
    assert study.ended
    return study


@pytest.mark.parametrize("better", [True, False])
def test_the_best_trial_is_run_once_more_at_full_resolution_and_the_better_counts(
    storage, tmp_path, better
):
    study = searched(storage, tmp_path)
    coarse = study.best
    planned = confirm(study, better)
    assert planned.record == {**coarse.record, "max_bin": 255}
    assert coarse.record["max_bin"] == 63
    assert planned.prune.reference == tuple(score.r2 for score in coarse.scores)
    assert study.ask() == []
    assert (study.best.record["max_bin"] == 255) is better
    assert study.best.position == coarse.position
    assert len(study.finished) == 8


def test_full_resolution_that_was_stopped_behind_leaves_the_coarse_record(storage, tmp_path):
    study = searched(storage, tmp_path)
    coarse = study.best
    (planned,) = study.ask()
    first = coarse.scores[0].model_copy(update={"r2": coarse.scores[0].r2 - 0.02})
    stopped = outcome(planned).model_copy(update={"scores": (first,), "pruned": True})
    study.tell(planned, stopped, 0.3)
    assert study.ask() == []
    assert (study.confirmation, study.best) == (None, coarse)
    assert len(study.tried_full.scores) == 1
    again, _ = opened(storage, tmp_path, trials=8, run="r2", resume=True)
    assert again.ask() == []
    assert again.best.record == coarse.record


def test_a_search_at_full_resolution_confirms_nothing(storage, tmp_path):
    study = searched(storage, tmp_path, coarse_bins=False)
    assert study.best.record["max_bin"] == 255
    assert study.ask() == []


def test_a_resumed_study_knows_its_confirmation_and_repeats_a_lost_one(storage, tmp_path):
    study = searched(storage, tmp_path)
    confirm(study, better=True)
    again, _ = opened(storage, tmp_path, trials=8, run="r2", resume=True)
    assert again.ask() == []
    assert again.best.record["max_bin"] == 255
    again.predictions_path(again.best.position, full=True).unlink()
    # Lost altogether, or left empty by a power cut.
    for run, left in (("r3", None), ("r4", b"")):
        path = again.predictions_path(again.best.position, full=True)
        path.unlink(missing_ok=True)
        if left is not None:
            path.write_bytes(left)
        lost, _ = opened(storage, tmp_path, trials=8, run=run, resume=True)
        (planned,) = lost.ask()
        assert planned.full


def test_a_confirmation_that_fails_or_kills_leaves_the_coarse_record(storage, tmp_path):
    study = searched(storage, tmp_path)
    (planned,) = study.ask()
    study.tell(planned, TrainFailed(kind="oom", message="no memory"), 0.1)
    assert study.ask() == []
    assert study.best.record["max_bin"] == 63
    for _ in range(INTERRUPTIONS_ALLOWED + 1):
        study, _ = opened(storage, tmp_path, trials=8, run="r9", resume=True)
        (planned,) = study.ask()
        study.started(planned)
    study, _ = opened(storage, tmp_path, trials=8, run="r9", resume=True)
    assert study.ask() == []


def test_a_study_continued_to_more_trials_confirms_its_new_best(storage, tmp_path):
    study = searched(storage, tmp_path)
    confirm(study, better=True)
    more, _ = opened(storage, tmp_path, trials=12, run="r2", resume=True)
    first = more.ask()
    assert [planned.position for planned in first] == [8, 9, 10, 11]
    while not first[0].full:
        for planned in first:
            good = planned.position == 9
            scores = tuple(
                s.model_copy(update={"r2": 0.99 if good else 0.1}) for s in outcome(planned).scores
            )
            tell(more, planned, outcome(planned).model_copy(update={"scores": scores}))
        first = more.ask()
    (planned,) = first
    assert planned.full
    assert planned.position == 9
