"""How fine a search must look: scores and seconds of the same trials at several resolutions.

A resolution is a number of bins and, for catboost, how many categories it combines.

`python -m benchmarks.bins --out FOLDER`; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.figures import markdown
from benchmarks.tree_tables import (
    NAMES,
    TREES,
    Resolution,
    TreeTable,
    chosen,
    complete,
    draw_trials,
    open_tree_table,
)
from gpu.params import Family
from gpu.worker.metrics import r2_score
from gpu.worker.trainers import load_trainer
from gpu.worker.trainers.base import Trainer

# The first is full resolution, what the others are compared with.
RESOLUTIONS: dict[Family, tuple[Resolution, ...]] = {
    "xgboost": tuple({"max_bin": bins} for bins in (256, 128, 64)),
    "lightgbm": tuple({"max_bin": bins} for bins in (255, 127, 63)),
    "catboost": tuple(
        {"border_count": bins, "max_ctr_complexity": combined}
        for bins, combined in ((254, 4), (127, 4), (63, 4), (63, 1))
    ),
}
ROUNDS = 300


@dataclass(frozen=True, slots=True)
class Search:
    """The same trials at one resolution.

    scores: R2, (n_trials, n_folds). cpu_s: of all fits. final: holdout R2 of the best trial
    refitted at this resolution, for the median of its folds' rounds; final_full: at full one.
    """

    table: str
    family: Family
    resolution: Resolution
    scores: tuple[tuple[float, ...], ...]
    cpu_s: float
    final: float
    final_full: float

    @property
    def best(self) -> int:
        """Which trial won."""
        means = self.means
        return means.index(max(means))

    @property
    def means(self) -> list[float]:
        """Mean R2 of each trial."""
        return [statistics.fmean(folds) for folds in self.scores]


def main() -> None:
    """Measure, print a row for each search as it ends, then the summary."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bins", description=__doc__)
    parser.add_argument("--table", action="append", choices=NAMES, default=[])
    parser.add_argument("--families", nargs="+", choices=TREES, default=TREES)
    parser.add_argument("--rows", type=int, default=12_000, help="at most, drawn at random")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    searches: list[Search] = []
    for name in chosen(args.table):
        table = open_tree_table(name, args.out, most_rows=args.rows, n_folds=args.folds)
        for family in args.families:
            searches += measure(table, family, args.trials)
            (args.out / "bins.json").write_text(json.dumps([asdict(s) for s in searches]))
            print(json.dumps([name, family, searches[-1].cpu_s]), flush=True)
    print(summary(searches))


def measure(table: TreeTable, family: Family, trials: int) -> list[Search]:
    """One search for each resolution."""
    trainer = load_trainer(family, "cpu", 1)
    values = draw_trials(family, table, trials, rounds=ROUNDS, seed=1)
    full = RESOLUTIONS[family][0]
    searches = []
    for resolution in RESOLUTIONS[family]:
        scores, rounds = [], []
        started = time.process_time()
        for drawn in values:
            params = complete(family, drawn, rounds=ROUNDS, resolution=resolution)
            fold_scores, fold_rounds = [], []
            for index in range(len(table.splits.folds)):
                split = table.fold(index)
                fitted = trainer.fit(split, params, seed=index, rounds=None)
                fold_scores.append(r2_score(split.y_val, fitted.predict(split.X_val)))
                fold_rounds.append(fitted.best_round)
            scores.append(tuple(fold_scores))
            rounds.append(max(1, round(statistics.median(fold_rounds))))
        cpu_s = time.process_time() - started
        means = [statistics.fmean(folds) for folds in scores]
        best = means.index(max(means))
        same, finer = (
            _final(trainer, table, family, values[best], resolution=each, rounds=rounds[best])
            for each in (resolution, full)
        )
        searches.append(Search(table.name, family, resolution, tuple(scores), cpu_s, same, finer))
    return searches


def _final(
    trainer: Trainer,
    table: TreeTable,
    family: Family,
    values: dict,
    *,
    resolution: Resolution,
    rounds: int,
) -> float:
    params = complete(family, values, rounds=ROUNDS, resolution=resolution)
    fitted = trainer.fit(table.search(), params, seed=0, rounds=rounds)
    X, y = table.holdout()
    return r2_score(y, fitted.predict(X))


def summary(searches: Sequence[Search]) -> str:
    """A row for each table, family and resolution; differences are to full resolution."""
    rows = []
    full = {(s.table, s.family): s for s in searches if s.resolution == RESOLUTIONS[s.family][0]}
    for s in searches:
        fine = full[s.table, s.family]
        change = s.means[s.best] - fine.means[fine.best]
        rows.append(
            [
                s.table,
                s.family,
                " x ".join(map(str, s.resolution.values())),
                f"{s.cpu_s:.1f}",
                f"{s.cpu_s / fine.cpu_s:.2f}",
                f"{s.means[s.best]:.4f}",
                f"{change:+.4f}",
                f"{fine.means[s.best] - fine.means[fine.best]:+.4f}",
                f"{s.final:.4f}",
                f"{s.final_full:.4f}",
            ]
        )
    heads = ["table", "family", "resolution", "CPU s", "of full", "best CV R2", "to full"]
    heads += ["its winner at full", "holdout R2", "holdout R2, refit full"]
    return markdown(heads, rows)


if __name__ == "__main__":
    main()
