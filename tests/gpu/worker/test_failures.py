"""Which exceptions mean that memory ran out, and which that the job or the library was bad."""

from __future__ import annotations

import numpy as np
import pytest

from gpu.params import UnknownParameter
from gpu.protocol import ShellTrain, TrainTrial
from gpu.worker.failures import MESSAGE_CHARS, BadJob, failure, failure_kind
from gpu.worker.trainers.base import Diverged


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "HIP error: hipErrorOutOfMemory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.",
        "std::bad_alloc",
    ],
)
def test_a_failed_allocation_is_want_of_memory_whoever_words_it(text):
    assert failure_kind(RuntimeError(text)) == "oom"


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA error: an illegal memory access was encountered",
    ],
)
def test_another_fault_of_a_gpu_library_is_not_want_of_memory(text):
    assert failure_kind(RuntimeError(text)) == "internal"


def test_numpys_own_memory_error_is_one():
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 50)
    assert type(caught.value) is not MemoryError
    assert failure_kind(caught.value) == "oom"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadJob("no table"), "bad_job"),
        (UnknownParameter("no parameter"), "bad_job"),
        (ValueError("a row too few"), "bad_job"),
        (Diverged("nan"), "diverged"),
        (KeyError("what"), "internal"),
    ],
)
def test_the_other_kinds_are_told_by_type(error, kind):
    assert failure_kind(error) == kind


def test_an_unforeseen_failure_brings_its_traceback_and_the_name_of_its_job():
    def broken():
        raise KeyError("x" * 2 * MESSAGE_CHARS) from None

    job = ShellTrain(command="train", X_train_path="t.npz", trial_number=4, fold_idx=2)
    with pytest.raises(KeyError) as caught:
        broken()
    told = failure(job, caught.value)
    assert (told.kind, told.trial_number, told.fold_idx) == ("internal", 4, 2)
    assert len(told.message) == MESSAGE_CHARS
    trial = TrainTrial(
        id="t", family="lightgbm", trial_number=7, params={}, table="t", folds=(0,), seed=0,
        predictions_path="p",
    )  # fmt: skip
    told = failure(trial, RuntimeError("what"))
    assert (told.id, told.trial_number) == ("t", 7)
    assert told.message.startswith("RuntimeError: what\n")
