"""Does it cost quality to ask for networks in batches of one architecture?

`python -m benchmarks.asks` searches the network's space on each table twice with the same sampler:
as the product asks (four trials at a time with one architecture, so that they train as one
computation), and one trial at a time with every choice free. It prints the best score after some
numbers of trials, paired by seed; docs/benchmarks.md says how to read it.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.figures import markdown
from benchmarks.machine import machine_line
from benchmarks.tables import open_table
from gpu.host.devices import cpu_slots, usable_cores
from gpu.host.leases import LeaseQueue
from gpu.host.pool import JobEnded, Pool
from gpu.protocol import TrainBatch, TrainTrial, TrialDone
from steps.step5_training.families import SPECS
from steps.step5_training.folds import draw_folds
from steps.step5_training.layout import lay_out
from steps.step5_training.sampler import PastTrial, propose
from steps.step5_training.settings import TRIALS_PER_ASK as BATCH
from steps.step5_training.settings import Settings
from steps.tables import read_table

SPEC = SPECS["neural_net"]
WAYS = {"one at a time": 1, f"batches of {BATCH}, one architecture": BATCH}


@dataclass(slots=True)
class Search:
    """One search: a way of asking on one seed. best: best mean R2 after 1, 2, ... trials."""

    way: str
    seed: int
    history: list[PastTrial]
    best: list[float]
    busy_s: float = 0.0

    def ask(self, settings: Settings, n_rows: int) -> list[dict[str, Any]]:
        """The values of the next trials."""
        count = WAYS[self.way]
        shared = SPEC.shared if count > 1 else ()
        space = SPEC.search_space(settings, n_rows)
        return propose(self.history, space, seed=self.seed, count=count, shared=shared)

    def tell(self, values: dict[str, Any], done: TrialDone | None) -> None:
        """A finished trial; None if it failed."""
        scores = [] if done is None else [score.r2 for score in done.scores]
        means = tuple(float(np.mean(scores[: k + 1])) for k in range(len(scores)))
        self.history.append(PastTrial(values, means, complete=bool(means)))
        top = means[-1] if means else -np.inf
        self.best.append(max([top, *self.best[-1:]]))


def main(argv: Sequence[str] | None = None) -> int:
    """Search, then print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asks", description=__doc__)
    parser.add_argument("--table", action="append", help="made, protein, or a file with --target")
    parser.add_argument("--target")
    parser.add_argument("--rows", type=int, default=4000, help="rows taken of each table")
    parser.add_argument("--trials", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args(argv)
    print(machine_line(), flush=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    for name in options.table or ["made", "protein"]:
        with tempfile.TemporaryDirectory(prefix="bench-asks-") as scratch:
            searches = _search_table(name, options, Path(scratch))
        rows += _table_rows(name, searches, options.trials)
        print(f"{name}: done", file=sys.stderr, flush=True)
    heads = ["table, trials", *(f"{way}: best R2" for way in WAYS)]
    heads += ["difference (median, range over seeds)", "seconds a trial"]
    print(markdown(heads, rows))
    return 0


def _search_table(name: str, options: argparse.Namespace, scratch: Path) -> list[Search]:
    table_file = open_table(name, options.target, scratch, options.rows)
    settings = Settings(target=table_file.target, trials=max(options.trials), epochs=options.epochs)
    table = read_table(table_file.path, settings.table_options())
    keep = np.sort(np.random.default_rng(0).permutation(table.n_rows)[: options.rows])
    table = dataclasses.replace(table, X=np.ascontiguousarray(table.X[keep]), y=table.y[keep])
    splits = draw_folds(
        table.n_rows, split="random", n_folds=options.folds, holdout_fraction=0.2, seed=0
    )
    folder = lay_out(table, splits, scratch / "table")
    n_rows = min(len(fold.train_rows) for fold in splits.folds)
    searches = [Search(way, seed, [], []) for seed in range(options.seeds) for way in WAYS]
    with Pool(LeaseQueue(cpu_slots(usable_cores()), scratch / "locks"), threads=1) as pool:
        _run(searches, pool, settings, folder, n_rows, options)
    return searches


def _run(
    searches: list[Search],
    pool: Pool,
    settings: Settings,
    folder: Path,
    n_rows: int,
    options: argparse.Namespace,
) -> None:
    """Each search has one batch open at a time; the searches share the devices."""
    waiting = [(search, search.ask(settings, n_rows)) for search in searches]
    owners: dict[str, tuple[Search, dict[str, Any]]] = {}
    open_jobs: dict[int, int] = {}
    answers: dict[int, dict[str, TrialDone | None]] = {}
    started: dict[int, float] = {}
    while waiting or owners:
        while waiting:
            search, values = waiting[0]
            batch = _batch(search, values, settings, folder, options.folds)
            if not pool.try_start(batch):
                break
            waiting.pop(0)
            started[id(search)] = time.monotonic()
            open_jobs[id(search)] = len(values)
            answers[id(search)] = {}
            for job, drawn in zip(batch.trials, values, strict=True):
                owners[job.id] = (search, drawn)
        for event in pool.wait(1.0):
            if not isinstance(event, JobEnded):
                continue
            search, _ = owners[event.job.id]
            done = event.outcome if isinstance(event.outcome, TrialDone) else None
            answers[id(search)][event.job.id] = done
            open_jobs[id(search)] -= 1
            if open_jobs[id(search)]:
                continue
            search.busy_s += time.monotonic() - started[id(search)]
            # In the order of asking: the order of finishing must not steer the search.
            for job_id in sorted(answers[id(search)], key=lambda i: int(i.split("-")[-1])):
                search.tell(owners.pop(job_id)[1], answers[id(search)][job_id])
            if len(search.best) < max(options.trials):
                waiting.append((search, search.ask(settings, n_rows)))


def _batch(
    search: Search, values: list[dict[str, Any]], settings: Settings, folder: Path, folds: int
) -> TrainBatch:
    first = len(search.history)
    label = f"{list(WAYS).index(search.way)}-{search.seed}"
    jobs = tuple(
        TrainTrial(
            id=f"{label}-{first + i}",
            family="neural_net",
            trial_number=first + i,
            params=SPEC.complete(drawn, settings).model_dump(mode="json"),
            table=str(folder),
            folds=tuple(range(folds)),
            seed=0,
            predictions_path=str(folder / f"{label}.npy"),
        )
        for i, drawn in enumerate(values)
    )
    return TrainBatch(jobs=jobs, id=f"{label}-batch-{first}")


def _table_rows(name: str, searches: list[Search], counts: Sequence[int]) -> list[list[str]]:
    rows = []
    for count in counts:
        best = {way: [s.best[count - 1] for s in searches if s.way == way] for way in WAYS}
        single, batched = best.values()
        gaps = [b - a for a, b in zip(single, batched, strict=True)]
        seconds = [
            statistics.median(s.busy_s / len(s.best) for s in searches if s.way == way)
            for way in WAYS
        ]
        rows.append(
            [
                f"{name}, {count}",
                *(f"{statistics.median(found):.4f}" for found in best.values()),
                f"{statistics.median(gaps):+.4f} ({min(gaps):+.4f} to {max(gaps):+.4f})",
                " / ".join(f"{value:.2f}" for value in seconds),
            ]
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
