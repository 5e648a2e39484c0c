"""The worker's loop: a command a line in, a reply a line out, until told to stop or end of file."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import BinaryIO

from pydantic import BaseModel, ValidationError

from gpu.params import Family, UnknownParameter
from gpu.protocol import (
    FailureKind,
    FinalFit,
    Ping,
    Pong,
    PredictRows,
    ProtocolError,
    ShellTrain,
    Shutdown,
    TrainBatch,
    TrainFailed,
    TrainTrial,
    decode_command,
)
from gpu.worker.jobs import BadJob, run_final_fit, run_predict, run_shell_train, run_trial
from gpu.worker.trainers.base import Diverged, Trainer

Send = Callable[[BaseModel], None]
MESSAGE_CHARS = 4000


def serve(
    commands: BinaryIO, send: Send, family: Family, trainer: Trainer, pid: int, *, once: bool
) -> int:
    """Answer commands until shutdown or end of file; with `once`, answer one. Returns the status.

    A line that is not a command is answered by an error, and the worker goes on.
    """
    while line := commands.readline():
        if not line.strip():
            continue
        try:
            command = decode_command(line)
        except ProtocolError as error:
            send(TrainFailed(kind="bad_job", message=str(error)))
        else:
            if isinstance(command, Shutdown):
                return 0
            if isinstance(command, Ping):
                send(Pong(pid=pid))
                continue
            _answer(command, send, family, trainer)
        if once:
            return 0
    return 0


def _answer(
    command: ShellTrain | TrainBatch | TrainTrial | FinalFit | PredictRows,
    send: Send,
    family: Family,
    trainer: Trainer,
) -> None:
    if isinstance(command, TrainBatch):
        for job in command.jobs:
            _answer(job, send, family, trainer)
        return
    try:
        send(_run(command, send, family, trainer))
    except Exception as error:  # noqa: BLE001  # whatever a library raises, the worker serves on
        kind = _kind(error)
        text = str(error) or type(error).__name__
        if kind == "internal":
            text = f"{type(error).__name__}: {text}\n{traceback.format_exc(limit=-6)}"
        send(_failure(command, kind, text[:MESSAGE_CHARS]))


def _run(
    command: ShellTrain | TrainTrial | FinalFit | PredictRows,
    send: Send,
    family: Family,
    trainer: Trainer,
) -> BaseModel:
    if not isinstance(command, ShellTrain) and command.family != family:
        raise BadJob(f"this worker serves {family}, the job is for {command.family}")
    match command:
        case ShellTrain():
            return run_shell_train(command, family, trainer)
        case TrainTrial():
            return run_trial(command, trainer, send)
        case FinalFit():
            return run_final_fit(command, trainer)
        case PredictRows():
            return run_predict(command, trainer)


def _kind(error: Exception) -> FailureKind:
    if isinstance(error, BadJob | UnknownParameter | ValidationError):
        return "bad_job"
    if isinstance(error, Diverged):
        return "diverged"
    text = str(error).lower()
    # torch and xgboost raise RuntimeError-like types whose text tells; none is importable here.
    if isinstance(error, MemoryError) or "out of memory" in text or "bad_alloc" in text:
        return "oom"
    if isinstance(error, ValueError):
        return "bad_job"
    return "internal"


def _failure(
    command: ShellTrain | TrainTrial | FinalFit | PredictRows, kind: FailureKind, message: str
) -> TrainFailed:
    if isinstance(command, ShellTrain):
        return TrainFailed(
            kind=kind,
            message=message,
            trial_number=command.trial_number,
            fold_idx=command.fold_idx,
        )
    trial = None if isinstance(command, PredictRows) else command.trial_number
    return TrainFailed(kind=kind, message=message, id=command.id, trial_number=trial)
