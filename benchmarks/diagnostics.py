"""What diagnostics cost: the same trials and final fit with and without them.

`python -m benchmarks.diagnostics` gives a worker process of each family a search's first trials and
the final fit of the best, each plain and observed in turn. It prints the CPU seconds and the share
that observing adds; docs/benchmarks.md says how to read it. It fails if the two ways do not train
the same models.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil

from benchmarks.figures import markdown
from benchmarks.machine import machine_line
from benchmarks.tables import ROOT, BenchError, open_table
from gpu.params import CHECKPOINT_FORMATS, FAMILIES, Family
from gpu.protocol import (
    FinalFit,
    FitDone,
    FoldDone,
    FoldScore,
    Ready,
    Reply,
    TrainBatch,
    TrainFailed,
    TrainTrial,
    TrialDone,
    decode_reply,
    encode,
)
from steps.step5_training.families import SPECS
from steps.step5_training.folds import draw_folds
from steps.step5_training.layout import lay_out
from steps.step5_training.sampler import propose
from steps.step5_training.settings import TRIALS_PER_ASK as BATCH
from steps.step5_training.settings import Settings
from steps.tables import read_table

# A final fit is short: so many of them are averaged.
FINAL_TURNS = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of the worker, without its start."""

    trials_s: float
    final_s: float

    @property
    def all_s(self) -> float:
        """Trials and final fit."""
        return self.trials_s + self.final_s


Command = TrainTrial | TrainBatch | FinalFit
# A table's folder, and the training rows of its smallest fold.
Table = tuple[Path, int]
Pairs = list[tuple[Cost, Cost]]


