"""Where the tables for tests with real data are: a folder beside the checkout, or as told."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import pytest

from gpu.worker.trainers import base
from steps import entry

# Trainers hide pandas from their own worker process; this process has other tests to run.
base.hide_modules = lambda names: None


# A shell that starts the tests in the background may have switched signals off for them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _usual_arithmetic() -> None:
    """A training library that an earlier test has loaded may switch subnormal numbers off."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL("libm.so.6").fesetenv(ctypes.c_void_p(-1))  # FE_DFL_ENV


@pytest.fixture(autouse=True)
def _nobody_has_asked_to_stop() -> None:
    """A signal that an earlier test sent to this process is remembered for good."""
    entry._stop.clear()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder named by WATCHER_TEST_DATA, else shared/data beside the checkout."""
    named = os.environ.get("WATCHER_TEST_DATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(named) if named else beside
    if not folder.is_dir():
        pytest.skip("no folder of real tables: set WATCHER_TEST_DATA to one")
    return folder
