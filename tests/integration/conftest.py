"""Fixtures of the integration tests."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

# Test modules are not packages; what they share lies beside them.
sys.path.insert(0, str(Path(__file__).parent))

from tests_integration import Answer, Workspace, make_columns, shared_folder
from tests_step5 import Step5


@pytest.fixture
def workspace(tmp_path):
    before = set(psutil.Process().children(recursive=True))
    yield Workspace(tmp_path)
    left = set(psutil.Process().children(recursive=True)) - before
    assert [process.cmdline() for process in left] == []


@pytest.fixture
def step5(tmp_path):
    before = set(psutil.Process().children(recursive=True))
    yield Step5(tmp_path)
    left = set(psutil.Process().children(recursive=True)) - before
    assert [process.cmdline() for process in left] == []


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """One comparison of all four families, for tests that only look; do not change it."""
    folder = shared_folder(tmp_path_factory)
    workspace = Workspace(folder / "trained")
    saved = folder / "trained.json"
    with FileLock(folder / "trained.lock"):
        if not saved.exists():
            workspace.root.mkdir()
            workspace.write_csv("houses.csv", make_columns())
            answer = workspace.step5("houses.csv", target="price")
            saved.write_text(json.dumps(dataclasses.asdict(answer)), encoding="utf-8")
    return workspace, Answer(**json.loads(saved.read_text(encoding="utf-8")))
