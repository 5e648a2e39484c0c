"""Made tables whose truth is known: noise, a weak signal, planted leaks, honest causes.

Each is drawn from a generator that is passed in, so a seed makes the same table always.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.tables import data_folder
from steps.tables import TableOptions, read_table

Floats = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[np.generic]]

HONEST_ROWS = 3000
DRAWN_ROWS = 4000

# Shared tables by name: file and target.
REAL = {
    "california_housing": ("california_housing.csv", "median_house_value"),
    "diamonds": ("diamonds.csv.gz", "price"),
    "protein": ("protein.csv.gz", "y"),
    "elevators": ("elevators.csv.gz", "y"),
    "deliveries": ("deliveries.csv.gz", "time_to_delivery"),
    "cps1988": ("cps1988.csv.gz", "wage"),
    "ames": ("ames.csv.gz", "Sale_Price"),
}

TARGETS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.normal(5, 2, n),
    "heavy": lambda rng, n: rng.standard_t(3, n),
    "skewed": lambda rng, n: rng.gamma(2.0, 3.0, n),
    "lognormal": lambda rng, n: np.exp(rng.normal(size=n)),
    "counts": lambda rng, n: rng.poisson(3.0, n).astype(float),
    "rare": lambda rng, n: (rng.random(n) < 0.1).astype(float),
}


def noise_table(rng: np.random.Generator) -> tuple[str, Columns, Floats]:
    """(what it is, features, target) without any relation: 150 to 5,000 rows, 3 to 60 features.

    Numbers of several shapes, some rounded, some with gaps; a few categories; in every fourth
    table up to 30 % of the rows are copies of others.
    """
    n = round(np.exp(rng.uniform(np.log(150), np.log(5000))))
    count = round(np.exp(rng.uniform(np.log(3), np.log(60))))
    shape = list(TARGETS)[int(rng.integers(len(TARGETS)))]
    y = TARGETS[shape](rng, n)
    columns: Columns = {}
    for i in range(count):
        kind = rng.integers(5)
        if kind == 0:
            levels = int(rng.integers(2, max(3, min(40, n // 10))))
            columns[f"c{i}"] = np.array([f"level {code}" for code in rng.integers(0, levels, n)])
            continue
        values = {
            1: rng.normal(size=n),
            2: rng.standard_t(2, n),
            3: rng.integers(0, 20, n).astype(float),
            4: np.exp(rng.normal(size=n)).round(1),
        }[int(kind)]
        if rng.random() < 0.2:
            values[rng.random(n) < 0.1] = np.nan
        columns[f"n{i}"] = values
    # A number of its own in each row, so that rows are alike only where they were copied.
    columns["n"] = rng.normal(size=n)
    copied = 0
    if rng.random() < 0.25:
        copied = int(n * rng.uniform(0.02, 0.3))
        rows = np.arange(n)
        rows[rng.choice(n, copied, replace=False)] = rng.integers(0, n, copied)
        y = y[rows]
        columns = {name: values[rows] for name, values in columns.items()}
    return f"{shape}, {n} x {count + 1}, {copied} copies", columns, y


def weak_table(
    rng: np.random.Generator, n: int = 20_000, r2: float = 0.02
) -> tuple[Columns, Floats]:
    """Ten features, of which four explain that share of the target's variance; not all linearly."""
    X = rng.normal(size=(n, 10))
    cause = X[:, 0] + 0.7 * X[:, 1] + 0.7 * np.abs(X[:, 2]) + 0.7 * X[:, 0] * (X[:, 3] > 0)
    cause -= cause.mean()
    y = cause / cause.std() * np.sqrt(r2 / (1 - r2)) + rng.normal(size=n)
    return {f"x{i}": X[:, i] for i in range(10)}, y


def carrier(rng: np.random.Generator, n: int, target: str) -> tuple[Columns, Floats]:
    """Six features that explain about half of a target of that shape: a table to plant leaks in."""
    X = rng.normal(size=(n, 6))
    y = np.sort(TARGETS[target](rng, n))
    cause = X[:, 0] + X[:, 1] + rng.normal(size=n) * 1.4
    return {f"x{i}": X[:, i] for i in range(6)}, y[np.argsort(np.argsort(cause))]


