"""What people want while Step 5 runs: the policy file, the halt flag and SIGTERM, seen live."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gpu.params import Family
from steps.contract import StepRequest
from steps.entry import stop_requested
from steps.policies import HALT_FILE, LivePolicy, Policy
from steps.step5_training.comparison import SWITCHED_OFF, Gpus, Orders

log = logging.getLogger(__name__)
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
        policy = look(self._policy)
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


def open_policy(request: StepRequest) -> LivePolicy:
    """The policy file of a request; while it cannot be used, the policy that the watcher had."""
    last_good = None if request.policy is None else Policy.model_validate(request.policy)
    return LivePolicy(Path(request.policy_path), last_good)


def look(live: LivePolicy) -> Policy:
    """The policy in force now; what has changed since the last look goes to the log."""
    change = live.refresh()
    if change is not None and change.problem is not None:
        log.warning("policy file not used, the last good one stays: %s", change.problem)
    elif change is not None and change.changed:
        log.warning("policy changed: %s", "; ".join(change.changed))
    return live.current


def allowed(policy: Policy) -> Gpus:
    """The GPUs that the policy allows."""
    return Gpus(policy.training.use_gpus, policy.training.gpus_off)


def _at_most(policy: int | None, parameter: int) -> int:
    """The smaller of two limits; 0 is no wish. A retry that lowers the parameter has its effect."""
    wishes = [wish for wish in (policy, parameter) if wish]
    return min(wishes, default=0)
