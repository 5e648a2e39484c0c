"""The tables that are benchmarked: one made here from a seed, and shared ones where they lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

ROOT = Path(__file__).resolve().parent.parent
DATA_FOLDER = "WATCHER_TEST_DATA"

MADE = "made"
MADE_ROWS = 20_000
MADE_SEED = 20_000_062
NUMERIC = 56
WITH_GAPS = 4
GAP_SHARE = 0.05
LEVELS = (2, 4, 6, 8, 12, 40)

# Shared tables by name: file and target.
SHARED = {"protein": ("protein.csv.gz", "y")}


class BenchError(Exception):
    """A benchmark that cannot run as asked, or a run of it that failed; says what to do."""


@dataclass(frozen=True, slots=True)
class BenchTable:
    """A table file and the column to predict."""

    name: str
    path: Path
    target: str


def default_names() -> list[str]:
    """The made table, and every shared table that is on this machine."""
    return [MADE, *(name for name, (file, _) in SHARED.items() if (data_folder() / file).is_file())]


def open_table(name: str, target: str | None, folder: Path, made_rows: int) -> BenchTable:
    """name: "made", a shared table's name, or a path, which needs a target. folder: for made.csv.

    Raises BenchError.
    """
    if name == MADE:
        return BenchTable(MADE, write_made_table(folder / "made.csv", made_rows), "target")
    if name in SHARED:
        file, column = SHARED[name]
        path = data_folder() / file
        if not path.is_file():
            raise BenchError(f"table {name}: no {path}; set {DATA_FOLDER} to the folder of {file}")
        return BenchTable(name, path, target or column)
    path = Path(name).resolve()
    if not path.is_file():
        known = ", ".join([MADE, *SHARED])
        raise BenchError(f"table {name}: neither a file nor one of {known}")
    if target is None:
        raise BenchError(f"table {name}: a file needs --target")
    return BenchTable(path.name.split(".")[0], path, target)


def data_folder() -> Path:
    """Where the shared tables lie: WATCHER_TEST_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get(DATA_FOLDER) or ROOT.parent / "shared" / "data")


def write_made_table(path: Path, n_rows: int) -> Path:
    """A regression table of n_rows x (62 features and `target`), always the same for n_rows.

    56 numeric columns: ten independent, the others each a mix of one of those with noise (as
    measured columns are), the first four with 5 % gaps. Six categorical columns of 2 to 40 levels.
    target: Friedman's function (Friedman 1991, Multivariate Adaptive Regression Splines) of five
    columns, a product, a linear part of twenty, an effect of each category, and normal noise of
    about a fifth of the variance.
    """
    rng = np.random.default_rng(MADE_SEED)
    base = rng.normal(size=(n_rows, 10))
    mixed = base[:, rng.integers(0, 10, NUMERIC - 10)] * rng.uniform(0.2, 0.9, NUMERIC - 10)
    X = np.hstack([base, mixed + rng.normal(size=mixed.shape)])
    codes = np.stack([rng.integers(0, levels, n_rows) for levels in LEVELS], axis=1)
    u = 1 / (1 + np.exp(-X[:, :5]))
    signal = (
        10 * np.sin(np.pi * u[:, 0] * u[:, 1])
        + 20 * (u[:, 2] - 0.5) ** 2
        + 10 * u[:, 3]
        + 5 * u[:, 4]
        + 1.5 * X[:, 5] * X[:, 6]
        + X[:, 10:30] @ rng.normal(scale=0.25, size=20)
    )
    for i, levels in enumerate(LEVELS):
        signal += rng.normal(scale=0.7, size=levels)[codes[:, i]]
    y = signal + rng.normal(scale=0.5 * float(signal.std()), size=n_rows)
    X[:, :WITH_GAPS][rng.random((n_rows, WITH_GAPS)) < GAP_SHARE] = np.nan
    columns: dict[str, pa.Array] = {
        f"n{i}": pa.array(X[:, i].round(6), from_pandas=True) for i in range(NUMERIC)
    }
    for i in range(len(LEVELS)):
        columns[f"c{i}"] = pa.array([f"level_{code}" for code in codes[:, i]])
    columns["target"] = pa.array(y.round(6))
    pa.csv.write_csv(pa.table(columns), path)
    return path
