"""Is this table trainable? Refuse what cannot be learnt from; warn of what would mislead.

Rules about single columns of the file (no such target, a target that is text, columns of one name,
constants, infinities) stand in steps.tables, which meets them first; rules about the whole table
and the split stand here.
"""

from __future__ import annotations

import numpy as np

from steps.contract import Note
from steps.step5_training.folds import Split, Splits, rows_needed
from steps.step5_training.leaks import LeakFinding, find_leaks, unchecked_pair_features
from steps.step5_training.leaks.finding import exclude_text
from steps.step5_training.repeats import repeated_rows
from steps.tables import Table, TableError

__all__ = [
    "LeakFinding",
    "check_splits",
    "find_leaks",
    "inspect_table",
    "leak_note",
    "repeated_rows",
]

_SHOWN_ROWS = 5


def inspect_table(
    table: Table, n_folds: int, holdout_fraction: float, split: Split
) -> tuple[tuple[Note, ...], tuple[LeakFinding, ...]]:
    """Warnings about a table that can be trained on; raises TableError about one that cannot.

    Leaks are critical notes with the code "leak", and stand beside them for machines.
    """
    file = table.path.name
    _check_target(table)
    if table.n_features == 0:
        dropped = [
            f"{column.name} ({column.reason})"
            for column in table.schema.columns
            if column.role != "target"
        ]
        raise TableError(
            f"{file}: no feature is left to learn from; name columns in keep_features to use them; "
            f"set aside: {', '.join(dropped) or 'nothing, the target is the only column'}"
        )
    needed = rows_needed(n_folds, holdout_fraction, split)
    if table.n_rows < needed:
        raise TableError(
            f"{file}: it has {table.n_rows} rows; {n_folds} folds and a holdout of "
            f"{holdout_fraction:.0%} need at least {needed}; use fewer folds (k_folds) or more rows"
        )
    notes = [_repeats_note(table, split)]
    leaks = find_leaks(table)
    notes += [leak_note(table, finding) for finding in leaks]
    if unchecked := unchecked_pair_features(table):
        message = f"{file}: {unchecked} features were left out of the search for pairs that leak"
        notes.append(Note(level="info", code="pairs_not_checked", message=message))
    return tuple(note for note in notes if note is not None), leaks


def check_splits(table: Table, splits: Splits) -> None:
    """Raise TableError if the target has one value in a part: R2 says nothing there."""
    parts = [(f"validation fold {fold.index + 1}", fold.val_rows) for fold in splits.folds]
    parts += [(f"training part of fold {f.index + 1}", f.train_rows) for f in splits.folds]
    for name, rows in [*parts, ("holdout", splits.holdout_rows)]:
        y = table.y[rows]
        if (y == y[0]).all():
            raise TableError(
                f"{table.path.name}: target {table.target!r} is {y[0]:g} in all {len(y)} rows of "
                f"the {name}, so it cannot be scored there; use fewer folds (k_folds), another "
                "split or another seed"
            )


def leak_note(table: Table, finding: LeakFinding) -> Note:
    """A leak in words, with what to type to leave the features out."""
    names = ", ".join(repr(name) for name in finding.features)
    which = "features" if len(finding.features) > 1 else "feature"
    return Note(
        level="critical",
        code="leak",
        message=f"{table.path.name}: {which} {names} {finding.told()}; if it would not be known "
        f"when predicting, run again with {exclude_text(finding.features)}",
    )


def _check_target(table: Table) -> None:
    y, name, file = table.y, table.target, table.path.name
    bad = ~np.isfinite(y)
    if bad.any():
        rows = ", ".join(
            f"{row + 1} ({'missing' if np.isnan(y[row]) else y[row]})"
            for row in np.flatnonzero(bad)[:_SHOWN_ROWS]
        )
        raise TableError(
            f"{file}: target {name!r} is missing or infinite in {int(bad.sum())} of {len(y)} rows, "
            f"the first in row {rows}; fill them in or remove these rows"
        )
    if len(y) == 0 or (y == y[0]).all():
        value = f"{y[0]:g} in every row" if len(y) else "empty"
        raise TableError(
            f"{file}: target {name!r} is constant ({value}), so there is nothing to predict; "
            "choose another target"
        )


def _repeats_note(table: Table, split: Split) -> Note | None:
    rows, firsts = repeated_rows(table)
    if split == "group" and table.group is not None:
        apart = table.group[rows] != table.group[firsts]
        rows, firsts = rows[apart], firsts[apart]
    if len(rows) == 0:
        return None
    shown = ", ".join(
        f"{row + 1} = {first + 1}"
        for row, first in zip(rows[:_SHOWN_ROWS], firsts[:_SHOWN_ROWS], strict=True)
    )
    return Note(
        level="warning",
        code="duplicate_rows",
        message=f"{table.path.name}: {len(rows)} of {table.n_rows} rows repeat an earlier row, "
        f"target and all (rows {shown}); such rows can lie in two folds, which flatters the "
        "scores; remove them, or keep them together with split group",
    )