class Worker:
    """One worker process; use it as a context manager."""

    def __init__(self, family: Family) -> None:
        argv = [sys.executable, "-m", "gpu.worker", "--family", family, "--threads", "1"]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
        )
        if not isinstance(self._read(), Ready):
            raise BenchError(f"the {family} worker did not start")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None  # it was asked for
        self._child.stdin.close()
        self._child.wait()

    def ask(self, command: Command) -> tuple[list[Reply], float]:
        """The replies to a command, without the folds', and its CPU seconds."""
        assert self._child.stdin is not None  # it was asked for
        before = self._cpu_s()
        self._child.stdin.write(encode(command))
        self._child.stdin.flush()
        wanted = len(command.jobs) if isinstance(command, TrainBatch) else 1
        replies: list[Reply] = []
        while len(replies) < wanted:
            reply = self._read()
            if isinstance(reply, TrainFailed):
                raise BenchError(f"{reply.id}: {reply.message}")
            if not isinstance(reply, FoldDone):
                replies.append(reply)
        return replies, self._cpu_s() - before

    def _read(self) -> Reply:
        assert self._child.stdout is not None  # it was asked for
        line = self._child.stdout.readline()
        if not line:
            raise BenchError("a worker died; its last words are above")
        return decode_reply(line)

    def _cpu_s(self) -> float:
        times = psutil.Process(self._child.pid).cpu_times()
        return times.user + times.system


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every family on every table, then print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnostics", description=__doc__)
    parser.add_argument("--table", action="append", help="made, protein, or a file with --target")
    parser.add_argument("--target")
    parser.add_argument("--rows", type=int, default=4000, help="rows taken of each table")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(argv)
    print(machine_line(), flush=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    for name in options.table or ["protein"]:
        with tempfile.TemporaryDirectory(prefix="bench-diagnostics-") as scratch:
            measured = _measure_table(name, options, Path(scratch))
        rows += _table_rows(name, measured)
    heads = ["table, family", "plain CPU s", "trials", "final fit", "in all (median, range)"]
    print(markdown(heads, rows))
    return 0


def _measure_table(name: str, options: argparse.Namespace, scratch: Path) -> dict[Family, Pairs]:
    """(plain, observed) of each repeat."""
    table = _lay_out(name, options, scratch)
    measured: dict[Family, Pairs] = {family: [] for family in options.families}
    for repeat in range(options.repeats):
        for family in options.families:
            ways = [
                _trials(family, table, options, scratch / "out", observed=observed)
                for observed in (False, True)
            ]
            plain, observed = _run(family, ways, scratch / "out", first=repeat % 2)
            measured[family].append((plain, observed))
            took = f"{plain.all_s:.2f} s plain, {observed.all_s:.2f} s observed"
            print(f"{name}, {family}, {repeat}: {took}", file=sys.stderr, flush=True)
    return measured


def _lay_out(name: str, options: argparse.Namespace, scratch: Path) -> Table:
    source = open_table(name, options.target, scratch, options.rows)
    table = read_table(source.path, Settings(target=source.target).table_options())
    keep = np.sort(np.random.default_rng(0).permutation(table.n_rows)[: options.rows])
    table = dataclasses.replace(table, X=np.ascontiguousarray(table.X[keep]), y=table.y[keep])
    splits = draw_folds(
        table.n_rows, split="random", n_folds=options.folds, holdout_fraction=0.2, seed=0
    )
    folder = lay_out(table, splits, scratch / "table")
    return folder, min(len(fold.train_rows) for fold in splits.folds)


def _run(
    family: Family, ways: Sequence[Sequence[TrainTrial]], out: Path, *, first: int
) -> tuple[Cost, Cost]:
    """The trials, and the final fit of the best of them, plain and observed, in one fresh worker.

    Each piece of work is done both ways, one right after the other, so that what else goes on in
    the machine meets both alike. ways: the trials, plain and observed; first: which way begins.
    """
    spent = [0.0, 0.0]
    scores: list[dict[str, tuple[FoldScore, ...]]] = [{}, {}]
    size = BATCH if family == "neural_net" else 1
    with Worker(family) as worker:
        worker.ask(_together(ways[0][:size]))  # what only the first job of a process pays
        for turn, at in enumerate(range(0, len(ways[0]), size)):
            for way in _turn(first + turn):
                replies, cpu_s = worker.ask(_together(ways[way][at : at + size]))
                spent[way] += cpu_s
                done = [reply for reply in replies if isinstance(reply, TrialDone)]
                scores[way] |= {reply.id: reply.scores for reply in done}
        best = [
            max(jobs, key=lambda job: statistics.fmean(s.r2 for s in scores[way][job.id]))
            for way, jobs in enumerate(ways)
        ]
        finals = [0.0, 0.0]
        results: list[Any] = [None, None]
        for turn in range(FINAL_TURNS):
            for way in _turn(first + turn):
                job = _final(best[way], scores[way][best[way].id], out, observed=way == 1)
                (fit,), cpu_s = worker.ask(job)
                finals[way] += cpu_s / FINAL_TURNS
                assert isinstance(fit, FitDone)  # a failure is raised by the worker's face
                # Not the checkpoint's hash: catboost's files carry the time.
                results[way] = (fit.train_mse, (out / "holdout.npy").read_bytes())
    told = {"r2", "val_mse", "train_mse", "best_round", "rounds_run"}
    plain, observed = (
        [score.model_dump(include=told) for job in jobs for score in scores[way][job.id]]
        for way, jobs in enumerate(ways)
    )
    if plain != observed or results[0] != results[1]:
        raise BenchError(f"{family}: observing changed what was trained")
    return Cost(spent[0], finals[0]), Cost(spent[1], finals[1])


def _turn(number: int) -> tuple[int, int]:
    return (0, 1) if number % 2 == 0 else (1, 0)


def _together(jobs: Sequence[TrainTrial]) -> Command:
    return jobs[0] if len(jobs) == 1 else TrainBatch(jobs=tuple(jobs))


def _trials(
    family: Family, table: Table, options: argparse.Namespace, out: Path, *, observed: bool
) -> list[TrainTrial]:
    spec, settings = SPECS[family], Settings(trials=options.trials)
    space = spec.search_space(settings, table[1])
    values: list[dict[str, Any]] = []
    while len(values) < options.trials:
        values += propose([], space, seed=len(values), count=BATCH, shared=spec.shared)
    return [
        TrainTrial(
            id=f"{family}-{i}",
            family=family,
            trial_number=i,
            params=spec.complete(drawn, settings).model_dump(mode="json"),
            table=str(table[0]),
            folds=tuple(range(options.folds)),
            seed=0,
            predictions_path=str(out / f"{i}.npy"),
            curves_path=str(out / f"{i}.json") if observed else None,
        )
        for i, drawn in enumerate(values[: options.trials])
    ]


def _final(best: TrainTrial, scores: Sequence[FoldScore], out: Path, *, observed: bool) -> FinalFit:
    return FinalFit(
        id="final",
        family=best.family,
        trial_number=best.trial_number,
        params=best.params,
        rounds=max(1, round(statistics.median(score.best_round for score in scores))),
        table=best.table,
        seed=0,
        checkpoint_path=str(out / f"model.{CHECKPOINT_FORMATS[best.family]}"),
        preprocessing_path=str(out / "preprocessing.json"),
        predictions_path=str(out / "holdout.npy"),
        observations_path=str(out / "observations.json") if observed else None,
    )


def _table_rows(name: str, measured: dict[Family, Pairs]) -> list[list[str]]:
    rows = []
    for family, pairs in measured.items():
        rows.append(
            [
                f"{name}, {family}",
                f"{statistics.median(plain.all_s for plain, _ in pairs):.2f}",
                _added([(plain.trials_s, observed.trials_s) for plain, observed in pairs]),
                _added([(plain.final_s, observed.final_s) for plain, observed in pairs]),
                _added([(plain.all_s, observed.all_s) for plain, observed in pairs], spread=True),
            ]
        )
    sums = [
        (sum(plain.all_s for plain, _ in pairs), sum(observed.all_s for _, observed in pairs))
        for pairs in zip(*measured.values(), strict=True)
    ]
    whole = f"{statistics.median(plain for plain, _ in sums):.2f}"
    return [*rows, [f"{name}, all", whole, "", "", _added(sums, spread=True)]]


def _added(pairs: Sequence[tuple[float, float]], *, spread: bool = False) -> str:
    """What the second of each pair costs over the first, in percent: the median."""
    percent = [100 * (observed / plain - 1) for plain, observed in pairs]
    middle = f"{statistics.median(percent):+.1f} %"
    return f"{middle} ({min(percent):+.1f} to {max(percent):+.1f})" if spread else middle


if __name__ == "__main__":
    sys.exit(main())
