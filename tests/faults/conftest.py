"""Fault tests use the same real command as the integration tests."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
# Test modules are not packages; what they share lies beside them.
sys.path.insert(0, str(HERE.parent / "integration"))
sys.path.insert(0, str(HERE))

from tests_faults import TREES  # noqa: E402
from tests_integration import ROOT, Workspace, make_columns, shared_folder  # noqa: E402
from tests_step5 import Step5  # noqa: E402


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    shutil.copy(ROOT / "watcher_policies.json", tmp_path)
    workspace.write_csv("houses.csv", make_columns())
    return workspace


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """A workspace with what TREES comes to when nobody interferes; do not change it."""
    folder = shared_folder(tmp_path_factory)
    root, done = folder / "undisturbed", folder / "undisturbed.done"
    with FileLock(folder / "undisturbed.lock"):
        if not done.exists():
            root.mkdir()
            assert Step5(root).run_here(**TREES).status == "complete"
            done.touch()
    return Workspace(root)
