"""Fixtures of the integration tests."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

# Test modules are not packages; what they share lies beside them.
sys.path.insert(0, str(Path(__file__).parent))

from tests_integration import Workspace, make_columns


@pytest.fixture
def workspace(tmp_path):
    before = set(psutil.Process().children(recursive=True))
    yield Workspace(tmp_path)
    left = set(psutil.Process().children(recursive=True)) - before
    assert [process.cmdline() for process in left] == []


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """One comparison of all four families, for tests that only look; do not change it."""
    workspace = Workspace(tmp_path_factory.mktemp("trained"))
    workspace.write_csv("houses.csv", make_columns())
    return workspace, workspace.step5("houses.csv", target="price")
