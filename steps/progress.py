"""Say what a step is at: the progress file, replaced at most a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from steps.contract import FamilyProgress, Progress, StepRequest
from steps.files import replace_quickly

EVERY_S = 0.5


class StepProgress:
    """Writes Progress snapshots; a new phase at once, else at most twice a second."""

    def __init__(self, request: StepRequest, clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._clock = clock
        self._started = clock()
        self._written = float("-inf")
        self._phase = ""
        self._families: dict[str, FamilyProgress] = {}

    def say(
        self,
        phase: str,
        message: str = "",
        *,
        families: Mapping[str, FamilyProgress] | None = None,
        time_left_s: float | None = None,
    ) -> None:
        """The step is in this phase now. families: Step 5's studies; None: as said last."""
        if families is not None:
            self._families = dict(families)
        now = self._clock()
        if phase == self._phase and now - self._written < EVERY_S:
            return
        self._phase, self._written = phase, now
        request = self._request
        snapshot = Progress(
            run_id=request.run_id,
            step=request.step,
            attempt=request.attempt,
            updated_at=datetime.now(UTC),
            phase=phase,
            families=self._families,
            elapsed_s=round(now - self._started, 1),
            time_left_s=None if time_left_s is None else round(time_left_s, 1),
            message=message,
        )
        replace_quickly(request.progress_path, snapshot.model_dump_json())
