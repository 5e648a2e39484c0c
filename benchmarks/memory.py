"""Measure the memory of real workers and set the estimates of gpu.host.vram beside it.

python -m benchmarks.memory            each family over a grid of tables and parameters
python -m benchmarks.memory --workers  four persistent workers and one table of 100,000 x 62
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil

from benchmarks.machine import machine_line
from gpu.host.vram import DataSize, batch_mib, tree_mib
from gpu.params import FAMILIES, Family, NeuralNetParams, complete_params
from gpu.protocol import TrainBatch, TrainTrial, encode

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
FOLDS = 5
SEED = 11

GRID: tuple[tuple[Family, dict[str, Any], int], ...] = (
    ("lightgbm", {"max_bin": 63}, 1),
    ("lightgbm", {"max_bin": 255, "num_leaves": 127}, 1),
    ("xgboost", {"max_bin": 64}, 1),
    ("xgboost", {"max_bin": 256, "max_depth": 8}, 1),
    ("catboost", {"border_count": 64}, 1),
    ("catboost", {"border_count": 254, "depth": 8}, 1),
    ("neural_net", {"hidden_layers": (64,), "batch_size": 256}, 4),
    ("neural_net", {"hidden_layers": (256, 128, 64), "batch_size": 512, "dropout": 0.1}, 10),
)
SIZES = ((4_000, 20), (20_000, 62), (60_000, 62))


@dataclass(frozen=True, slots=True)
class BenchFolder:
    """A table laid out for workers, of numeric columns without gaps."""

    folder: Path
    size: DataSize


@dataclass(frozen=True, slots=True)
class Peak:
    """Resident memory of a worker process in MiB, mapped pages included."""

    idle_mib: float
    peak_mib: float

    @property
    def above_mib(self) -> float:
        """What its job took."""
        return self.peak_mib - self.idle_mib


class Worker:
    """A persistent worker on the CPU with one thread. Use it as a context manager."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gpu.worker", "--family", family, "--threads", "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._commands: IO[bytes] = self.process.stdin
        self._replies: IO[bytes] = self.process.stdout
        self.reply("ready")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands.close()
        self._replies.close()
        self.process.wait()

    def send(self, command: TrainBatch | TrainTrial) -> None:
        """Give it a command."""
        self._commands.write(encode(command))
        self._commands.flush()

    def reply(self, *wanted: str) -> dict[str, Any]:
        """The next reply of a wanted status; raises RuntimeError for a failure or an early end."""
        while line := self._replies.readline():
            answer: dict[str, Any] = json.loads(line)
            if answer["status"] in wanted:
                return answer
            if answer["status"] == "error":
                break
        raise RuntimeError(f"{self.family}: {line.decode() or 'the worker ended without a reply'}")

    def memory(self) -> dict[str, float]:
        """VmRSS and VmHWM (the highest VmRSS so far) in MiB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return {name: int(kib) / 1024 for name, kib in re.findall(r"(Vm\w+):\s+(\d+) kB", text)}


def write_table(folder: Path, n_rows: int, n_features: int, n_folds: int = FOLDS) -> BenchFolder:
    """Rows with a signal in two columns; a fifth is held out, the others make the folds."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    y = X[:, 0] + X[:, 1] ** 2 + rng.normal(size=n_rows)
    search = np.arange(n_rows // 5, n_rows, dtype=np.int32)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y.astype(np.float64))
    np.save(folder / "holdout_rows.npy", np.arange(n_rows // 5, dtype=np.int32))
    np.save(folder / "search_rows.npy", search)
    for k in range(n_folds):
        np.save(folder / f"train_{k}.npy", search[search % n_folds != k])
        np.save(folder / f"val_{k}.npy", search[search % n_folds == k])
    columns = {"kinds": ["numeric"] * n_features, "levels": [0] * n_features}
    (folder / "columns.json").write_text(json.dumps(columns), encoding="utf-8")
    val_rows = len(search) // n_folds
    size = DataSize(n_rows, len(search) - val_rows, val_rows, n_features, n_features, n_folds)
    return BenchFolder(folder, size)


def work(table: BenchFolder, family: Family, record: dict[str, Any], trials: int) -> TrainBatch:
    """`trials` trials of one record on all folds, as one command."""
    params = complete_params(family, record).model_dump(mode="json")
    jobs = tuple(
        TrainTrial(
            id=f"{family}-{i}",
            family=family,
            trial_number=i,
            params=params,
            table=str(table.folder),
            folds=tuple(range(table.size.n_folds)),
            seed=SEED,
            predictions_path=str(table.folder / f"{family}-{i}.npy"),
        )
        for i in range(trials)
    )
    return TrainBatch(jobs=jobs)


def short(family: Family, record: dict[str, Any]) -> dict[str, Any]:
    """The record with few rounds: memory does not grow with them."""
    return {**record, **({"epochs": 2} if family == "neural_net" else {"n_estimators": 4})}


def measure(table: BenchFolder, family: Family, record: dict[str, Any], trials: int) -> Peak:
    """Run the trials in a worker of their own."""
    with Worker(family) as worker:
        idle_mib = worker.memory()["VmRSS"]
        command = work(table, family, short(family, record), trials)
        worker.send(command)
        for _ in command.jobs:
            worker.reply("trial_complete")
        return Peak(idle_mib, worker.memory()["VmHWM"])


def estimate_mib(size: DataSize, family: Family, record: dict[str, Any], trials: int) -> float:
    """What gpu.host.vram expects the trials to take above an idle worker, mapped table included."""
    params = complete_params(family, record)
    if isinstance(params, NeuralNetParams):
        return batch_mib([params] * trials, size) + size.table_mib
    return tree_mib(params, size) + size.table_mib


def show_grid(folder: Path) -> None:
    """Estimates beside peaks, as a Markdown table."""
    print("| table | family | parameters | networks | idle | peak above idle | estimate | off |")
    print("|---|---|---|---|---|---|---|---|")
    for n_rows, n_features in SIZES:
        table = write_table(folder / f"{n_rows}x{n_features}", n_rows, n_features)
        for family, record, trials in GRID:
            found = measure(table, family, record, trials)
            expected = estimate_mib(table.size, family, record, trials)
            words = ", ".join(f"{name} {value}" for name, value in record.items())
            networks = str(trials * table.size.n_folds) if family == "neural_net" else ""
            print(
                f"| {n_rows} x {n_features} | {family} | {words} | {networks} | "
                f"{found.idle_mib:.0f} | {found.above_mib:.0f} | {expected:.0f} | "
                f"{100 * (expected / found.above_mib - 1):+.0f} % |",
                flush=True,
            )


def show_workers(folder: Path, families: Sequence[Family] = FAMILIES) -> None:
    """Four persistent workers at work at once on one table: the highest sum of their memory."""
    table = write_table(folder / "large", 100_000, 62)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(family)) for family in families]
        for worker in workers:
            trials = 4 if worker.family == "neural_net" else 1
            worker.send(work(table, worker.family, short(worker.family, {}), trials))
        highest = dict.fromkeys(families, 0.0)
        together = 0.0
        for sums in _samples(workers):
            together = max(together, sum(sums.values()))
            highest = {family: max(highest[family], sums[family]) for family in families}
    for family in families:
        print(f"{family}: {highest[family]:.0f} MiB")
    print(f"all at once, shared pages counted once: {together:.0f} MiB")


def _samples(workers: Sequence[Worker]) -> Iterator[dict[Family, float]]:
    """PSS of each worker in MiB, until all have nothing to do."""
    pids = {worker.family: psutil.Process(worker.process.pid) for worker in workers}
    while True:
        before = sum(sum(process.cpu_times()[:2]) for process in pids.values())
        yield {name: process.memory_full_info().pss / MIB for name, process in pids.items()}
        with contextlib.suppress(subprocess.TimeoutExpired):
            workers[0].process.wait(0.25)
        if sum(sum(process.cpu_times()[:2]) for process in pids.values()) == before:
            return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", action="store_true", help="four workers and a large table")
    args = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        if args.workers:
            show_workers(Path(folder))
        else:
            show_grid(Path(folder))


if __name__ == "__main__":
    main()
