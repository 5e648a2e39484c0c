"""The worker's loop: a command a line in, a reply a line out, until told to stop or end of file."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from pydantic import BaseModel

from gpu.params import Family
from gpu.protocol import (
    FinalFit,
    Job,
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
from gpu.protocol.seeds import SiftSeeds
from gpu.worker.batch import run_batch
from gpu.worker.failures import BadJob, failure
from gpu.worker.jobs import (
    run_final_fit,
    run_predict,
    run_shell_train,
    run_sift_seeds,
    run_trial,
)
from gpu.worker.trainers.base import Trainer
from gpu.worker.trainers.many import BatchTrainer

Send = Callable[[BaseModel], None]


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
    command: ShellTrain | TrainBatch | Job,
    send: Send,
    family: Family,
    trainer: Trainer,
) -> None:
    if isinstance(command, TrainBatch):
        if isinstance(trainer, BatchTrainer):
            _answer_together(command, send, trainer)
            return
        for job in command.jobs:
            _answer(job, send, family, trainer)
        return
    if isinstance(command, TrainTrial) and isinstance(trainer, BatchTrainer):
        # The folds of one trial are a batch too.
        _answer_together(TrainBatch(jobs=(command,)), send, trainer)
        return
    try:
        send(_run(command, send, family, trainer))
    except Exception as error:  # noqa: BLE001  # whatever a library raises, the worker serves on
        send(failure(command, error))


def _answer_together(command: TrainBatch, send: Send, trainer: BatchTrainer) -> None:
    unanswered = dict(enumerate(command.jobs))

    def answered(job: ShellTrain | TrainTrial) -> None:
        at = next(i for i, waiting in unanswered.items() if waiting is job)
        del unanswered[at]

    def fail(job: ShellTrain | TrainTrial, error: Exception) -> None:
        answered(job)
        send(failure(job, error))

    def done(job: ShellTrain | TrainTrial, reply: BaseModel) -> None:
        answered(job)
        send(reply)

    try:
        run_batch(command, trainer, send, done, fail)
    except Exception as error:  # noqa: BLE001  # whatever a library raises, the worker serves on
        for job in unanswered.values():
            send(failure(job, error))


def _run(
    command: ShellTrain | Job,
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
        case SiftSeeds():
            return run_sift_seeds(command, trainer)
