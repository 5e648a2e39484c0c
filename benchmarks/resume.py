"""Kill the watcher again and again in real searches, resume each time; is the end the same?

    python -m benchmarks.resume --kills 100

Each search is one run of Step 5 on one family. The watcher is killed after a random time and the
run resumed, until it is complete; then its winner, its scores and the number of its trials are
compared with those of a run that nobody disturbed. Searches follow each other until the kills are
used up. Exit status 1 if an end differs, a trial is lost or counted twice, or a process is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil

from benchmarks.machine import machine_line
from benchmarks.tables import ROOT

SEARCH = {
    "survivors": "table.csv",
    "target": "y",
    "compare_models": False,
    "model_type": "lightgbm",
    "trials": 16,
    "k_folds": 3,
    "n_estimators": 60,
    "seed": 1,
}
RUN = ("--run-pipeline", "--start-step", "5", "--end-step", "5", "--params", json.dumps(SEARCH))
RESUME = ("--run-pipeline", "--resume")
# Early enough to hit the reading of the table, late enough to hit the publishing.
KILL_AFTER_S = (0.2, 7.0)
GONE_WITHIN_S = 10.0


@dataclass(slots=True)
class Tally:
    """What came of it. apart: sentences about ends that are not as they should be."""

    kills: int = 0
    searches: int = 0
    slowest_end_s: float = 0.0
    apart: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the searches; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    print(machine_line())
    chance = random.Random(options.seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="bench-resume-") as folder:
        wanted = _end(_search(Path(folder) / "undisturbed", Tally(), chance, kills=0))
        while tally.kills < options.kills:
            workspace = Path(folder) / f"search{tally.searches}"
            tally.searches += 1
            end = _end(_search(workspace, tally, chance, options.kills - tally.kills))
            tally.apart += [
                f"search {tally.searches}: {what} is {end[what]}, undisturbed {wanted[what]}"
                for what in wanted
                if end[what] != wanted[what]
            ]
            print(f"{tally.kills} kills, {tally.searches} searches", file=sys.stderr, flush=True)
    print(
        f"{tally.kills} watchers killed in {tally.searches} searches of {SEARCH['trials']} trials; "
        f"ends that differ: {len(tally.apart)}; the last process of a killed watcher was gone "
        f"after {tally.slowest_end_s:.2f} s at most"
    )
    print("\n".join(tally.apart))
    return 1 if tally.apart else 0


def _search(workspace: Path, tally: Tally, chance: random.Random, kills: int) -> Path:
    """One search, killed up to `kills` times and resumed; returns its workspace, complete."""
    workspace.mkdir()
    _write_table(workspace / "table.csv")
    arguments: tuple[str, ...] = RUN
    while True:
        process = _start(workspace, arguments)
        if kills > 0 and _killed(process, chance.uniform(*KILL_AFTER_S), tally):
            kills -= 1
            state = _state(workspace)
            if state == "complete":  # killed while it printed its answer
                return workspace
            # Killed before it wrote anything down: then there is nothing to go on with.
            arguments = RUN if state is None else RESUME
            continue
        _, err = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"{workspace}: ended with {process.returncode}: {err}")
        return workspace


def _killed(process: subprocess.Popen[str], after_s: float, tally: Tally) -> bool:
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        killed_at = time.monotonic()
        process.communicate()
        _, alive = psutil.wait_procs(children, timeout=GONE_WITHIN_S)
        tally.slowest_end_s = max(tally.slowest_end_s, time.monotonic() - killed_at)
        tally.apart += [f"still alive {GONE_WITHIN_S:g} s after the kill: {p}" for p in alive]
        tally.kills += 1
        return True
    return False


def _start(workspace: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(workspace)}
    return subprocess.Popen(
        [sys.executable, "-m", "agents", *arguments],
        cwd=workspace,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _state(workspace: Path) -> str | None:
    """The state of the last run; None if there is none."""
    argv = [sys.executable, "-m", "agents", "--status", "--json"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, cwd=workspace, env=environ, capture_output=True, text=True, check=True
    )
    run = json.loads(done.stdout)["run"]
    return None if run is None else str(run["state"])


def _end(workspace: Path) -> dict[str, Any]:
    """What must be equal."""
    path = workspace / "models" / "reinforcement" / "best_model.meta.json"
    sidecar = json.loads(path.read_text(encoding="utf-8"))
    storage = f"sqlite:///{workspace}/optuna_studies/step5.db"
    names = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=names[-1], storage=storage).trials
    states = [trial.state.name for trial in trials]
    return {
        "studies": len(names),
        "params": sidecar["params"],
        "metrics": sidecar["metrics"],
        "trials in a final state that counts": sum(s in {"COMPLETE", "PRUNED"} for s in states),
        "trials left open": sum(s in {"RUNNING", "WAITING"} for s in states),
    }


def _write_table(path: Path) -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(800, 6))
    y = X @ np.arange(6) + rng.normal(size=800)
    rows = [",".join([*(f"x{i}" for i in range(6)), "y"])]
    rows += [",".join(f"{value:.5f}" for value in (*x, t)) for x, t in zip(X, y, strict=True)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