def planted(y: Floats, rng: np.random.Generator) -> dict[str, tuple[Columns, set[str]]]:
    """Leaks by name: the features made from the target, and the ways in which they may be found."""
    n = len(y)
    spread, other = y.std(), np.exp(0.5 * rng.normal(size=n))
    part, low = spread * rng.normal(size=n), y.min()
    shuffled = rng.permutation(8)[in_bins(y, 8)]
    return {
        "copy": ({"a": y.copy()}, {"copy"}),
        "affine": ({"a": 7 - 3 * y}, {"affine"}),
        "sum of two": ({"a": part, "b": y - part}, {"pair"}),
        "noise of 0.1 % on every row": ({"a": y + 0.001 * part}, {"copy"}),
        "0.1 % of the rows replaced": ({"a": replaced(y, rng)}, {"copy", "near_copy"}),
        "1 % of the rows replaced": ({"a": replaced(3 - y, rng, 0.009)}, {"near_copy", "affine"}),
        "a monotone form": ({"a": -np.exp(-y / spread)}, {"rank", "affine", "function"}),
        "a monotone form, some rows replaced": (
            {"a": replaced(np.log(y - low + spread), rng)},
            {"rank", "function", "near_copy", "affine"},
        ),
        "the square": ({"a": (y - np.median(y)) ** 2}, {"made_from", "rank"}),
        "the distance from the middle": ({"a": np.abs(y - np.median(y))}, {"made_from"}),
        "a root of either sign": (
            {"a": np.sqrt(y - low) * rng.choice([-1, 1], n)},
            {"function"},
        ),
        "ten bins": ({"a": in_bins(y, 10)}, {"bins", "rank"}),
        "five bins": ({"a": in_bins(y, 5)}, {"bins"}),
        "shuffled codes of bins": ({"a": shuffled}, {"bins"}),
        "its mean over 30 groups": ({"a": encoded(y, 30, rng)}, {"group_mean"}),
        "its mean over many groups": ({"a": encoded(y, n // 3, rng)}, {"group_mean"}),
        "its smoothed mean": ({"a": encoded(y, n // 10, rng, 10.0)}, {"group_mean"}),
        "its mean on another scale": ({"a": 2 - 5 * encoded(y, n // 10, rng)}, {"group_mean"}),
        "its rounded mean": (
            {"a": np.round(encoded(y, n // 30, rng) / spread, 2) * spread},
            {"group_mean"},
        ),
        "difference": ({"a": part + y, "b": part}, {"pair"}),
        "product": ({"a": other, "b": y / other}, {"product"}),
        "ratio": ({"a": y * other, "b": other}, {"ratio"}),
        "smaller": ({"a": y + np.maximum(part, 0), "b": y + np.maximum(-part, 0)}, {"smaller"}),
        "distance": (
            {"a": part, "b": part + (y - low) * rng.choice([-1, 1], n)},
            {"distance"},
        ),
    }


def honest(rng: np.random.Generator) -> dict[str, tuple[Floats, Columns]]:
    """Tables of 3,000 rows by name, (target, features), whose true R2 is about 0.98 or less."""
    n = HONEST_ROWS
    x, group = rng.normal(size=n), rng.integers(0, 40, n)
    level, site = rng.normal(size=40), rng.integers(0, 5, n)
    a, b, c = np.exp(0.5 * rng.normal(size=(3, n)))
    age, grade = rng.integers(18, 81, n), rng.integers(0, 6, n)
    rate = np.exp(2 + x)
    copies = rng.integers(0, n, n)
    grid = np.stack(np.meshgrid(np.arange(54.0), np.arange(54.0))).reshape(2, -1)
    grouped = noisy(level[group], rng, 0.5)
    sizes = np.array([1, 2, 4, 8, 16.0])
    return {
        "one cause": (noisy(x, rng), {"x": x}),
        "one cause, uniform noise": (noisy(x, rng, draw=lambda: rng.uniform(-1, 1, n)), {"x": x}),
        "one cause, heavy noise": (noisy(x, rng, draw=lambda: rng.laplace(size=n)), {"x": x}),
        "one skewed cause": (noisy(np.exp(x), rng), {"x": np.exp(x)}),
        "age": (np.round(noisy(900.0 * age, rng), -2), {"age": age}),
        "six grades": (noisy(grade.astype(float), rng), {"grade": grade}),
        "six sure grades": (noisy(grade.astype(float), rng, 0.995), {"grade": grade}),
        "five sites of five sizes": (noisy(sizes[site], rng), {"site": site}),
        "current and resistance": (a * b * (1 + 0.01 * rng.normal(size=n)), {"a": a, "b": b}),
        "gravity": (a * b / c**2 * (1 + 0.02 * rng.normal(size=n)), {"a": a, "b": b, "c": c}),
        "kinetic energy": (a * b**2 * (1 + 0.02 * rng.normal(size=n)), {"a": a, "b": b}),
        "a power with noise": ((x + 5) ** 3 * (1 + 0.06 * rng.normal(size=n)), {"x": x + 5}),
        "counts": (rng.poisson(rate).astype(float), {"x": x, "rate": np.round(rate)}),
        "large groups": (noisy(level[group], rng), {"level": level[group]}),
        "group means out of fold": (grouped, {"mean": _outside(grouped, group, rng)}),
        "copied rows": (noisy(x, rng)[copies], {"x": x[copies]}),
        "noise, each row twice": (np.tile(rng.normal(size=n), 2), {"x": np.tile(x, 2)}),
        "a full factorial design": (3 * grid[0] + grid[1] ** 2 / 3, {"u": grid[0], "w": grid[1]}),
        "matched pairs": (
            np.tile([0.0, 1.0], n // 2),
            {"age": np.repeat(rng.normal(size=n // 2), 2), "x": x},
        ),
        "rare": (noisy(np.where(rng.random(n) < 0.99, 0, rate), rng, 0.9), {"rate": rate}),
    }


def real_names() -> list[str]:
    """The shared tables that lie on this machine."""
    return [name for name, (file, _) in REAL.items() if (data_folder() / file).is_file()]


def real_table(name: str, seed: int | None) -> tuple[Columns, Floats]:
    """A shared table as the reader gives it; seed: of 4,000 rows that are drawn, None: all rows."""
    file, target = REAL[name]
    read = read_table(data_folder() / file, TableOptions(target=target))
    rows = np.arange(read.n_rows)
    if seed is not None and read.n_rows > DRAWN_ROWS:
        rng = np.random.default_rng([6, seed])
        rows = np.sort(rng.choice(read.n_rows, DRAWN_ROWS, replace=False))
    columns: Columns = {}
    for place, feature in enumerate(read.feature_names):
        values = read.X[rows, place].astype(np.float64)
        if read.kinds[place] == "categorical":
            columns[feature] = np.array(
                [None if np.isnan(v) else f"level {int(v)}" for v in values], dtype=object
            )
        else:
            columns[feature] = values
    return columns, read.y[rows]


def noisy(
    cause: Floats,
    rng: np.random.Generator,
    r2: float = 0.98,
    draw: Callable[[], Floats] | None = None,
) -> Floats:
    """The cause and noise: the cause explains that share of the variance."""
    noise = rng.normal(size=len(cause)) if draw is None else draw()
    return cause + noise / noise.std() * cause.std() * np.sqrt((1 - r2) / r2)


def replaced(values: Floats, rng: np.random.Generator, share: float = 0.001) -> Floats:
    """The same with a share of the rows filled from other rows."""
    values = values.copy()
    rows = rng.choice(len(values), max(1, round(share * len(values))), replace=False)
    values[rows] = rng.permutation(values)[: len(rows)]
    return values


def encoded(y: Floats, groups: int, rng: np.random.Generator, smoothing: float = 0.0) -> Floats:
    """The mean target of random groups, each row's own target in it."""
    group = rng.integers(0, groups, len(y))
    counts = np.bincount(group, minlength=groups)
    sums = np.bincount(group, y, minlength=groups)
    means: Floats = (sums + smoothing * y.mean()) / np.maximum(counts + smoothing, 1e-9)
    return means[group]


def in_bins(y: Floats, count: int) -> npt.NDArray[np.intp]:
    """Bins of about equal numbers of rows."""
    return np.searchsorted(np.quantile(y, np.arange(1, count) / count), y, side="right")


def _outside(y: Floats, group: npt.NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Smoothed target means by group, of each row from the rows of other folds: done right."""
    fold = rng.integers(0, 5, len(y))
    found = np.empty(len(y))
    for k in range(5):
        rest = fold != k
        counts = np.bincount(group[rest], minlength=group.max() + 1) + 5
        sums = np.bincount(group[rest], y[rest], minlength=group.max() + 1) + 5 * y.mean()
        found[~rest] = (sums / counts)[group[~rest]]
    return found
