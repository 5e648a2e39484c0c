"""Train the networks of one search several ways side by side and print what each costs.

`python -m benchmarks.network`: every way has the same trials, rows, folds, epochs and batches;
early stopping is off. The ways: a fresh process a fold (measured on eight folds and scaled up), one
process with torch.nn and torch.optim, torch.func.vmap over the folds of a trial, and the product's
worker, once with all threads and once as a worker a core. Start-up counts for the first way only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import markdown
from benchmarks.machine import machine_line
from benchmarks.tables import ROOT

ARCHITECTURES = ((64,), (128, 64), (128, 64, 32), (256, 128), (256, 128, 64))
SAMPLED_FOLDS = 8
WAYS = {
    "process": "a process a fold",
    "serial": "one process, torch.nn and torch.optim",
    "vmap": "torch.func.vmap over the folds",
    "fused": "watcher, one worker, all threads",
    "fused_cores": "watcher, a worker of one thread a core",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one way. r2: of each fold of each trial that was trained."""

    way: str
    repeat: int
    wall_s: float
    r2: dict[str, list[float]]


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    options = _parse(argv)
    print(machine_line(), flush=True)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="bench-network-") as scratch:
        folder = Path(scratch)
        task = _write_task(options, folder)
        for repeat in range(options.repeats):
            for way in options.ways:
                load = os.getloadavg()[0]
                wall_s, r2 = _run(way, task, folder)
                runs.append(Run(way, repeat, wall_s, r2))
                print(
                    f"repeat {repeat} {way}: {wall_s:.1f} s (load before: {load:.1f})", flush=True
                )
    print(f"\n{_table(runs)}\n\n{_quality(runs, task)}")
    return 0


def _run(way: str, task: dict[str, Any], folder: Path) -> tuple[float, dict[str, list[float]]]:
    if way == "process":
        return _processes(task, folder)
    if way in ("serial", "vmap"):
        _write_json(folder / "task.json", task)
        done = _plain(way, folder)
        return done["wall_s"], done["r2"]
    threads = task["threads"]
    return _workers(task, folder, *((1, threads) if way == "fused" else (threads, 1)))


def _processes(task: dict[str, Any], folder: Path) -> tuple[float, dict[str, list[float]]]:
    """A sample of folds over all architectures, each in a fresh interpreter; scaled up."""
    fits = len(task["trials"]) * task["folds"]
    chosen = np.linspace(0, fits - 1, min(SAMPLED_FOLDS, fits)).round().astype(int)
    started = time.perf_counter()
    for fit in chosen:
        trial, fold = divmod(int(fit), task["folds"])
        _write_json(folder / "task.json", {**task, "only": [fold, trial]})
        _plain("one_fold", folder)
    return (time.perf_counter() - started) * fits / len(chosen), {}


