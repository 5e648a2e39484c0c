"""Messages are one line each and refuse what they do not know; observations are finite numbers."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from gpu.protocol import (
    MAX_LINE_BYTES,
    FinalFit,
    Ping,
    ProtocolError,
    Ready,
    ShellTrain,
    TrainFailed,
    TrainTrial,
    TrialDone,
    decode_command,
    decode_reply,
    encode,
)
from gpu.protocol.observations import Curve, FitObservations, TrialCurves


def test_a_reply_comes_back_as_it_was_sent():
    done = TrialDone(
        id="a", scores=(), pruned=False, duration_s=1.5, device="cpu", peak_rss_mib=10.0
    )
    assert decode_reply(encode(done)) == done


def test_the_published_train_line_is_understood():
    line = (
        b'{"command":"train","X_train_path":"/tmp/t.npz","params":{"hidden_layers":[64,32],'
        b'"learning_rate":0.001,"epochs":5},"trial_number":0,"fold_idx":0,'
        b'"normalize_features":true,"use_leaky_relu":true,"batch_mode":"full"}'
    )
    command = decode_command(line)
    assert isinstance(command, ShellTrain)
    assert command.params["epochs"] == 5


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"not json", "not JSON"),
        (b'{"command": "fly"}', "fly"),
        (b'{"command": "ping", "x": 1}', "x"),
        (b"[" * 100_000, "not JSON"),
        (b'"' + b"a" * (MAX_LINE_BYTES + 1) + b'"', "over the limit"),
    ],
)
def test_a_bad_line_is_a_typed_error_that_says_what_is_wrong(line, told):
    with pytest.raises(ProtocolError, match=told):
        decode_command(line)


def test_a_number_that_is_not_finite_is_never_sent():
    done = TrialDone(
        id="a", scores=(), pruned=False, duration_s=float("nan"), device="cpu", peak_rss_mib=1.0
    )
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(done)


def test_every_message_is_one_line():
    for message in (
        Ready(family="xgboost", device="cpu", pid=1),
        TrainFailed(kind="oom", message="two\nlines"),
        Ping(command="ping"),
    ):
        line = encode(message)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        json.loads(line)


def test_a_number_that_is_not_finite_among_a_jobs_parameters_is_refused_too():
    job = TrainTrial(
        id="a", family="xgboost", trial_number=0, params={"learning_rate": float("nan")},
        table="t", folds=(0,), seed=0, predictions_path="p",
    )  # fmt: skip
    with pytest.raises(ProtocolError, match="cannot be sent"):
        encode(job)


def test_nobody_watches_unless_a_job_says_where_to():
    trial = {
        "command": "train_trial", "id": "a", "family": "xgboost", "trial_number": 0, "params": {},
        "table": "t", "folds": [0], "seed": 0, "predictions_path": "p",
    }  # fmt: skip
    fit = {
        "command": "final_fit", "id": "a", "family": "xgboost", "trial_number": 0, "params": {},
        "rounds": 1, "table": "t", "seed": 0, "checkpoint_path": "c", "preprocessing_path": "p",
        "predictions_path": "p",
    }  # fmt: skip
    assert decode_command(json.dumps(trial).encode()) == TrainTrial(**trial)
    assert decode_command(json.dumps(trial).encode()).curves_path is None
    assert decode_command(json.dumps(fit).encode()).observations_path is None
    watched = FinalFit(**fit, observations_path="o.json")
    assert decode_command(encode(watched)) == watched


def make_curve(**changes):
    whole = {
        "fold": 0, "rounds": (1, 3), "train": (2.0, 1.0), "validation": None, "best_round": 3,
        "rounds_run": 3,
    }  # fmt: skip
    return Curve(**{**whole, **changes})


def test_observations_come_back_from_their_file_as_they_were():
    curves = TrialCurves(curves=(make_curve(), make_curve(validation=(0.1 + 0.2, 1e-300))))
    assert TrialCurves.model_validate_json(curves.model_dump_json()) == curves
    seen = FitObservations(family="catboost", curve=make_curve(fold=None), absent=("this",))
    assert FitObservations.model_validate_json(seen.model_dump_json()) == seen


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_observation_that_is_no_finite_number_is_refused(value):
    with pytest.raises(ValidationError, match="finite"):
        make_curve(train=(1.0, value))
    with pytest.raises(ValidationError, match="finite"):
        FitObservations(family="catboost", peak_rss_mib=value)


def test_an_unknown_observation_is_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        make_curve(loss=1.0)
