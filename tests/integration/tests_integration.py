"""The real command in a workspace of its own, as a person would type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Small enough to take seconds; every family still learns something.
QUICK = {
    "compare_models": True,
    "trials": 3,
    "k_folds": 3,
    "epochs": 10,
    "n_estimators": 40,
    "seed": 5,
}


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for this session, the same in all workers of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def result(self) -> Any:
        """The StepResult inside the document."""
        return self.document["steps"][-1]["result"]


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root = root

    def policy(self, training: dict[str, Any] | None = None, **sections: Any) -> None:
        """Write one of its own; workers serve many trials, as under the shipped one."""
        training = {"use_persistent_workers": True, **(training or {})}
        document = {"training": training, **sections}
        (self.root / "watcher_policies.json").write_text(json.dumps(document), encoding="utf-8")

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "100"}
        # Leases are machine-wide: a run of somebody else's must not hold the tests up.
        locks = self.root / ".tmp"
        locks.mkdir(exist_ok=True)
        environ["TMPDIR"] = str(locks)
        return subprocess.Popen(
            [sys.executable, "-m", "agents", *arguments],
            cwd=self.root,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def watcher(self, *arguments: str) -> Answer:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=300)
        return Answer(process.returncode, out, err)

    def step5_arguments(self, table: str | None, **params: Any) -> list[str]:
        given = {**QUICK, **params}
        if table is not None:
            given["survivors"] = table
        pipeline = ["--run-pipeline", "--start-step", "5", "--end-step", "5", "--json"]
        return [*pipeline, "--params", json.dumps(given)]

    def step5(self, table: str | None, **params: Any) -> Answer:
        return self.watcher(*self.step5_arguments(table, **params))

    def write_csv(self, name: str, columns: dict[str, Any]) -> Path:
        path = self.root / name
        lines = [",".join(columns)]
        lines += [",".join(str(v) for v in row) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def sidecar(self, family: str = "") -> Any:
        path = self.root / "models" / "reinforcement" / family / "best_model.meta.json"
        return json.loads(path.read_text(encoding="utf-8"))

    def leftovers(self) -> list[str]:
        """Temporary files and scratch folders that a run should have taken away."""
        return [
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if (path.suffix == ".tmp" and path.is_file()) or path.name == "scratch"
        ]


def make_columns(n: int = 500, seed: int = 3) -> dict[str, Any]:
    """A small table with numbers, gaps, a category, a yes/no, and an honest signal."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    rooms = rng.integers(1, 9, n)
    town = rng.integers(0, 4, n)
    garden = rng.random(n) < 0.5
    price = 2 * size + 0.4 * rooms + np.array([0, 2, -1, 3])[town] + garden
    price = price + 0.6 * rng.normal(size=n)
    return {
        "size": [f"{v:.4f}" for v in size],
        "rooms": rooms,
        "age": ["" if rng.random() < 0.1 else f"{v:.2f}" for v in rng.normal(size=n)],
        "town": [f"town {'ABCD'[t]}" for t in town],
        "garden": ["yes" if g else "no" for g in garden],
        "price": [f"{v:.4f}" for v in price],
    }
