"""Do one job with a trainer: a trial over its folds, a final fit, predictions, a shell line.

Sifting seeds takes no more of the trainer than its device.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gpu.params import CHECKPOINT_FORMATS, Family, Params, complete_params, decode_params
from gpu.protocol import (
    FinalFit,
    FitDone,
    FoldDone,
    FoldScore,
    PredictDone,
    PredictRows,
    PruneRule,
    ShellDone,
    ShellTrain,
    TrainTrial,
    TrialDone,
)
from gpu.protocol.seeds import SiftDone, SiftSeeds
from gpu.worker.curves import TrialLog
from gpu.worker.data import SharedTable, open_shell_split
from gpu.worker.failures import BadJob
from gpu.worker.files import save_array, save_text
from gpu.worker.metrics import mean_squared_error, r2_score
from gpu.worker.observe import FitLog
from gpu.worker.trainers.base import Columns, Fitted, FloatVector, Predictor, Split, Trainer

Emit = Callable[[FoldDone], None]

# A training error is a diagnostic: on so many rows it costs little and says the same.
TRAIN_SAMPLE = 4096


def run_trial(job: TrainTrial, trainer: Trainer, emit: Emit) -> TrialDone:
    """Fit the job's folds one after the other; stop early where its prune rule says so.

    Writes the out-of-fold predictions, float64 (n_rows,), NaN outside the fitted folds, to
    job.predictions_path, and the loss curves to job.curves_path, if that is given.
    """
    started = time.monotonic()
    params = decode_params(job.family, job.params)
    table = SharedTable(Path(job.table))
    out_of_fold = earlier_predictions(job, len(table.y))
    log = TrialLog(job.curves_path, job.folds, begun=len(job.begun))
    scores = list(job.begun)
    pruned = False
    for index in job.folds[len(scores) :]:
        fold_started = time.monotonic()
        split = table.fold(index)
        watch = log.watch()
        fitted = trainer.fit(split, params, seed=job.seed + index, rounds=None, watch=watch)
        assert split.X_val is not None  # noqa: S101  # a fold always has validation rows
        assert split.y_val is not None  # noqa: S101
        predictions = fitted.predict(split.X_val)
        out_of_fold[table.validation_rows(index)] = predictions
        score = FoldScore(
            fold=index,
            r2=r2_score(split.y_val, predictions),
            val_mse=mean_squared_error(split.y_val, predictions),
            train_mse=train_sample_mse(split, fitted),
            best_round=fitted.best_round,
            rounds_run=fitted.rounds_run,
            duration_s=time.monotonic() - fold_started,
        )
        log.fold_fitted(index, fitted, watch)
        scores.append(score)
        emit(FoldDone(id=job.id, score=score))
        if job.prune is not None and hopeless(job.prune, [s.r2 for s in scores]):
            pruned = len(scores) < len(job.folds)
            break
    if not pruned:
        save_array(Path(job.predictions_path), out_of_fold)
        log.save()
    return TrialDone(
        id=job.id,
        scores=tuple(scores),
        pruned=pruned,
        duration_s=time.monotonic() - started,
        device=trainer.device_name,
        peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def earlier_predictions(job: TrainTrial, n_rows: int) -> FloatVector:
    """Out-of-fold predictions of the folds that were begun, float64 (n_rows,), NaN elsewhere."""
    if not job.begun:
        return np.full(n_rows, np.nan)
    try:
        found = np.load(job.predictions_path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = f"{job.predictions_path}: the folds begun left no predictions to go on with: {error}"
        raise BadJob(why) from None
    if found.shape != (n_rows,) or found.dtype != np.float64:
        raise BadJob(
            f"{job.predictions_path}: {found.dtype} {found.shape}, where the folds begun should "
            f"have left float64 ({n_rows},)"
        )
    predictions: FloatVector = found
    return predictions


def hopeless(rule: PruneRule, scores: list[float]) -> bool:
    """Whether the folds so far show that a trial cannot win; see PruneRule for the formula."""
    k = min(len(scores), len(rule.reference))
    behind = sum(rule.reference[:k]) / k - sum(scores[:k]) / k
    return behind > rule.factor * rule.sigma * math.sqrt(2 / k)


def train_sample_mse(split: Split, model: Predictor) -> float:
    """Mean squared error on at most TRAIN_SAMPLE evenly spaced training rows."""
    n = len(split.y_train)
    rows = np.linspace(0, n - 1, min(n, TRAIN_SAMPLE)).round().astype(np.int64)
    return mean_squared_error(split.y_train[rows], model.predict(split.X_train[rows]))


def run_final_fit(job: FinalFit, trainer: Trainer) -> FitDone:
    """Train on all search rows, save the checkpoint, and predict the holdout rows.

    Then take the model apart, where job.observations_path is given; duration_s is without that.
    """
    with FitLog(job) as log:
        started = time.monotonic()
        with log.phase("load"):
            params = decode_params(job.family, job.params)
            table = SharedTable(Path(job.table))
            split = table.search()
        with log.phase("fit"):
            fitted = trainer.fit(split, params, seed=job.seed, rounds=job.rounds, watch=log.watch)
        sha256 = _save_checkpoint(fitted, Path(job.checkpoint_path))
        save_text(Path(job.preprocessing_path), json.dumps(fitted.preprocessing()))
        with log.phase("predict"):
            X_holdout, _ = table.holdout()
            predictions = fitted.predict(X_holdout)
            save_array(Path(job.predictions_path), predictions)
            train_mse = mean_squared_error(split.y_train, fitted.predict(split.X_train))
        done = FitDone(
            id=job.id,
            checkpoint_sha256=sha256,
            train_mse=train_mse,
            duration_s=time.monotonic() - started,
            device=trainer.device_name,
            library_version=trainer.version(),
        )
        log.observe(fitted, split, table, predictions)
    return done


def run_predict(job: PredictRows, trainer: Trainer) -> PredictDone:
    """Score rows with the very bytes whose hash was checked."""
    blob = Path(job.checkpoint_path).read_bytes()
    sha256 = hashlib.sha256(blob).hexdigest()
    if sha256 != job.checkpoint_sha256:
        raise BadJob(
            f"{job.checkpoint_path}: SHA-256 is {sha256}, its sidecar says {job.checkpoint_sha256}"
        )
    preprocessing = json.loads(Path(job.preprocessing_path).read_text(encoding="utf-8"))
    columns = Columns(tuple(preprocessing["kinds"]), tuple(preprocessing["levels"]))
    model = trainer.load(blob, preprocessing["model"], columns)
    X = np.load(job.rows_path, mmap_mode="r")
    save_array(Path(job.predictions_path), model.predict(X))
    return PredictDone(id=job.id, n_rows=len(X))


def run_sift_seeds(job: SiftSeeds, trainer: Trainer) -> SiftDone:
    """Hold a range of seeds against what was seen of their outputs."""
    # Imported only here, in a worker that has torch: the other families do without.
    from gpu.worker.seeds.sieve import sieve_on

    started = time.monotonic()
    # "cuda:0 (NVIDIA ...)", "cpu"
    parts = sieve_on(trainer.device_name.partition(" ")[0]).sift(job)
    return SiftDone(
        id=job.id,
        parts=parts,
        duration_s=time.monotonic() - started,
        device=trainer.device_name,
    )


def run_shell_train(
    job: ShellTrain, family: Family, trainer: Trainer, save_to: Path | None = None
) -> ShellDone:
    """Train on X_train, score on X_val."""
    started = time.monotonic()
    split = open_shell_split(Path(job.X_train_path))
    params = shell_params(job, family)
    fitted = trainer.fit(split, params, seed=job.seed, rounds=None)
    return shell_done(job, trainer, split, fitted, time.monotonic() - started, save_to)


def shell_params(job: ShellTrain, family: Family) -> Params:
    """The parameters of a shell line; the network's options of the job override its params."""
    options = {
        name: value
        for name in ("normalize_features", "use_leaky_relu", "batch_mode")
        if (value := getattr(job, name)) is not None and family == "neural_net"
    }
    return complete_params(family, {**job.params, **options})


