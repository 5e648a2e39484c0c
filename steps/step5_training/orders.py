"""What people want while Step 5 runs: the policy file, the halt flag and SIGTERM, seen live."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gpu.params import Family
from steps.entry import stop_requested
from steps.policies import HALT_FILE, LivePolicy, Policy
from steps.step5_training.comparison import SWITCHED_OFF, Gpus, Orders

LOOK_EVERY_S = 1.0
LAST_TRIAL = "training.stop_after_trial in the policy; the trials that ran were finished"


class Desk:
    """Reads the orders at most once a second; a broken policy file changes nothing.

    usual: the orders as the run's own parameters have them; the policy makes them no looser.
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
        policy = self._policy.look()
        if policy.halt:
            reason = policy.halt_reason or "no reason given"
            return replace(self._usual, stop=f"halt in the policy: {reason}")
        if self._halt_file.exists():
            return replace(self._usual, stop=f"{HALT_FILE} exists")
        training = policy.training
        off = {
            family: SWITCHED_OFF
            for family in self._families
            if not getattr(training.families, family)
        }
        return Orders(
            last=LAST_TRIAL if training.stop_after_trial else None,
            families_off=off,
            persistent=self._usual.persistent and training.use_persistent_workers,
            tree_workers=_at_most(training.tree_parallel_workers, self._usual.tree_workers),
            networks=_at_most(training.n_concurrent_nn, self._usual.networks),
            gpus=allowed(policy),
            diagnostics=training.diagnostics,
        )


def allowed(policy: Policy) -> Gpus:
    """The GPUs that the policy allows."""
    return Gpus(policy.training.use_gpus, policy.training.gpus_off)


def _at_most(policy: int | None, parameter: int) -> int:
    """The smaller of two limits; 0 is no wish. A retry that lowers the parameter has its effect."""
    wishes = [wish for wish in (policy, parameter) if wish]
    return min(wishes, default=0)
