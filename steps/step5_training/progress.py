"""Keep the progress file of a run fresh: a snapshot for whoever looks, a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from steps.contract import FamilyProgress, Progress, StepRequest, TrialNow
from steps.files import replace_quickly
from steps.step5_training.study import FamilyStudy

EVERY_S = 0.5


class ProgressFile:
    """Writes Progress snapshots; a new phase at once, else at most twice a second."""

    def __init__(self, request: StepRequest, clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._clock = clock
        self._started = clock()
        self._written = float("-inf")
        self._phase = "starting"
        self._families: dict[str, FamilyProgress] = {}

    def phase(self, phase: str) -> None:
        """A new phase has begun."""
        self._phase = phase
        self._write(None, "")

    def families(
        self, families: dict[str, FamilyProgress], time_left_s: float | None, message: str
    ) -> None:
        """The studies' state, while they run."""
        self._families = families
        if self._clock() - self._written >= EVERY_S:
            self._write(time_left_s, message)

    def _write(self, time_left_s: float | None, message: str) -> None:
        self._written = self._clock()
        request = self._request
        snapshot = Progress(
            run_id=request.run_id,
            step=request.step,
            attempt=request.attempt,
            updated_at=datetime.now(UTC),
            phase=self._phase,
            families=self._families,
            elapsed_s=round(self._written - self._started, 1),
            time_left_s=None if time_left_s is None else round(time_left_s, 1),
            message=message,
        )
        replace_quickly(request.progress_path, snapshot.model_dump_json())


def family_progress(study: FamilyStudy, running: tuple[TrialNow, ...]) -> FamilyProgress:
    """Where one study stands."""
    states = [trial.state.name for trial in study.finished]
    return FamilyProgress(
        trials=study.trials,
        complete=states.count("COMPLETE"),
        pruned=states.count("PRUNED"),
        failed=states.count("FAIL"),
        best=study.best.mean_r2 if study.best else None,
        running=running,
    )
