"""A trial that goes on with its other folds ends as if it had never stopped."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from pydantic import ValidationError

from gpu.params import FAMILIES
from gpu.protocol import FoldDone, PruneRule, TrainBatch, TrainFailed, TrainTrial, encode
from gpu.worker.serve import serve
from gpu.worker.trainers import load_trainer

FOLDS = (0, 1)


def ask(family, command):
    """All replies of a worker that is started for this command alone."""
    replies = []
    lines = io.BytesIO(encode(command))
    serve(lines, replies.append, family, load_trainer(family, "cpu", 1), 1, once=False)
    return replies


def without_times(scores):
    return [score.model_dump(exclude={"duration_s"}) for score in scores]


def curves(path):
    return json.loads((path / "curves.json").read_text(encoding="utf-8"))


@pytest.fixture
def parts(mixed_table, train_trial, tmp_path):
    """(family) -> the trial whole, its first fold, and (the first's scores) -> the rest of it."""

    def build(family):
        whole = train_trial(family, mixed_table, tmp_path / "whole", folds=FOLDS)
        first = train_trial(family, mixed_table, tmp_path / "parts", folds=FOLDS[:1])

        def rest(scores):
            return first.model_copy(update={"folds": FOLDS, "begun": tuple(scores)})

        return whole, first, rest

    return build


@pytest.mark.parametrize(
    ("family", "as_batch"), [*((family, False) for family in FAMILIES), ("neural_net", True)]
)
def test_two_parts_make_the_same_trial_as_one(parts, tmp_path, family, as_batch):
    whole, first, rest = parts(family)

    def trained(job):
        return ask(family, TrainBatch(jobs=(job,)) if as_batch else job)

    expected = trained(whole)[-1]
    begun = trained(first)[-1]
    *folds, done = trained(rest(begun.scores))
    assert [reply.score.fold for reply in folds] == [1]
    assert without_times(done.scores) == without_times(expected.scores)
    assert done.scores[0] == begun.scores[0]
    assert not done.pruned
    one, two = (np.load(tmp_path / name / "predictions.npy") for name in ("whole", "parts"))
    np.testing.assert_array_equal(one, two)
    assert curves(tmp_path / "parts") == curves(tmp_path / "whole")


def test_the_rule_counts_the_folds_that_were_begun(parts):
    _, first, rest = parts("lightgbm")
    (*_, begun) = ask("lightgbm", first)
    rule = PruneRule(reference=(begun.scores[0].r2 + 9.0, -9.0), sigma=0.1, factor=1.0)
    job = rest(begun.scores).model_copy(update={"folds": (0, 1, 1), "prune": rule})
    replies = ask("lightgbm", job)
    # Far behind on the first fold and far ahead on the second: not behind on the two.
    assert [type(reply) for reply in replies[:-1]] == [FoldDone, FoldDone]


@pytest.mark.parametrize("left", [None, b"", b"no array", np.zeros(3), np.zeros(620, np.float32)])
def test_predictions_that_cannot_be_carried_on_are_a_bad_job_that_names_the_file(
    parts, tmp_path, left
):
    _, first, rest = parts("lightgbm")
    begun = ask("lightgbm", first)[-1]
    path = tmp_path / "parts" / "predictions.npy"
    path.unlink()
    if isinstance(left, bytes):
        path.write_bytes(left)
    elif left is not None:
        np.save(path, left)
    (failed,) = ask("lightgbm", rest(begun.scores))
    assert isinstance(failed, TrainFailed)
    assert failed.kind == "bad_job"
    assert str(path) in failed.message


def test_curves_that_are_gone_cost_no_fold(parts, tmp_path):
    _, first, rest = parts("lightgbm")
    begun = ask("lightgbm", first)[-1]
    (tmp_path / "parts" / "curves.json").unlink()
    done = ask("lightgbm", rest(begun.scores))[-1]
    assert len(done.scores) == 2
    found = curves(tmp_path / "parts")
    assert [curve["fold"] for curve in found["curves"]] == [1]
    assert "the loss curves of the first 1 folds" in found["absent"][0]


@pytest.mark.parametrize("folds", [(1, 0), (0,), (1,)])
def test_begun_folds_must_be_the_first_and_not_all(parts, folds):
    _, first, _ = parts("lightgbm")
    begun = ask("lightgbm", first)[-1]
    raw = first.model_dump() | {"folds": folds, "begun": begun.scores}
    with pytest.raises(ValidationError, match="begun folds"):
        TrainTrial.model_validate(raw)
