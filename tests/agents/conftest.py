"""A workspace whose steps are fakes, and the watcher in this process and in one of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from agents.cli import main

HERE = Path(__file__).resolve().parent
# Test modules are not packages; what they share lies beside them.
sys.path.insert(0, str(HERE))

from tests_browser import browser, chromium  # noqa: E402

__all__ = ["browser", "chromium"]

ROOT = HERE.parents[1]
PACKAGES = ("steps", "fake_steps")

MANIFEST = {
    "step": 5,
    "agent_name": "acting",
    "title": "Act as told",
    "module": "fake_steps.actor",
    "actions": {"predict": "fake_steps.predictor"},
    "outputs": ["out/winner.txt"],
    "default_params": {"trials": 20},
    "parameter_bounds": {
        "act": {"type": "string", "default": "complete"},
        "trials": {"type": "integer", "min": 1, "max": 200, "default": 10},
        "rate": {"type": "number", "min": 0, "max": 1, "default": 0.5},
        "table": {"type": "string", "nullable": True, "default": None},
    },
}
POLICY = {
    "steps": {"kill_grace_s": 0.3},
    "retries": {
        "max_per_step": 2,
        "max_per_run": 5,
        "backoff_s": 0,
        "budgets": {"bug": 5, "memory": 5, "timeout": 5, "health": 5},
    },
}


@dataclass(frozen=True)
class Answered:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Folder:
    """A workspace on disk, for tests to write and read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def manifest(self, name: str = "acting", **changes: Any) -> None:
        folder = self.root / "agent_manifests"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps({**MANIFEST, **changes}))

    def policy(self, **sections: Any) -> None:
        merged = {**POLICY, **sections}
        temporary = self.root / "policy.tmp"
        temporary.write_text(json.dumps(merged))
        temporary.replace(self.root / "watcher_policies.json")

    def limit_s(self, seconds: float) -> None:
        steps = {**POLICY["steps"], "timeout_minutes": {"5": seconds / 60}}
        self.policy(steps=steps)

    @property
    def attempts(self) -> list[Path]:
        return sorted((self.root / ".watcher" / "runs").glob("*/*-attempt*"))

    def pid(self, name: str = "pid", attempt: int = 0) -> int:
        """A pid that a fake step wrote down; waits for it."""
        _wait_until(lambda: len(self.attempts) > attempt)
        path = self.attempts[attempt] / name
        _wait_until(lambda: path.exists() and path.read_text())
        return int(path.read_text())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    root = tmp_path / "workspace"
    root.mkdir()
    made = Folder(root)
    made.manifest()
    made.policy()
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(HERE))))
    monkeypatch.setenv("COLUMNS", "100")
    return made


@pytest.fixture
def watcher(folder: Folder, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answered]:
    """Run the command in this process."""

    def run(*arguments: str) -> Answered:
        capfd.readouterr()
        code = main(list(arguments), packages=PACKAGES)
        captured = capfd.readouterr()
        return Answered(int(code), captured.out, captured.err)

    return run


@pytest.fixture
def act(watcher: Callable[..., Answered]) -> Callable[..., Answered]:
    """Run step 5 as told, answered in JSON."""

    def run(how: str, *arguments: str) -> Answered:
        return watcher("--run-pipeline", "--json", "--params", json.dumps({"act": how}), *arguments)

    return run


@pytest.fixture
def spawn(folder: Folder) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command as a process of its own; killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "fake_steps.watcher", *arguments],
            cwd=folder.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(name="wait_until")
def _wait_until_fixture() -> Callable[..., None]:
    """Wait for a condition; the test fails if it does not come true."""
    return _wait_until


@pytest.fixture(name="is_alive")
def _is_alive_fixture() -> Callable[[int], bool]:
    """Whether a process runs (a zombie does not)."""
    return _is_alive


def _wait_until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
