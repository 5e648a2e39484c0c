"""Keep the loss curves of a trial's folds, thinned, and write them beside its predictions."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from gpu.protocol.observations import CURVE_POINTS, Curve, TrialCurves
from gpu.worker.absence import noted
from gpu.worker.files import save_text
from gpu.worker.trainers.base import Fitted, FloatVector, Losses, Watch


def thinned_curve(losses: Losses, *, fold: int | None, best_round: int) -> Curve:
    """At most CURVE_POINTS rounds, evenly spaced, with the first, the best and the last.

    Raises ValueError where there is no round or a loss is not a finite number.
    """
    run = len(losses.train)
    if run == 0:
        raise ValueError("no round was measured")
    spaced = np.linspace(1, run, min(run, CURVE_POINTS - 1)).round().astype(np.int64)
    rounds = np.union1d(spaced, [min(best_round, run)])
    return Curve(
        fold=fold,
        rounds=tuple(rounds.tolist()),
        train=_at(losses.train, rounds),
        validation=None if losses.validation is None else _at(losses.validation, rounds),
        best_round=best_round,
        rounds_run=run,
    )


class TrialLog:
    """The curves of one trial; without a path it asks for none and writes none.

    What fails here is said in the file and on standard error, and the trial goes on without it.
    """

    def __init__(self, path: str | None, folds: tuple[int, ...], *, begun: int = 0) -> None:
        """begun: how many of the folds an earlier job has fitted, whose curves lie at `path`."""
        self._path = path
        self._folds = folds
        self._curves: dict[int, Curve] = {}
        self._absent: list[str] = []
        if path is not None and begun:
            with noted(self._absent, f"the loss curves of the first {begun} folds"):
                earlier = TrialCurves.model_validate_json(Path(path).read_bytes())
                self._curves = {c.fold: c for c in earlier.curves if c.fold in folds[:begun]}
                self._absent += earlier.absent

    def watch(self) -> Watch | None:
        """What the fit of one fold is watched with."""
        return None if self._path is None else Watch()

    def fold_fitted(self, fold: int, fitted: Fitted, watch: Watch | None) -> None:
        """Keep the fold's curve."""
        if watch is None:
            return
        self._absent += [f"fold {fold}: {sentence}" for sentence in watch.absent]
        if watch.losses is not None:
            with noted(self._absent, f"the loss curve of fold {fold}"):
                curve = thinned_curve(watch.losses, fold=fold, best_round=fitted.best_round)
                self._curves[fold] = curve
        elif not watch.absent:
            self._absent.append(f"fold {fold}: the loss curve: its trainer has left none")

    def save(self) -> None:
        """Write what there is, in the order of the job's folds."""
        if self._path is None:
            return
        with noted(self._absent, "the file of loss curves"):
            kept = tuple(self._curves[fold] for fold in self._folds if fold in self._curves)
            found = TrialCurves(curves=kept, absent=tuple(self._absent))
            save_text(Path(self._path), found.model_dump_json())
        for sentence in self._absent:
            print(f"not observed: {sentence}", file=sys.stderr)


def _at(losses: FloatVector, rounds: np.ndarray) -> tuple[float, ...]:
    return tuple(losses[rounds - 1].tolist())
