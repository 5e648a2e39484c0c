"""`python -m steps.step5_training.predict`: score new rows with the winner, in a worker process."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from gpu.host.devices import MIB, cpu_slots, plan_slots
from gpu.host.leases import LeaseQueue
from gpu.host.pool import JobEnded, Pool
from gpu.params import FAMILIES, Family
from gpu.protocol import Outcome, PredictDone, PredictRows, TrainFailed
from steps.artifacts import SIDECAR, Artifact, ArtifactError, open_artifact
from steps.contract import Output, StepRequest, StepResult
from steps.entry import run_step
from steps.errors import StepRefused
from steps.files import atomic_writer, sha256_file
from steps.policies import LivePolicy
from steps.step5_training.comparison import Gpus, Orders
from steps.step5_training.evaluate import Vector
from steps.step5_training.orders import Desk
from steps.step5_training.placement import allowed_gpus
from steps.tables import EncodedRows, TableError, TableSchema, encode_rows

WAIT_S = 0.25


def predict(request: StepRequest) -> StepResult:
    """Write one prediction a row, in the order of the table, beside the rows' identifiers.

    params: {"table": path, "output": path}. Status no_signal, and no file, when the model's own
    verdict is that there is nothing to predict.
    """
    workspace = Path(request.workspace)
    table, output = Path(request.params["table"]), Path(request.params["output"])
    try:
        artifact = open_artifact(workspace, workspace / "models" / "reinforcement" / SIDECAR)
        if artifact.sidecar.signal.verdict == "none":
            return _refused(request, artifact)
        schema = TableSchema.model_validate(artifact.sidecar.preprocessing["table"])
        rows = encode_rows(table, schema)
    except (ArtifactError, TableError) as error:
        raise StepRefused("bad_input", str(error)) from error
    scratch = Path(request.out_dir) / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        live = LivePolicy.handed_over(request.policy_path, request.policy)
        desk = Desk(live, workspace, (), Orders())
        predictions = _score(artifact, rows, scratch, desk)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if output.resolve() == table.resolve():
        raise StepRefused("bad_input", f"{output}: the output would replace the table itself")
    _write(output, rows, predictions, artifact.sidecar.target)
    sidecar = artifact.sidecar
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="complete",
        headline=(
            f"{rows.n_rows} rows scored with {sidecar.model_type} of run {sidecar.run_id} "
            f"(signal {sidecar.signal.verdict}): {output}"
        ),
        outputs=(
            Output(path=str(output), sha256=sha256_file(output), bytes=output.stat().st_size),
        ),
        signal=sidecar.signal,
        notes=rows.notes,
    )


def _score(artifact: Artifact, rows: EncodedRows, scratch: Path, desk: Desk) -> Vector:
    sidecar = artifact.sidecar
    np.save(scratch / "rows.npy", rows.X)
    keep = ("kinds", "levels", "model")
    preprocessing = {key: sidecar.preprocessing[key] for key in keep}
    (scratch / "preprocessing.json").write_text(json.dumps(preprocessing), encoding="utf-8")
    job = PredictRows(
        id="predict",
        family=_family(sidecar.model_type),
        checkpoint_path=str(artifact.checkpoint),
        checkpoint_sha256=sidecar.checkpoint_sha256,
        preprocessing_path=str(scratch / "preprocessing.json"),
        rows_path=str(scratch / "rows.npy"),
        predictions_path=str(scratch / "predictions.npy"),
    )
    with Pool(LeaseQueue(()), threads=1, limit=1) as pool:
        outcome = _outcome(pool, job, desk, table_mib=rows.X.nbytes / MIB)
    match outcome:
        case PredictDone():
            scores: Vector = np.load(scratch / "predictions.npy")
            return scores
        case TrainFailed(kind="oom"):
            raise MemoryError(outcome.message)
        case TrainFailed(kind="bad_job"):
            raise StepRefused("bad_input", outcome.message)
        case _:
            raise StepRefused("internal", str(getattr(outcome, "message", outcome)))


def _outcome(pool: Pool, job: PredictRows, desk: Desk, *, table_mib: float) -> Outcome:
    """Run the job on a device that is allowed; again on another where its GPU is switched off."""
    gpus: Gpus | None = None
    started = False
    while True:
        orders = desk()
        if orders.stop is not None:
            raise StepRefused("blocked", orders.stop)
        if orders.gpus != gpus:
            gpus = orders.gpus
            devices, _ = allowed_gpus(os.environ, gpus)
            found = devices or cpu_slots(1)
            plan = plan_slots(found, slots=0, table_mib=table_mib, families=[job.family])
            pool.use(plan.devices, threads=plan.threads, reason="its GPU is switched off by policy")
        started = started or pool.try_start(job)
        for event in pool.wait(WAIT_S):
            match event:
                case JobEnded(outcome=TrainFailed(kind="cancelled")):
                    started = False
                case JobEnded():
                    return event.outcome


def _write(output: Path, rows: EncodedRows, predictions: Vector, target: str) -> None:
    columns = dict(rows.row_ids) or {"row": pa.array(np.arange(1, rows.n_rows + 1))}
    name = f"predicted_{target}"
    while name in columns:
        name += "_"
    with atomic_writer(output) as file:
        csv.write_csv(pa.table({**columns, name: predictions}), file)


def _refused(request: StepRequest, artifact: Artifact) -> StepResult:
    sidecar = artifact.sidecar
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="no_signal",
        headline=(
            f"Prediction refused: run {sidecar.run_id} found no signal in {sidecar.target}. "
            f"{sidecar.signal.reasons[0]}."
        ),
        signal=sidecar.signal,
    )


def _family(name: str) -> Family:
    for family in FAMILIES:
        if family == name:
            return family
    raise StepRefused("bad_input", f"the sidecar names an unknown model type {name!r}")


if __name__ == "__main__":
    sys.exit(run_step(predict))
