"""Draw the holdout and the folds: once, from a seed, the same for every family.

No row is in two places. The holdout is for the report alone; the folds share the other rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from steps.tables import TableError

Split = Literal["random", "time", "group"]
Rows = npt.NDArray[np.int64]

# R2 needs two rows, and batch normalisation does too.
MIN_ROWS_A_PART = 2
_GROUP_DRAWS = 32


class FoldsError(TableError):
    """Rows, groups or times that cannot be split as asked; the message says what is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One split of the search rows: int64 row numbers from 0, ascending."""

    index: int
    train_rows: Rows
    val_rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """search_rows: all but the holdout, ascending. fingerprint: SHA-256 of every row number."""

    search_rows: Rows
    holdout_rows: Rows
    folds: tuple[Fold, ...]
    fingerprint: str


def draw_folds(
    n_rows: int,
    *,
    split: Split,
    n_folds: int,
    holdout_fraction: float,
    seed: int,
    time: npt.NDArray[Any] | None = None,
    group: npt.NDArray[Any] | None = None,
) -> Splits:
    """Split row numbers 0..n_rows-1. Deterministic in its arguments.

    random: the holdout and the folds are random; sizes of folds differ by one at most.
    time: sorted by `time` (n_rows,), or by row number if there is none, the last share is the
    holdout; the rest is cut into n_folds + 1 blocks and fold i trains on the blocks before block
    i + 1, which it validates on, so the first block is never validated on. Rows of equal time stay
    together. group: rows of equal `group` (n_rows,) stay together; the seed picks whole groups
    for a holdout close to the asked share, and folds are balanced by rows.

    Raises FoldsError, saying how many rows, times or groups there are and are needed.
    """
    needed = rows_needed(n_folds, holdout_fraction, split)
    if n_rows < needed:
        raise FoldsError(
            f"{n_rows} rows are too few: {n_folds} folds and a holdout of {holdout_fraction:.0%} "
            f"need at least {needed}; use fewer folds or more rows"
        )
    rng = np.random.default_rng(seed)
    match split:
        case "random":
            holdout, parts = _random(n_rows, n_folds, holdout_fraction, rng)
        case "time":
            order = np.arange(n_rows) if time is None else np.asarray(time)
            return _splits(*_by_time(order, n_folds, holdout_fraction), expanding=True)
        case "group":
            if group is None:
                raise FoldsError("split group needs a group_column")
            holdout, parts = _by_group(np.asarray(group), n_folds, holdout_fraction, rng)
    return _splits(holdout, parts, expanding=False)


def rows_needed(n_folds: int, holdout_fraction: float, split: Split) -> int:
    """The fewest rows that give the holdout and every fold two rows."""
    parts = n_folds + 1 if split == "time" else n_folds
    n_rows = parts * MIN_ROWS_A_PART + MIN_ROWS_A_PART
    while (
        _holdout_size(n_rows, holdout_fraction) < MIN_ROWS_A_PART
        or n_rows - _holdout_size(n_rows, holdout_fraction) < parts * MIN_ROWS_A_PART
    ):
        n_rows += 1
    return n_rows


def _holdout_size(n_rows: int, fraction: float) -> int:
    return math.floor(n_rows * fraction + 0.5)


def _random(
    n_rows: int, n_folds: int, fraction: float, rng: np.random.Generator
) -> tuple[Rows, list[Rows]]:
    order = rng.permutation(n_rows)
    n_holdout = _holdout_size(n_rows, fraction)
    return order[:n_holdout], list(np.array_split(order[n_holdout:], n_folds))


def _by_time(time: npt.NDArray[Any], n_folds: int, fraction: float) -> tuple[Rows, list[Rows]]:
    """The holdout, and n_folds + 1 blocks in the order of time."""
    order = np.argsort(time, kind="stable")
    ordered = time[order]
    # Places where a cut parts no equal times.
    cuts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(cuts) < n_folds + 1:
        raise FoldsError(
            f"the time column has {len(cuts) + 1} different values; {n_folds} folds and a holdout "
            f"need at least {n_folds + 2}; use fewer folds or a finer time"
        )
    n_rows = len(time)
    border = _nearest_cuts(cuts[n_folds:], [n_rows - _holdout_size(n_rows, fraction)])[0]
    inner = cuts[cuts < border]
    wanted = [border * (place + 1) / (n_folds + 1) for place in range(n_folds)]
    blocks = np.split(order[:border], _nearest_cuts(inner, wanted))
    return order[border:], blocks


def _nearest_cuts(cuts: Rows, wanted: Sequence[float]) -> list[int]:
    """For each wanted place the nearest cut, all different and ascending."""
    chosen: list[int] = []
    first = 0
    for done, place in enumerate(wanted):
        last = len(cuts) - (len(wanted) - done - 1)  # leave one for each that is still to come
        open_cuts = cuts[first:last]
        nearest = int(np.argmin(np.abs(open_cuts - place)))
        chosen.append(int(open_cuts[nearest]))
        first += nearest + 1
    return chosen


def _by_group(
    group: npt.NDArray[Any], n_folds: int, fraction: float, rng: np.random.Generator
) -> tuple[Rows, list[Rows]]:
    names, codes, sizes = np.unique(group, return_inverse=True, return_counts=True)
    if len(names) < n_folds + 1:
        raise FoldsError(
            f"the group column has {len(names)} groups; {n_folds} folds and a holdout need at "
            f"least {n_folds + 1}; use fewer folds or another column"
        )
    held = _groups_near(sizes, len(group) * fraction, len(names) - n_folds, rng)
    place = np.full(len(names), -1)
    filled = np.zeros(n_folds, np.int64)
    shuffled = rng.permutation(np.setdiff1d(np.arange(len(names)), held))
    # Largest first, each to the emptiest fold: close to balanced, and every fold gets a group.
    for code in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold = int(np.argmin(filled))
        place[code] = fold
        filled[fold] += sizes[code]
    rows = place[codes]
    return np.flatnonzero(rows == -1), [np.flatnonzero(rows == fold) for fold in range(n_folds)]


def _groups_near(sizes: Rows, target: float, most: int, rng: np.random.Generator) -> list[int]:
    """Groups, one to `most`, whose sizes add up close to target: the closest of some draws."""
    best: list[int] = []
    best_gap = math.inf
    for _ in range(_GROUP_DRAWS):
        chosen: list[int] = []
        total = 0
        for code in rng.permutation(len(sizes)):
            if len(chosen) < most and abs(total + sizes[code] - target) < abs(total - target):
                chosen.append(int(code))
                total += int(sizes[code])
        if not chosen:  # every group is more than twice the share
            chosen = [int(np.argmin(sizes))]
            total = int(sizes[chosen[0]])
        if abs(total - target) < best_gap:
            best, best_gap = chosen, abs(total - target)
    return best


def _splits(holdout: Rows, parts: Sequence[Rows], *, expanding: bool) -> Splits:
    """expanding: part i + 1 is validated on after training on the parts before it."""
    parts = [np.sort(part).astype(np.int64) for part in parts]
    holdout = np.sort(holdout).astype(np.int64)
    folds = []
    for index in range(len(parts) - 1 if expanding else len(parts)):
        val = parts[index + 1] if expanding else parts[index]
        train = parts[: index + 1] if expanding else parts[:index] + parts[index + 1 :]
        folds.append(Fold(index, np.sort(np.concatenate(train)), val))
    digest = hashlib.sha256(holdout.tobytes())
    for fold in folds:
        digest.update(b"train" + fold.train_rows.tobytes() + b"val" + fold.val_rows.tobytes())
    search = np.sort(np.concatenate(parts))
    return Splits(search, holdout, tuple(folds), digest.hexdigest())
