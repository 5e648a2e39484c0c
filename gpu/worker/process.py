"""What a worker process does before anything heavy is imported."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import BinaryIO

PARENT_PID = "WATCHER_PARENT_PID"
_PR_SET_PDEATHSIG = 1
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def claim_stdout() -> BinaryIO:
    """Take fd 1 for the protocol and point it at stderr: libraries print on fd 1."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb", buffering=0)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the parent that leased it is gone."""
    parent = os.environ.get(PARENT_PID)
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the request above.
    if os.getppid() != int(parent):
        sys.exit(1)


def set_threads(threads: int) -> None:
    """Tell the numerical libraries, which read this once at import."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)


def visible_device() -> str:
    """ "cuda" if a GPU was leased to this process by its environment, else "cpu"."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "cuda" if visible not in (None, "", "-1") else "cpu"
