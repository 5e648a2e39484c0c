"""What holds for all tests: their order, a process as it was, and where real tables are."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import sys
from pathlib import Path

import pytest

from gpu.worker.trainers import base
from steps import entry

HERE = Path(__file__).parent
# Files that take long, those first that wait for much. Each is followed by some of the others, so
# that the processors are busy while it waits, and none of them is left for the end.
LONG = (
    "integration/test_forensics.py",
    "faults/test_step5_faults.py",
    "integration/test_live_policy.py",
    "integration/test_comparison.py",
    "integration/test_real_tables.py",
    "integration/test_one_family.py",
    "integration/test_diagnostics.py",
    "faults/test_watcher_resume.py",
    "agents/reports/test_report_in_browser.py",
    "agents/serve/test_in_a_browser.py",
    "steps/tables/test_memory.py",
)
OTHERS_BETWEEN = 8

# Trainers hide pandas from their own worker process; this process has other tests to run.
base.hide_modules = lambda names: None

# Where bytecode is not to be kept, each of the many processes that tests start would compile the
# product anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that starts the tests in the background may have switched signals off for them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the order is the same in each worker of pytest-xdist, as it must be."""
    gone = [name for name in LONG if not (HERE / name).is_file()]
    assert not gone, f"tests/conftest.py: LONG must name test files, got {gone}"
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    long = [HERE / name for name in LONG if HERE / name in files]
    others = iter([path for path in files if path not in long])
    order = [path for first in long for path in (first, *itertools.islice(others, OTHERS_BETWEEN))]
    items[:] = [item for path in (*order, *others) for item in files[path]]


@pytest.fixture(autouse=True)
def _usual_arithmetic() -> None:
    """A training library that an earlier test has loaded may switch subnormal numbers off."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL("libm.so.6").fesetenv(ctypes.c_void_p(-1))  # FE_DFL_ENV


@pytest.fixture(autouse=True)
def _nobody_has_asked_to_stop() -> None:
    """A signal that an earlier test sent to this process is remembered for good."""
    entry._stop.clear()


@pytest.fixture(scope="session", autouse=True)
def _made_up_gpus_are_leased_here_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A GPU is leased on the whole machine: other sessions' made-up ones have the same names."""
    os.environ["WATCHER_LEASE_DIR"] = str(tmp_path_factory.mktemp("leases"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder named by WATCHER_TEST_DATA, else shared/data beside the checkout."""
    named = os.environ.get("WATCHER_TEST_DATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(named) if named else beside
    if not folder.is_dir():
        pytest.skip("no folder of real tables: set WATCHER_TEST_DATA to one")
    return folder
