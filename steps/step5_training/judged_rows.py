"""Which rows a verdict may rest on, and which of them are no witnesses of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steps.step5_training.evaluate import Rows
from steps.step5_training.folds import Split, Splits
from steps.step5_training.repeats import row_codes
from steps.tables import Table

# With fewer rows left, the repeated ones are the table, not an accident in it.
LEAST_SHARE = 0.3
LEAST_ROWS, LEAST_PART = 20, 0.5
# Of the different rows: no column of a coarse table has more values.
COARSE_SHARE = 0.5
# Of the rows whose features were seen in training: so many repeat the target too, if copied.
COPIED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """Row numbers. left_out: how many rows of folds and holdout are no witnesses.

    too_few: the others say nothing; then folds and holdout are all rows, to be scored, not judged.
    """

    folds: tuple[Rows, ...]
    holdout: Rows
    left_out: int
    too_few: bool = False


def dependent_rows(table: Table, split: Split) -> Rows | None:
    """int (n_rows,): rows of one number may depend on each other; None: each is on its own.

    group: the groups. time: blocks of about the cube root of the rows, one after the other in time
    (the length of Hall, Horowitz and Jing 1995 for a block bootstrap's variance); rows of equal
    time lie in one block.
    """
    match split:
        case "random":
            return None
        case "group":
            return table.group
        case "time":
            n_rows = table.n_rows
            time = np.arange(n_rows) if table.time is None else table.time
            order = np.argsort(time, kind="stable")
            ordered = time[order]
            first = np.searchsorted(ordered, ordered, side="left")
            blocks = np.empty(n_rows, np.int64)
            blocks[order] = first // max(1, round(n_rows ** (1 / 3)))
            return blocks


def rows_to_judge(table: Table, splits: Splits) -> JudgedRows:
    """The validation rows of each fold and those of the holdout, without copies of trained rows.

    A row that was copied is known to a model that was trained on the other copy: on noise it looks
    like signal. Left out are rows whose features all occur together among the rows that their
    model was trained on, if at least half of these repeat the target too. Where that leaves under
    30 % of the rows, or too few in a part (under 20 and under half of it, or one value of the
    target), all rows stay if the table is so coarse that rows are alike by chance: no column has
    more values than half of the different rows, and these do not occur each a multiple of 2, 3 ...
    times, as in a table laid upon itself. Else the rows left are judged, or are too few.
    """
    folds = tuple(fold.val_rows for fold in splits.folds)
    everything = JudgedRows(folds, splits.holdout_rows, 0)
    features, whole = row_codes(table.X), row_codes(table.X, table.y)
    if int(features.max()) + 1 == table.n_rows:
        return everything
    parts = [(fold.val_rows, fold.train_rows) for fold in splits.folds]
    parts.append((splits.holdout_rows, splits.search_rows))
    seen = [_occur(features, rows, trained) for rows, trained in parts]
    copied = [_occur(whole, rows, trained) for rows, trained in parts]
    n_seen = sum(int(part.sum()) for part in seen)
    n_copied = sum(int(part.sum()) for part in copied)
    if n_seen == 0 or n_copied < COPIED_SHARE * n_seen:
        return everything
    kept = [rows[~part] for (rows, _), part in zip(parts, seen, strict=True)]
    n_rows = sum(len(rows) for rows, _ in parts)
    scored = all(_is_scored(table, k, len(rows)) for k, (rows, _) in zip(kept, parts, strict=True))
    few = n_rows - n_seen < LEAST_SHARE * n_rows or not scored
    if few and _is_coarse(table, whole):
        return everything
    if not scored:
        return JudgedRows(folds, splits.holdout_rows, n_seen, too_few=True)
    return JudgedRows(tuple(kept[:-1]), kept[-1], n_seen)


def _is_coarse(table: Table, whole: Rows) -> bool:
    """Whether rows may be alike by chance. whole: codes of the rows, target and all."""
    times = np.bincount(whole)
    if np.gcd.reduce(times) > 1:
        return False
    most = COARSE_SHARE * len(times)
    if len(np.unique(table.y)) > most:
        return False
    return all(len(np.unique(table.X[:, place])) <= most for place in range(table.n_features))


def _occur(codes: Rows, rows: Rows, among: Rows) -> Rows:
    there = np.zeros(int(codes.max()) + 1, bool)
    there[codes[among]] = True
    occur: Rows = there[codes[rows]]
    return occur


def _is_scored(table: Table, rows: Rows, before: int) -> bool:
    """Whether the rows that are left of so many can be judged."""
    # A part that was small from the start is judged as small parts are.
    if len(rows) < 2 or len(rows) < min(LEAST_ROWS, LEAST_PART * before):
        return False
    y = table.y[rows]
    return bool((y != y[0]).any())
