"""The loss curves of a trial tell what happened and change nothing."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from gpu.params import FAMILIES
from gpu.protocol import PruneRule, TrainBatch, TrainFailed, TrialDone, encode
from gpu.protocol.observations import CURVE_POINTS, TrialCurves
from gpu.worker import curves
from gpu.worker.curves import TrialLog, thinned_curve
from gpu.worker.serve import serve
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import Losses


def ask(family, *commands):
    replies = []
    lines = io.BytesIO(b"".join(encode(command) for command in commands))
    serve(lines, replies.append, family, load_trainer(family, "cpu", 1), 1, once=False)
    return [reply for reply in replies if reply.status != "fold"]


def read(path):
    return TrialCurves.model_validate_json((path / "curves.json").read_text(encoding="utf-8"))


def losses(n, *, validation=True):
    train = np.linspace(9.0, 1.0, n)
    return Losses(train, train + 1 if validation else None)


def test_a_short_curve_is_kept_whole():
    curve = thinned_curve(losses(7), fold=2, best_round=5)
    assert curve.rounds == (1, 2, 3, 4, 5, 6, 7)
    assert curve.train == tuple(losses(7).train)
    assert curve.validation == tuple(losses(7).validation)
    assert (curve.fold, curve.best_round, curve.rounds_run) == (2, 5, 7)


@pytest.mark.parametrize("best", [1, 1234, 2999, 3000])
def test_a_long_curve_keeps_its_first_best_and_last_round(best):
    whole = losses(3000)
    curve = thinned_curve(whole, fold=None, best_round=best)
    assert CURVE_POINTS - 1 <= len(curve.rounds) <= CURVE_POINTS
    assert {1, best, 3000} <= set(curve.rounds)
    assert list(curve.rounds) == sorted(set(curve.rounds))
    assert curve.train == tuple(whole.train[np.array(curve.rounds) - 1])


def test_a_curve_without_validation_rows_says_so():
    assert thinned_curve(losses(3, validation=False), fold=None, best_round=3).validation is None


def test_a_curve_with_a_number_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        thinned_curve(Losses(np.array([1.0, np.nan]), None), fold=None, best_round=2)
    with pytest.raises(ValueError, match="no round"):
        thinned_curve(Losses(np.array([]), None), fold=None, best_round=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_curves_are_in_squared_units_of_the_target_and_change_no_score(
    family, mixed_table, train_trial, tmp_path
):
    (watched,) = ask(family, train_trial(family, mixed_table, tmp_path / "a"))
    (plain,) = ask(family, train_trial(family, mixed_table, tmp_path / "b", curves=False))
    assert isinstance(watched, TrialDone)
    assert not (tmp_path / "b" / "curves.json").exists()
    assert [p.name for p in (tmp_path / "a").iterdir()].count("curves.json") == 1
    np.testing.assert_array_equal(
        np.load(tmp_path / "a" / "predictions.npy"), np.load(tmp_path / "b" / "predictions.npy")
    )
    found = read(tmp_path / "a").curves
    assert [curve.fold for curve in found] == [0, 1]
    for curve, score, other in zip(found, watched.scores, plain.scores, strict=True):
        same = {"r2", "val_mse", "train_mse", "best_round", "rounds_run"}
        assert score.model_dump(include=same) == other.model_dump(include=same)
        assert (curve.best_round, curve.rounds_run) == (score.best_round, score.rounds_run)
        at = curve.rounds.index(curve.best_round)
        assert curve.validation[at] == pytest.approx(score.val_mse, rel=1e-4)
        assert curve.validation[at] == min(curve.validation)
        # The network's own training loss has dropout on, and catboost's its ordered statistics.
        near = 0.01 if family in ("xgboost", "lightgbm") else 2.0
        assert curve.train[at] == pytest.approx(score.train_mse, rel=near)


def test_curves_of_a_batch_are_those_of_each_trial_alone(mixed_table, train_trial, tmp_path):
    jobs = [
        train_trial(
            "neural_net", mixed_table, tmp_path / f"{i}", folds=(1, 0), learning_rate=rate
        ).model_copy(update={"id": f"n{i}"})
        for i, rate in enumerate((1e-3, 1e-2))
    ]
    assert all(isinstance(r, TrialDone) for r in ask("neural_net", TrainBatch(jobs=tuple(jobs))))
    together = [read(tmp_path / f"{i}") for i in range(2)]
    ask("neural_net", *jobs)
    for i in range(2):
        assert [curve.fold for curve in together[i].curves] == [1, 0]
        for one, other in zip(together[i].curves, read(tmp_path / f"{i}").curves, strict=True):
            np.testing.assert_allclose(one.train, other.train, rtol=1e-4)
            np.testing.assert_allclose(one.validation, other.validation, rtol=1e-4)


@pytest.mark.parametrize("family", ["neural_net", "lightgbm"])
def test_a_pruned_trial_leaves_no_curves(family, mixed_table, train_trial, tmp_path):
    rule = PruneRule(reference=(2.0, 2.0), sigma=0.001, factor=1.0)
    (done,) = ask(family, train_trial(family, mixed_table, tmp_path / "out", prune=rule))
    assert done.pruned
    assert not (tmp_path / "out").exists()


def test_a_fold_that_diverges_fails_its_trial_as_ever(mixed_table, train_trial, tmp_path):
    job = train_trial("neural_net", mixed_table, tmp_path / "out", learning_rate=1e30)
    (failed,) = ask("neural_net", job)
    assert isinstance(failed, TrainFailed)
    assert failed.kind == "diverged"


@pytest.mark.parametrize("family", ["neural_net", "xgboost"])
def test_a_trial_whose_curves_cannot_be_kept_is_complete_without_them(
    family, mixed_table, train_trial, tmp_path, monkeypatch, capsys
):
    def refuse(*_arguments, **_options):
        raise MemoryError("no more")

    monkeypatch.setattr(curves, "thinned_curve", refuse)
    (done,) = ask(family, train_trial(family, mixed_table, tmp_path / "out"))
    assert isinstance(done, TrialDone)
    found = read(tmp_path / "out")
    assert found.curves == ()
    assert found.absent[0] == "the loss curve of fold 0: MemoryError: no more"
    assert "not observed: the loss curve of fold 0: MemoryError: no more" in capsys.readouterr().err


def test_a_fold_without_a_curve_is_told_and_the_others_are_kept(tmp_path):
    log = TrialLog(str(tmp_path / "curves.json"), (0, 1, 2))
    for fold in range(3):
        watch = log.watch()
        watch.losses = losses(2) if fold != 1 else None
        if fold == 1:
            watch.absent.append("the loss curve: KeyError: learn")
        log.fold_fitted(fold, SimpleNamespace(best_round=2), watch)
    log.save()
    found = read(tmp_path)
    assert [curve.fold for curve in found.curves] == [0, 2]
    assert found.absent == ("fold 1: the loss curve: KeyError: learn",)


def test_a_place_that_cannot_be_written_costs_the_curves_only(
    mixed_table, train_trial, tmp_path, capsys
):
    (tmp_path / "taken").write_text("a file, no folder", encoding="utf-8")
    job = train_trial("xgboost", mixed_table, tmp_path / "out")
    job = job.model_copy(update={"curves_path": str(tmp_path / "taken" / "curves.json")})
    (done,) = ask("xgboost", job)
    assert isinstance(done, TrialDone)
    assert "not observed: the file of loss curves" in capsys.readouterr().err


def test_a_file_of_curves_is_one_json_object(mixed_table, train_trial, tmp_path):
    ask("xgboost", train_trial("xgboost", mixed_table, tmp_path))
    raw = json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))
    assert list(raw) == ["curves", "absent"]
