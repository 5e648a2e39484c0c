"""Observe a final fit without changing it: curve, importances, attributions, network health.

What fails is named in `absent`, and the model stands. A crash inside a library cannot be caught;
so a marker lies beside the observations while a fit is watched, and a worker that finds one there
trains the fit again unwatched.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from gpu.protocol import FinalFit
from gpu.protocol.observations import (
    ATTRIBUTED_ROWS,
    Attribution,
    Curve,
    FitObservations,
    Importance,
)
from gpu.worker.absence import MOST_CHARS, noted
from gpu.worker.curves import thinned_curve
from gpu.worker.data import SharedTable
from gpu.worker.files import save_text
from gpu.worker.trainers.base import Fitted, FloatVector, Split, Watch

MARKER_SUFFIX = ".begun"
# Training rows on which a measure of importance looks, if it looks at rows at all.
IMPORTANCE_ROWS = 1024

Phase = Literal["load", "fit", "predict", "observe"]


class FitLog:
    """Watches one final fit, from its start to its end; without a path nothing is asked or written.

    Use it as a context manager around the whole fit: one that fails leaves what was seen so far.
    """

    def __init__(self, job: FinalFit) -> None:
        self._family = job.family
        self._path = None if job.observations_path is None else Path(job.observations_path)
        self._absent: list[str] = []
        self._seconds: dict[str, float] = {}
        self._curve: Curve | None = None
        self._importances: tuple[Importance, ...] = ()
        self._attributions: tuple[Attribution, ...] = ()
        self.watch: Watch | None = None
        """What the trainer fills in; None where nobody asks, or where asking once was fatal."""

    def __enter__(self) -> FitLog:
        if self._path is not None:
            with noted(self._absent, "everything but times"):
                self.watch = self._begin(self._path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._path is None:
            return
        if error is not None:
            self._absent.append(f"what comes after: the fit failed: {error!r}"[:MOST_CHARS])
        self._write(self._path)

    @contextlib.contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Count the time inside as the phase's."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = time.monotonic() - started

    def observe(
        self, fitted: Fitted, split: Split, table: SharedTable, predictions: FloatVector
    ) -> None:
        """Take the model apart. Call it last: all that the fit owes must be on disk by then.

        split: what it was trained on; predictions: of the table's holdout rows.
        """
        if self._path is None or self.watch is None:
            return
        with self.phase("observe"):
            with noted(self._absent, "the marker of observing"):
                _marker(self._path).write_text("observing", encoding="utf-8")
            if self.watch.losses is not None:
                with noted(self._absent, "the loss curve"):
                    self._curve = thinned_curve(
                        self.watch.losses, fold=None, best_round=fitted.best_round
                    )
            with noted(self._absent, "importances"):
                n = len(split.X_train)
                rows = np.linspace(0, n - 1, min(n, IMPORTANCE_ROWS)).round().astype(np.int64)
                self._importances = fitted.importances(split.X_train[rows])
            with noted(self._absent, "attributions"):
                self._attributions = _attributions(fitted, table, predictions)

    def _begin(self, path: Path) -> Watch | None:
        marker = _marker(path)
        if marker.exists():
            doing = marker.read_text(encoding="utf-8")
            self._absent.append(
                f"everything but times: the worker process ended while it was {doing} this fit, "
                "so the fit was repeated without being observed"
            )
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        # From here on: what watches the training is part of it.
        marker.write_text("training and watching", encoding="utf-8")
        return Watch(health=True)

    def _write(self, path: Path) -> None:
        watch = self.watch
        if watch is None:
            watch = Watch()
        failed: list[str] = []
        with noted(failed, "the file of observations"):
            found = FitObservations(
                family=self._family,
                curve=self._curve,
                importances=self._importances,
                attributions=self._attributions,
                network=watch.network,
                seconds=self._seconds,
                peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                peak_vram_mib=watch.peak_vram_mib,
                absent=(*watch.absent, *self._absent),
            )
            save_text(path, found.model_dump_json())
        with noted(failed, "the end of observing"):
            _marker(path).unlink(missing_ok=True)
        for sentence in failed:
            print(f"not observed: {sentence}", file=sys.stderr)


def chosen_rows(
    y: FloatVector, predictions: FloatVector
) -> list[tuple[Literal["best", "worst"], int]]:
    """Positions of the best and the worst predicted rows, no row twice, in that order.

    ATTRIBUTED_ROWS of each; of fewer rows than twice that, the better half and the others.
    """
    order = np.argsort(np.abs(y - predictions), kind="stable").tolist()
    count = min(ATTRIBUTED_ROWS, (len(order) + 1) // 2)
    worst = order[count:][::-1][:ATTRIBUTED_ROWS]
    return [*(("best", i) for i in order[:count]), *(("worst", i) for i in worst)]


def _attributions(
    fitted: Fitted, table: SharedTable, predictions: FloatVector
) -> tuple[Attribution, ...]:
    rows = table.holdout_numbers()
    chosen = chosen_rows(table.y[rows], predictions)
    if not chosen:
        raise ValueError("the holdout has no rows")
    found = fitted.contributions(table.X[rows[[i for _, i in chosen]]])
    return tuple(
        Attribution(
            which=which,
            row=int(rows[i]),
            target=float(table.y[rows[i]]),
            prediction=float(predictions[i]),
            method=found.method,
            base=None if found.base is None else float(found.base[k]),
            contributions=tuple(found.values[k].tolist()),
        )
        for k, (which, i) in enumerate(chosen)
    )


def _marker(path: Path) -> Path:
    return path.with_name(path.name + MARKER_SUFFIX)
