"""Put load on a pool: many tiny jobs, or many killed workers; say what was lost, and what grew.

    python -m benchmarks.load jobs --count 10000
    python -m benchmarks.load jobs --count 2000 --workers lightgbm
    python -m benchmarks.load kills --count 1000

The fake workers are the plain Python process of the fault tests: they load no library, so that
what is measured is the pool. With --workers lightgbm, each job is a real trial of two rounds on
200 rows.
Exit status 1 if a job was lost or ended twice, if anything was left behind, or if more was taken at
the end than at the first look: over 8 MiB by the parent or by a worker, or over two open files.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from gpu.host.child import WORKER_COMMAND
from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
from gpu.host.pool import Event, JobEnded, Pool
from gpu.params import Family, complete_params
from gpu.protocol import TrainBatch, TrainFailed, TrainTrial

FAKE_WORKER = Path(__file__).resolve().parents[1] / "tests" / "faults" / "faulty_worker.py"
FAKE_COMMAND = (sys.executable, "-I", "-S", str(FAKE_WORKER))
MIB = 1 << 20
FIRST_LOOK = 1000
BATCH = 3
MEAN_KILL_EVERY_S = 0.15
# What may grow between two looks: MiB of the parent, and of a worker; open files of the parent.
MOST_MIB = 8.0
MOST_FILES = 2


@dataclass(frozen=True, slots=True)
class Level:
    """What the parent, and its workers together, hold at a moment. Memory: resident, MiB."""

    jobs: int
    parent_mib: float
    open_files: int
    workers: int
    workers_mib: float

    @property
    def worker_mib(self) -> float:
        """Of one worker."""
        return self.workers_mib / max(1, self.workers)


@dataclass(slots=True)
class Tally:
    """Every job that was started, and how each came to its end."""

    started: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)
    twice: int = 0

    def take(self, events: list[Event]) -> None:
        """Count the ends among the events."""
        for event in events:
            if isinstance(event, JobEnded):
                self.twice += event.job.id in self.kinds
                end = event.outcome
                self.kinds[event.job.id] = end.kind if isinstance(end, TrainFailed) else "answered"

    @property
    def lost(self) -> int:
        """Jobs without an end."""
        return len(self.started - self.kinds.keys())

    def rows(self) -> Iterator[tuple[str, object]]:
        """The counts, for the table."""
        yield "jobs started", len(self.started)
        for kind, count in sorted(Counter(self.kinds.values()).items()):
            yield f"jobs {kind}", count
        yield "jobs lost", self.lost
        yield "jobs that ended twice", self.twice


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one kind of load and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    jobs = kinds.add_parser("jobs", help="tiny jobs through persistent workers")
    jobs.add_argument("--count", type=int, default=10_000)
    jobs.add_argument("--workers", choices=["fake", "lightgbm"], default="fake")
    kills = kinds.add_parser("kills", help="workers killed at random moments while jobs run")
    kills.add_argument("--count", type=int, default=1000)
    kills.add_argument("--seed", type=int, default=0)
    for parser_of_kind in (jobs, kills):
        parser_of_kind.add_argument("--slots", type=int, default=2)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        leases = LeaseQueue(cpu_slots(options.slots), folder / "locks")
        if options.kind == "jobs":
            return run_jobs(options.count, options.workers, leases, folder)
        return run_kills(options.count, options.seed, leases, folder)


def run_jobs(count: int, workers: str, leases: LeaseQueue, folder: Path) -> int:
    """`count` tiny jobs; memory and open files after the first thousand and at the end."""
    real = workers == "lightgbm"
    params: dict[str, object] = _tiny_trees(folder) if real else {"do": "succeed"}
    tally = Tally()
    levels: list[Level] = []
    looks = [min(FIRST_LOOK, count // 2), count]
    begun = time.monotonic()
    with Pool(leases, threads=1, command=WORKER_COMMAND if real else FAKE_COMMAND) as pool:
        number = 0
        while number < count or pool.running:
            while number < count and pool.try_start(_trial(f"job-{number}", params, folder)):
                tally.started.add(f"job-{number}")
                number += 1
            tally.take(pool.wait(5.0))
            if len(levels) < len(looks) and len(tally.kinds) >= looks[len(levels)]:
                levels.append(_level(len(tally.kinds)))
        wall_s = time.monotonic() - begun
    rows = [*tally.rows(), ("jobs a second", f"{count / wall_s:.0f}")]
    for name in ("parent_mib", "open_files", "workers", "workers_mib"):
        figures = [f"{getattr(level, name):.0f} at {level.jobs}" for level in levels]
        rows.append(
            (name.replace("_", " ").replace("mib", "MiB"), ", ".join(dict.fromkeys(figures)))
        )
    return _report(f"{count} jobs, {workers} workers", rows, tally, levels, leases)


def run_kills(count: int, seed: int, leases: LeaseQueue, folder: Path) -> int:
    """Kill a random worker again and again, after a random time, while trials and batches run."""
    chance = random.Random(seed)
    tally, killed, number, levels = Tally(), 0, 0, [_level(0)]
    begun = next_kill = time.monotonic()
    with Pool(leases, threads=1, command=FAKE_COMMAND) as pool:
        while killed < count or pool.running:
            while killed < count:
                work = _some_work(chance, number, folder)
                if not pool.try_start(work):
                    break
                jobs = work.trials if isinstance(work, TrainBatch) else (work,)
                tally.started |= {job.id for job in jobs}
                number += len(jobs)
            pause = max(0.0, next_kill - time.monotonic()) if killed < count else 5.0
            tally.take(pool.wait(pause))
            workers = psutil.Process().children()
            if killed < count and workers and time.monotonic() >= next_kill:
                chance.choice(workers).kill()
                killed += 1
                next_kill = time.monotonic() + chance.uniform(0.0, MEAN_KILL_EVERY_S * 2)
    wall_s = time.monotonic() - begun
    rows = [("workers killed", killed), *tally.rows(), ("seconds", f"{wall_s:.0f}")]
    levels.append(_level(len(tally.kinds)))
    more = levels[-1].open_files - levels[0].open_files
    rows.append(("open files more than before", more))
    return _report(f"{count} kills, fake workers", rows, tally, levels, leases)


def grown(levels: Sequence[Level]) -> list[str]:
    """What has grown beyond its bound from the first look to the last, in words."""
    first, last = levels[0], levels[-1]
    rises = (
        ("parent MiB", last.parent_mib - first.parent_mib, MOST_MIB),
        ("MiB a worker", last.worker_mib - first.worker_mib, MOST_MIB),
        ("open files", last.open_files - first.open_files, MOST_FILES),
    )
    return [
        f"{what}: {rise:.0f} more, {most:.0f} allowed" for what, rise, most in rises if rise > most
    ]


def _some_work(chance: random.Random, number: int, folder: Path) -> TrainTrial | TrainBatch:
    """A trial, or now and then a batch, that takes some hundredths of a second."""
    params = {"do": "work", "s": round(chance.uniform(0.0, 0.06), 3)}
    if chance.random() < 0.7:
        return _trial(f"job-{number}", params, folder)
    trials = [_trial(f"job-{number + i}", params, folder, "neural_net") for i in range(BATCH)]
    return TrainBatch(jobs=tuple(trials), id=f"batch-{number}")


def _trial(
    job_id: str, params: dict[str, object], folder: Path, family: Family = "lightgbm"
) -> TrainTrial:
    return TrainTrial(
        id=job_id,
        family=family,
        trial_number=0,
        params=params,
        table=str(folder / "table"),
        folds=(0,),
        seed=0,
        predictions_path=str(folder / "predictions.npy"),
    )


def _tiny_trees(folder: Path) -> dict[str, object]:
    """Lay out a table of 200 rows; the parameters of a trial of two rounds on it."""
    table = folder / "table"
    table.mkdir()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5)).astype(np.float32)
    np.save(table / "X.npy", X)
    np.save(table / "y.npy", X[:, 0].astype(np.float64) + rng.normal(size=200))
    np.save(table / "train_0.npy", np.arange(150, dtype=np.int32))
    np.save(table / "val_0.npy", np.arange(150, 200, dtype=np.int32))
    columns = {"kinds": ["numeric"] * 5, "levels": [0] * 5}
    (table / "columns.json").write_text(json.dumps(columns), encoding="utf-8")
    return complete_params("lightgbm", {"n_estimators": 2, "num_leaves": 4}).model_dump()


def _level(jobs: int) -> Level:
    me = psutil.Process()
    sizes = [worker.memory_info().rss for worker in me.children(recursive=True)]
    own = me.memory_info().rss
    return Level(jobs, own / MIB, _open_files(), len(sizes), sum(sizes) / MIB)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _report(
    title: str,
    rows: Sequence[tuple[str, object]],
    tally: Tally,
    levels: Sequence[Level],
    leases: LeaseQueue,
) -> int:
    """Print the table; 0 if nothing was lost, nothing is left and nothing has grown."""
    left = len(psutil.Process().children(recursive=True))
    growth = grown(levels)
    checks: list[tuple[str, object]] = [
        ("leases out at the end", len(leases.held)),
        ("processes left", left),
    ]
    checks += [("grown beyond its bound", words) for words in growth]
    print(title)
    for name, value in [*rows, *checks]:
        print(f"  {name:<30}{value}")
    return int(bool(tally.lost or tally.twice or leases.held or left or growth))


if __name__ == "__main__":
    sys.exit(main())
