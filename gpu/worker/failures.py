"""Say what kind of failure an exception is, and tell it."""

from __future__ import annotations

import traceback

from pydantic import ValidationError

from gpu.params import UnknownParameter
from gpu.protocol import FailureKind, FinalFit, Job, ShellTrain, TrainFailed, TrainTrial
from gpu.worker.trainers.base import Diverged

MESSAGE_CHARS = 4000
# torch, xgboost and the C++ library raise RuntimeError-like types whose text tells. Of the GPU
# libraries' statuses only those that name an allocation: "not initialized" has other causes too.
_MEMORY_WORDS = (
    "out of memory",
    "outofmemory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "bad_malloc",
    "failed to allocate",
    "failed to map segment",
    # CUBLAS_STATUS_ALLOC_FAILED, as cuDNN 8, cuSPARSE, cuSOLVER and AMD's libraries name it too.
    "_status_alloc_failed",
    # cuDNN 9: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, and HOST for DEVICE.
    "host_allocation_failed",
    "device_allocation_failed",
)


class BadJob(ValueError):
    """A job that cannot be done as it was asked; the message says why."""


def failure_kind(error: Exception) -> FailureKind:
    """What a worker reports for an exception that ended a job."""
    if isinstance(error, BadJob | UnknownParameter | ValidationError):
        return "bad_job"
    if isinstance(error, Diverged):
        return "diverged"
    if is_out_of_memory(error):
        return "oom"
    if isinstance(error, ValueError):
        return "bad_job"
    return "internal"


def failure(job: ShellTrain | Job, error: Exception) -> TrainFailed:
    """The reply to a job that an exception has ended; of an unforeseen one with its traceback."""
    kind = failure_kind(error)
    message = str(error) or type(error).__name__
    if kind == "internal":
        lines = traceback.format_exception(error, limit=-6)
        message = f"{type(error).__name__}: {message}\n{''.join(lines)}"
    message = message[:MESSAGE_CHARS]
    if isinstance(job, ShellTrain):
        return TrainFailed(
            kind=kind, message=message, trial_number=job.trial_number, fold_idx=job.fold_idx
        )
    trial = job.trial_number if isinstance(job, TrainTrial | FinalFit) else None
    return TrainFailed(kind=kind, message=message, id=job.id, trial_number=trial)


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, the machine's or the device's."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS)