def shell_done(
    job: ShellTrain,
    trainer: Trainer,
    split: Split,
    fitted: Fitted,
    duration_s: float,
    save_to: Path | None = None,
) -> ShellDone:
    """Score a model as a shell line is answered, and save it into the folder `save_to`."""
    assert split.X_val is not None  # noqa: S101  # open_shell_split always gives validation rows
    assert split.y_val is not None  # noqa: S101
    predictions = fitted.predict(split.X_val)
    checkpoint = None
    if save_to is not None:
        checkpoint = save_to / f"model.{CHECKPOINT_FORMATS[trainer.family]}"
        save_to.mkdir(parents=True, exist_ok=True)
        _save_checkpoint(fitted, checkpoint)
    return ShellDone(
        model_type=trainer.family,
        trial_number=job.trial_number,
        fold_idx=job.fold_idx,
        r2=r2_score(split.y_val, predictions),
        val_mse=mean_squared_error(split.y_val, predictions),
        train_mse=mean_squared_error(split.y_train, fitted.predict(split.X_train)),
        duration=duration_s,
        device=trainer.device_name,
        epochs_run=fitted.rounds_run,
        checkpoint_path=str(checkpoint) if checkpoint else None,
    )


def _save_checkpoint(fitted: Fitted, path: Path) -> str:
    """Write beside the final name, flush, rename; returns the SHA-256 of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The library chooses a format by the suffix, so the temporary name keeps it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        fitted.save(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return sha256
