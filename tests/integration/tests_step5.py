"""Step 5 without the watcher: as a process, a request file in and a result file out, or called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from tests_integration import ROOT, Workspace, make_columns

from steps.artifacts import SIDECAR, Sidecar, read_sidecar
from steps.contract import Progress, StepRequest, StepResult
from steps.step5_training.run import run as run_step5

LIGHTGBM = {"compare_models": False, "model_type": "lightgbm", "k_folds": 3, "seed": 5}


class Step5:
    """A workspace with a table and a policy, in which Step 5 runs again and again."""

    def __init__(self, root: Path, columns: dict[str, Any] | None = None) -> None:
        self.root = root
        self.policy_path = root / "watcher_policies.json"
        self.policy()
        self.table = Workspace(root).write_csv("houses.csv", columns or make_columns())

    def policy(
        self,
        approvals: dict[str, Any] | None = None,
        publish: dict[str, Any] | None = None,
        **training: Any,
    ) -> None:
        """Replace the policy file by rename, as an editor does."""
        document = {"training": {"use_persistent_workers": True, **training}}
        document |= {"approvals": approvals} if approvals else {}
        document |= {"publish": publish} if publish else {}
        new = self.policy_path.with_suffix(".new")
        new.write_text(json.dumps(document), encoding="utf-8")
        new.replace(self.policy_path)

    def request(self, run: str = "run", attempt: int = 1, **params: Any) -> StepRequest:
        out_dir = self.out_dir(run, attempt)
        out_dir.mkdir(parents=True)
        table = str(self.table)
        return StepRequest(
            run_id=run,
            step=5,
            attempt=attempt,
            params={**LIGHTGBM, "survivors": table, "target": "price", **params},
            inputs={"survivors": table},
            workspace=str(self.root),
            policy_path=str(self.policy_path),
            out_dir=str(out_dir),
        )

    def start(self, run: str = "run", attempt: int = 1, **params: Any) -> subprocess.Popen[str]:
        request = self.request(run, attempt, **params)
        path = Path(request.out_dir) / "request.json"
        path.write_text(request.model_dump_json(), encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, "-m", "steps.step5_training", "--request", str(path)],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self._locks())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: subprocess.Popen[str], run: str = "run", attempt: int = 1) -> StepResult:
        """Wait for the step, and read what it says of itself."""
        log, _ = process.communicate(timeout=120)
        path = self.out_dir(run, attempt) / "result.json"
        assert path.exists(), log
        return StepResult.model_validate_json(path.read_bytes())

    def run(self, run: str = "run", attempt: int = 1, **params: Any) -> StepResult:
        with self.start(run, attempt, **params) as process:
            return self.end(process, run, attempt)

    def run_here(self, run: str = "run", attempt: int = 1, **params: Any) -> StepResult:
        """Call the step: its workers are processes, but its own libraries are loaded only once."""
        request = self.request(run, attempt, **params)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            patch.setenv("TMPDIR", str(self._locks()))
            patch.setattr("tempfile.tempdir", None)
            return run_step5(request)

    def _locks(self) -> Path:
        # Leases are machine-wide: a run of somebody else's must not hold the tests up.
        locks = self.root / ".tmp"
        locks.mkdir(exist_ok=True)
        return locks

    def sidecar(self) -> Sidecar:
        """Of the model that is in force."""
        return read_sidecar(self.root / "models" / "reinforcement" / SIDECAR)

    def out_dir(self, run: str, attempt: int) -> Path:
        return self.root / ".watcher" / "runs" / run / f"step5-attempt{attempt}"

    def progress(self, run: str = "run", attempt: int = 1) -> Progress | None:
        path = self.out_dir(run, attempt) / "progress.json"
        return Progress.model_validate_json(path.read_bytes()) if path.exists() else None

    def wait_for_trials(self, process: subprocess.Popen[str], count: int) -> None:
        """Until so many trials are finished."""
        wait_until(lambda: finished(self.progress()) >= count, process)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All that the only study holds."""
        storage = f"sqlite:///{self.root}/optuna_studies/step5.db"
        (name,) = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=name, storage=storage).trials


def finished(progress: Progress | None) -> int:
    families = progress.families.values() if progress else ()
    return sum(family.finished for family in families)


def running(progress: Progress | None) -> int:
    families = progress.families.values() if progress else ()
    return sum(len(family.running) for family in families)


def wait_until(condition: Any, process: subprocess.Popen[str], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
