"""Whatever becomes of the observing, the final fit stands, and what is absent is named."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from gpu.params import FAMILIES
from gpu.protocol import encode
from gpu.protocol.observations import FitObservations
from gpu.worker import observe
from gpu.worker.jobs import run_final_fit
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import Diverged


def read(job):
    return FitObservations.model_validate_json(
        Path(job.observations_path).read_text(encoding="utf-8")
    )


def fit(job):
    done = run_final_fit(job, load_trainer(job.family, "cpu", 1))
    return done, read(job)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_holdout_without_rows_leaves_attributions_absent(
    family, mixed_table, final_fit, tmp_path
):
    np.save(mixed_table / "holdout_rows.npy", np.array([], dtype=np.int32))
    _, seen = fit(final_fit(family, mixed_table, tmp_path))
    assert seen.absent == ("attributions: ValueError: the holdout has no rows",)
    assert seen.importances


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("no\nsuch\nthing"), Diverged("x")])
def test_what_fails_is_named_and_the_rest_is_kept(
    family, error, mixed_table, final_fit, tmp_path, monkeypatch
):
    job = final_fit(family, mixed_table, tmp_path, rounds=2)
    trainer = load_trainer(family, "cpu", 1)

    def refuse(*_arguments, **_options):
        raise error

    monkeypatch.setattr(observe, "chosen_rows", refuse)
    monkeypatch.setattr(observe, "thinned_curve", refuse)
    done = run_final_fit(job, trainer)
    with open(job.checkpoint_path, "rb") as file:
        assert done.checkpoint_sha256 == hashlib.sha256(file.read()).hexdigest()
    seen = read(job)
    words = " ".join(str(error).split())
    why = f"{type(error).__name__}: {words}" if words else type(error).__name__
    assert seen.absent == (f"the loss curve: {why}", f"attributions: {why}")
    assert seen.curve is None
    assert seen.importances


def test_importances_that_are_not_finite_are_absent(mixed_table, final_fit, tmp_path, monkeypatch):
    from gpu.worker.trainers import lightgbm

    monkeypatch.setattr(
        lightgbm.lgb.Booster, "feature_importance", lambda *_a, **_k: np.full(5, np.nan)
    )
    _, seen = fit(final_fit("lightgbm", mixed_table, tmp_path))
    (sentence,) = seen.absent
    assert sentence.startswith("importances: ValidationError")
    assert len(sentence) <= 300
    assert seen.importances == ()
    assert len(seen.attributions) == 10


def test_a_fit_that_diverges_fails_as_ever_and_leaves_what_was_seen(
    mixed_table, final_fit, tmp_path
):
    job = final_fit("neural_net", mixed_table, tmp_path, learning_rate=1e30)
    with pytest.raises(Diverged):
        run_final_fit(job, load_trainer("neural_net", "cpu", 1))
    seen = read(job)
    assert any("Diverged" in sentence for sentence in seen.absent)
    assert seen.attributions == ()
    assert seen.network.epochs == (0,)
    assert not (tmp_path / "observations.json.begun").exists()


def test_a_bad_job_fails_as_ever(mixed_table, final_fit, tmp_path):
    job = final_fit("xgboost", mixed_table / "missing", tmp_path)
    with pytest.raises(FileNotFoundError):
        run_final_fit(job, load_trainer("xgboost", "cpu", 1))
    assert "FileNotFoundError" in read(job).absent[0]


def test_a_place_that_cannot_be_written_costs_the_observations_only(
    mixed_table, final_fit, tmp_path, capsys
):
    (tmp_path / "taken").write_text("a file, no folder", encoding="utf-8")
    job = final_fit("xgboost", mixed_table, tmp_path / "out")
    job = job.model_copy(update={"observations_path": str(tmp_path / "taken" / "o.json")})
    run_final_fit(job, load_trainer("xgboost", "cpu", 1))
    assert np.isfinite(np.load(job.predictions_path)).all()
    assert "not observed: the file of observations" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "told"),
    [("_Model.contributions", "observing"), ("LightGBMTrainer._bin", "training and watching")],
)
def test_a_process_that_died_of_observing_is_not_made_to_die_again(
    where, told, mixed_table, final_fit, tmp_path
):
    job = final_fit("lightgbm", mixed_table, tmp_path)
    code = textwrap.dedent(
        f"""
        import os, signal, sys
        from gpu.protocol import decode_command
        from gpu.worker.jobs import run_final_fit
        from gpu.worker.trainers import lightgbm
        lightgbm.{where} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        trainer = lightgbm.LightGBMTrainer("cpu", 1)
        run_final_fit(decode_command(sys.stdin.buffer.readline()), trainer)
        """
    )
    died = subprocess.run(
        [sys.executable, "-c", code], input=encode(job), timeout=120, check=False,
        capture_output=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not Path(job.observations_path).exists()
    again, seen = fit(job)
    assert seen.absent == (
        f"everything but times: the worker process ended while it was {told} this fit, so the "
        "fit was repeated without being observed",
    )
    assert (seen.curve, seen.importances, seen.attributions) == (None, (), ())
    assert set(seen.seconds) == {"load", "fit", "predict"}
    plain = job.model_copy(update={"observations_path": None})
    alone = run_final_fit(plain, load_trainer("lightgbm", "cpu", 1))
    assert again.checkpoint_sha256 == alone.checkpoint_sha256


def test_a_marker_is_gone_once_a_fit_has_been_observed(mixed_table, final_fit, tmp_path):
    job = final_fit("xgboost", mixed_table, tmp_path)
    fit(job)
    _, again = fit(job)
    assert again.absent == ()
