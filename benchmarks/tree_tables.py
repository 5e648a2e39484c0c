"""Tables, splits and trials on which the tree families' settings are measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.tables import MADE, MADE_ROWS, data_folder, open_table
from gpu.params import Family, Params
from gpu.worker.trainers.base import Columns, Split
from steps.step5_training.families import SPECS
from steps.step5_training.folds import Splits, draw_folds
from steps.step5_training.sampler import propose
from steps.step5_training.settings import Settings
from steps.tables import TableOptions, read_table

TREES: tuple[Family, ...] = ("xgboost", "lightgbm", "catboost")
# What a family's resolution consists of, by the names of its parameters.
Resolution = Mapping[str, int]
# File in the data folder and target.
REAL = {
    "protein": ("protein.csv.gz", "y"),
    "california": ("california_housing.csv", "median_house_value"),
    "diamonds": ("diamonds.csv.gz", "price"),
    "ames": ("ames.csv.gz", "Sale_Price"),
    "elevators": ("elevators.csv.gz", "y"),
    "cps1988": ("cps1988.csv.gz", "wage"),
}
NAMES = (*REAL, MADE)


@dataclass(frozen=True, slots=True)
class TreeTable:
    """A table with its folds and holdout. X: float32 (n_rows, n_features); y: float64."""

    name: str
    X: np.ndarray
    y: np.ndarray
    columns: Columns
    splits: Splits

    @property
    def fold_rows(self) -> int:
        """Training rows of the smallest fold."""
        return min(len(fold.train_rows) for fold in self.splits.folds)

    def fold(self, index: int) -> Split:
        """Training and validation rows of a fold."""
        fold = self.splits.folds[index]
        return self._split(fold.train_rows, fold.val_rows)

    def search(self) -> Split:
        """All rows but the holdout, without a validation set."""
        rows = self.splits.search_rows
        return Split(self.X[rows], self.y[rows], None, None, self.columns)

    def holdout(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows that no fold has."""
        rows = self.splits.holdout_rows
        return self.X[rows], self.y[rows]

    def _split(self, train: np.ndarray, val: np.ndarray) -> Split:
        return Split(self.X[train], self.y[train], self.X[val], self.y[val], self.columns)


def open_tree_table(
    name: str, folder: Path, *, most_rows: int, n_folds: int, seed: int = 0
) -> TreeTable:
    """Read a table of NAMES, drawing `most_rows` of its rows at random if it has more.

    folder: where the made table may be written. A fifth of the rows is held out.
    """
    if name == MADE:
        source = open_table(MADE, None, folder, MADE_ROWS)
    else:
        file, target = REAL[name]
        source = open_table(str(data_folder() / file), target, folder, MADE_ROWS)
    table = read_table(source.path, TableOptions(target=source.target))
    X, y = table.X, table.y
    if len(y) > most_rows:
        rows = np.sort(np.random.default_rng(seed).permutation(len(y))[:most_rows])
        X, y = X[rows], y[rows]
    splits = draw_folds(len(y), split="random", n_folds=n_folds, holdout_fraction=0.2, seed=seed)
    return TreeTable(name, X, y, Columns(table.kinds, table.levels), splits)


def draw_trials(
    family: Family, table: TreeTable, count: int, *, rounds: int, seed: int
) -> list[dict[str, Any]]:
    """Values drawn at random from the family's own search space."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = SPECS[family].search_space(Settings(n_estimators=rounds), table.fold_rows)
    return propose([], space, seed=seed, count=count)


def complete(
    family: Family, values: dict[str, Any], *, rounds: int, resolution: Resolution | None
) -> Params:
    """The whole record of drawn values; resolution None: as the search has it."""
    params = SPECS[family].complete(values, Settings(n_estimators=rounds))
    return params.model_copy(update=dict(resolution or {}))


def chosen(asked: Sequence[str]) -> tuple[str, ...]:
    """The asked tables, or all whose files are here."""
    if asked:
        return tuple(asked)
    here = (name for name, (file, _) in REAL.items() if (data_folder() / file).is_file())
    return (*here, MADE)


def lay_out_numeric(table: TreeTable, folder: Path) -> Path:
    """Write the table as workers map it (see gpu.worker.data), codes of levels as plain numbers.

    So every library and interface takes the same matrix.
    """
    folder.mkdir(parents=True)
    np.save(folder / "X.npy", table.X)
    np.save(folder / "y.npy", table.y)
    np.save(folder / "search_rows.npy", table.splits.search_rows)
    np.save(folder / "holdout_rows.npy", table.splits.holdout_rows)
    for fold in table.splits.folds:
        np.save(folder / f"train_{fold.index}.npy", fold.train_rows)
        np.save(folder / f"val_{fold.index}.npy", fold.val_rows)
    columns = Columns.all_numeric(table.X.shape[1])
    spec = {"kinds": columns.kinds, "levels": columns.levels}
    (folder / "columns.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder
