"""Files of a study's trials: out-of-fold predictions and loss curves; only the best's are kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class PredictionFiles:
    """The files of one study. full: of the trial at that position, run at full resolution."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, position: int, *, full: bool = False) -> Path:
        """Where a worker leaves a trial's predictions."""
        return self._folder / f"trial_{position}{'_full' if full else ''}.npy"

    def curves_path(self, position: int, *, full: bool = False) -> Path:
        """Where a worker leaves a trial's loss curves, if it was asked for them."""
        return self.path(position, full=full).with_suffix(".curves.json")

    def read(self, position: int, *, full: bool) -> NDArray[np.float64] | None:
        """(n_rows,), NaN outside the folds; None where the file is gone."""
        path = self.path(position, full=full)
        if not path.exists():
            return None
        predictions: NDArray[np.float64] = np.load(path)
        return predictions

    def usable(self, position: int, *, full: bool = False) -> bool:
        """Whether a trial's predictions can be read: a power cut may leave a file that is empty."""
        try:
            found = np.load(self.path(position, full=full), mmap_mode="r")
        except (OSError, ValueError, EOFError):
            return False
        return bool(found.ndim == 1 and found.dtype == np.float64)

    def forget_others(self, pending: Iterable[int], best: int | None) -> None:
        """Delete the files of trials that are neither pending nor the best."""
        keep = {self.path(position) for position in pending}
        if best is not None:
            # Both: a resumed study may find another trial best, or the same one.
            keep |= {self.path(best, full=full) for full in (False, True)}
        keep |= {path.with_suffix(".curves.json") for path in keep}
        for path in self._folder.glob("trial_*"):
            if path not in keep:
                path.unlink(missing_ok=True)
