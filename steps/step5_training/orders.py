"""What people want while Step 5 runs: the policy file, the halt flag and SIGTERM, seen live."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gpu.params import Family
from steps.entry import stop_requested
from steps.policies import HALT_FILE, LivePolicy
from steps.step5_training.comparison import Orders

log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0


class Desk:
    """Reads the orders at most once a second; a broken policy file changes nothing.

    usual: the orders as the run's own parameters have them; the policy may only restrict them.
    """

    def __init__(
        self,
        policy: LivePolicy,
        workspace: Path,
        families: Sequence[Family],
        usual: Orders,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._halt_file = workspace / HALT_FILE
        self._families = families
        self._usual = usual
        self._clock = clock
        self._looked_at = float("-inf")
        self._orders = usual

    def __call__(self) -> Orders:
        """The orders of this moment."""
        if stop_requested():
            return replace(self._orders, stop="the watcher asked to stop")
        if self._clock() - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = self._clock()
            self._orders = self._look()
        return self._orders

    def _look(self) -> Orders:
        change = self._policy.refresh()
        if change is not None and change.problem is not None:
            log.warning("policy file not used, the last good one stays: %s", change.problem)
        elif change is not None:
            log.warning("policy changed: %s", "; ".join(change.changed))
        policy = self._policy.current
        if policy.halt:
            reason = policy.halt_reason or "no reason given"
            return replace(self._usual, stop=f"halt in the policy: {reason}")
        if self._halt_file.exists():
            return replace(self._usual, stop=f"{HALT_FILE} exists")
        allowed = policy.training.families
        off = {
            family: "switched off by policy"
            for family in self._families
            if not getattr(allowed, family)
        }
        persistent = self._usual.persistent and policy.training.use_persistent_workers
        return replace(self._usual, families_off=off, persistent=persistent)
