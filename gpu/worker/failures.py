"""Say what kind of failure an exception is."""

from __future__ import annotations

from pydantic import ValidationError

from gpu.params import UnknownParameter
from gpu.protocol import FailureKind
from gpu.worker.trainers.base import Diverged

# torch, xgboost and the C++ library raise RuntimeError-like types whose text tells.
_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "bad_malloc",
    "failed to allocate",
    "failed to map segment",
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


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, the machine's or the device's."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS)