def _plain(way: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.network_ways", way, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{way} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _workers(
    task: dict[str, Any], folder: Path, workers: int, threads: int
) -> tuple[float, dict[str, list[float]]]:
    """The batches of one architecture each, handed to `workers` workers as they become free."""
    batches: dict[str, list[dict[str, Any]]] = {}
    for i, params in enumerate(task["trials"]):
        job = {
            "command": "train_trial",
            "id": str(i),
            "family": "neural_net",
            "trial_number": i,
            "params": params,
            "table": str(folder),
            "folds": list(range(task["folds"])),
            "seed": task["seed"],
            "predictions_path": str(folder / "predictions" / f"{i}.npy"),
        }
        batches.setdefault(str(params["hidden_layers"]), []).append(job)
    # Longest first: the last batch to end should be a short one.
    waiting = sorted(batches.values(), key=lambda jobs: sum(jobs[0]["params"]["hidden_layers"]))
    lock = threading.Lock()
    scores: dict[str, list[float]] = {}
    children = [_start_worker(threads) for _ in range(workers)]

    def drive(child: subprocess.Popen[str]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        while True:
            with lock:
                if not waiting:
                    return
                jobs = waiting.pop()
            child.stdin.write(json.dumps({"command": "train_batch", "jobs": jobs}) + "\n")
            child.stdin.flush()
            left = len(jobs)
            while left:
                reply = json.loads(child.stdout.readline())
                if reply["status"] == "error":
                    raise SystemExit(f"the worker failed: {reply}")
                if reply["status"] == "trial_complete":
                    left -= 1
                    scores[reply["id"]] = [score["r2"] for score in reply["scores"]]

    started = time.perf_counter()
    drivers = [threading.Thread(target=drive, args=(child,)) for child in children]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    wall_s = time.perf_counter() - started
    for child in children:
        child.communicate()
    return wall_s, scores


def _start_worker(threads: int) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "gpu.worker", "--family", "neural_net", "--threads", str(threads)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    child.stdout.readline()  # ready
    return child


def _write_task(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Rows as .npz for the plain ways and as a table folder for the worker; trials from a seed."""
    rng = np.random.default_rng(options.seed)
    X = rng.normal(size=(options.rows, options.features)).astype(np.float32)
    u = 1 / (1 + np.exp(-X[:, :5].astype(np.float64)))
    y = 10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2 + 10 * u[:, 3]
    y += 5 * u[:, 4] + rng.normal(size=len(y))
    fold = rng.permutation(np.arange(options.rows) % options.folds)
    np.savez(folder / "rows.npz", X=X, y=y, fold=fold)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    for k in range(options.folds):
        np.save(folder / f"train_{k}.npy", np.flatnonzero(fold != k).astype(np.int32))
        np.save(folder / f"val_{k}.npy", np.flatnonzero(fold == k).astype(np.int32))
    kinds = ["numeric"] * options.features
    _write_json(folder / "columns.json", {"kinds": kinds, "levels": [0] * options.features})
    trials = [
        {
            "hidden_layers": ARCHITECTURES[i * len(ARCHITECTURES) // options.trials],
            "learning_rate": float(10 ** rng.uniform(-3, -2)),
            "weight_decay": float(10 ** rng.uniform(-6, -2)),
            "dropout": float(rng.uniform(0, 0.3)) if options.dropout is None else options.dropout,
            "batch_size": options.batch,
            "epochs": options.epochs,
            "patience": options.epochs + 1,
            "clip_norm": 0.0,
            "optimizer": options.optimizer,
            "batch_mode": "mini",
            "use_leaky_relu": True,
            "normalize_features": True,
            "precision": "float32",
        }
        for i in range(options.trials)
    ]
    return {
        "seed": options.seed,
        "folds": options.folds,
        "threads": options.threads,
        "trials": trials,
    }


def _table(runs: list[Run]) -> str:
    rows = []
    for way, title in WAYS.items():
        own = [run for run in runs if run.way == way]
        if not own:
            continue
        row = [title, f"{statistics.median(run.wall_s for run in own):.1f}"]
        for other in ("process", "serial"):
            base = {run.repeat: run.wall_s for run in runs if run.way == other}
            ratios = [base[run.repeat] / run.wall_s for run in own if run.repeat in base]
            text = "-"
            if ratios:
                text = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
            row.append(text)
        rows.append(row)
    heads = ["way", "seconds", "times faster than a process a fold", "than one process"]
    return markdown(heads, rows)


def _quality(runs: list[Run], task: dict[str, Any]) -> str:
    """Mean R2 of each way, and how far single folds are from the serial ones."""
    first: dict[str, Run] = {}
    for run in runs:
        if run.r2:
            first.setdefault(run.way, run)
    rows = []
    for way, run in first.items():
        values = [r2 for i in range(len(task["trials"])) for r2 in run.r2[str(i)]]
        row = [WAYS[way], f"{statistics.fmean(values):.4f}", "-"]
        if "serial" in first:
            serial = [r2 for i in range(len(task["trials"])) for r2 in first["serial"].r2[str(i)]]
            gaps = [abs(a - b) for a, b in zip(values, serial, strict=True)]
            row[2] = f"{max(gaps):.1e} (median {statistics.median(gaps):.1e})"
        rows.append(row)
    return markdown(["way", "mean R2", "largest difference to serial"], rows)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.network", description=__doc__)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--features", type=int, default=62)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--optimizer", choices=["adam", "adamw"], default="adam")
    parser.add_argument("--dropout", type=float, help="of all trials; left out: drawn, 0 to 0.3")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    options = parser.parse_args(argv)
    if min(options.rows, options.trials, options.epochs, options.repeats) < 1 or options.folds < 2:
        parser.error(
            "--rows, --trials, --epochs and --repeats must be 1 or more, --folds 2 or more"
        )
    return options


if __name__ == "__main__":
    sys.exit(main())
