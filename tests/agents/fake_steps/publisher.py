"""A step that lays models out and publishes them, or asks first, as its parameter `act` says."""

import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from fake_steps import actor
from steps.artifacts import (
    Sidecar,
    feature_schema_hash,
    keep_last_versions,
    let_wait,
    publish,
    version_folder,
    write_sidecar,
)
from steps.contract import Awaiting, Estimate, Output, Scores, Signal, StepRequest, StepResult
from steps.entry import run_step
from steps.files import sha256_file

AGENT = "acting"


def run(request: StepRequest) -> StepResult:
    return globals()[f"act_{request.params['act']}"](request)


def act_fail(request: StepRequest) -> StepResult:
    return actor.act_fail(request)


def act_publish(request: StepRequest) -> StepResult:
    publish(Path(request.workspace), AGENT, _laid_out(request))
    return actor.act_complete(request)


def act_publish_ill(request: StepRequest) -> StepResult:
    """Its winner is ill unless the rate is low."""
    publish(Path(request.workspace), AGENT, _laid_out(request))
    return actor.act_ill(request)


def act_publish_lie(request: StepRequest) -> StepResult:
    done = act_publish(request)
    altered = Output(path="out/winner.txt", sha256="0" * 64, bytes=8)
    return done.model_copy(update={"outputs": (altered,)})


def act_publish_die(request: StepRequest) -> StepResult:
    act_publish(request)
    os._exit(7)


def act_ask(request: StepRequest) -> StepResult:
    folder = _laid_out(request)
    workspace = Path(request.workspace)
    awaiting = Awaiting(
        what="publish",
        agent=AGENT,
        version=str(folder.relative_to(workspace)),
        in_force=let_wait(workspace, AGENT, folder),
        reason="holdout R2 0.5 is below 0.8",
    )
    keep_last_versions(workspace, folder)
    path = folder / "best_model.txt"
    model = Output(
        path=str(path.relative_to(workspace)), sha256=sha256_file(path), bytes=path.stat().st_size
    )
    done = actor.act_complete(request)
    return done.model_copy(update={"awaiting": awaiting, "outputs": (*done.outputs, model)})


def act_ask_ill(request: StepRequest) -> StepResult:
    ill = actor.act_ill(request)
    return ill.model_copy(update={"awaiting": act_ask(request).awaiting})


def _laid_out(request: StepRequest) -> Path:
    folder = version_folder(Path(request.workspace), AGENT, request.run_id, request.attempt)
    text = f"model of {request.run_id}"
    (folder / "best_model.txt").write_text(text)
    one = Estimate(value=0.5)
    scores = Scores(r2=one, rmse=one, mae=one)
    write_sidecar(
        Sidecar(
            run_id=request.run_id,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            model_type="catboost",
            checkpoint_path=f"models/{AGENT}/best_model.txt",
            checkpoint_format="txt",
            checkpoint_sha256=hashlib.sha256(text.encode()).hexdigest(),
            target="price",
            feature_names=("size",),
            feature_schema_hash=feature_schema_hash(("size",)),
            preprocessing={},
            params={},
            rounds=1,
            versions={},
            metrics={"cv": scores, "holdout": scores},
            signal=Signal(verdict="strong", reasons=()),
        ),
        folder,
    )
    return folder


if __name__ == "__main__":
    sys.exit(run_step(run))
