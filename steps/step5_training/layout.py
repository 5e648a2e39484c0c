"""Lay a table out once as .npy files that every worker maps read-only (see gpu.worker.data)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from steps.step5_training.folds import Splits
from steps.tables import Table


def lay_out(table: Table, splits: Splits, folder: Path) -> Path:
    """Write the table and its folds; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "X.npy", table.X)
    np.save(folder / "y.npy", table.y)
    np.save(folder / "search_rows.npy", splits.search_rows)
    np.save(folder / "holdout_rows.npy", splits.holdout_rows)
    for fold in splits.folds:
        np.save(folder / f"train_{fold.index}.npy", fold.train_rows)
        np.save(folder / f"val_{fold.index}.npy", fold.val_rows)
    columns = {"kinds": table.kinds, "levels": [int(n) for n in table.levels]}
    (folder / "columns.json").write_text(json.dumps(columns), encoding="utf-8")
    return folder
