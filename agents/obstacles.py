"""Find what keeps a plan from starting, before anything is started."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from agents.errors import Halted, WatcherError, WorkspaceError
from agents.inputs import check_module, check_outputs, find_inputs, require_inputs
from agents.lock import refuse_if_busy
from agents.plan import Plan, PlannedStep
from agents.preflight import check_inputs
from agents.workspace import Workspace, halt_reason
from steps.policies import HALT_FILE, Policy


def obstacles(plan: Plan, workspace: Workspace, policy: Policy, cwd: Path) -> list[WatcherError]:
    """Every reason why this plan cannot start now, as the error that a run would end with."""
    # A later step's inputs may be an earlier one's outputs: they need not be there yet.
    made = frozenset(path for step in plan.steps for path in step.manifest.outputs)
    checks: list[Callable[[], None]] = [
        partial(refuse_if_halted, workspace, policy),
        partial(_refuse_if_not_allowed, plan, policy),
        partial(_check_writable, workspace),
        partial(refuse_if_busy, workspace),
    ]
    for step in plan.steps:
        checks.append(partial(check_outputs, step.manifest, workspace))
        checks.append(partial(check_module, step.manifest, step.manifest.module))
        checks.append(partial(_check_inputs, step, made, workspace, cwd, policy))
    found = []
    for check in checks:
        try:
            check()
        except WatcherError as error:
            found.append(error)
    return found


def refuse_if_halted(workspace: Workspace, policy: Policy) -> None:
    """Raise Halted if the policy or the halt file forbids to start anything."""
    if reason := halt_reason(workspace, policy):
        how = f"remove {HALT_FILE}" if reason.startswith(HALT_FILE) else "set halt to false"
        raise Halted(f"nothing was started: {reason}; {how} to go on")


def _refuse_if_not_allowed(plan: Plan, policy: Policy) -> None:
    # Steps before a forbidden one may run; a plan whose first step is forbidden does nothing.
    first = plan.steps[0].manifest.step
    if first in policy.steps.do_not_start:
        raise Halted(f"step {first} was not started: the policy names it in steps.do_not_start")


def _check_writable(workspace: Workspace) -> None:
    for folder in (workspace.root, workspace.state_folder):
        if not os.path.lexists(folder):  # the run makes it
            continue
        if not folder.is_dir():
            raise WorkspaceError(f"{folder}: must be a folder, got something else")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise WorkspaceError(
                f"{folder}: cannot be written to, and a run keeps its papers there"
            )


def _check_inputs(
    planned: PlannedStep, made: frozenset[str], workspace: Workspace, cwd: Path, policy: Policy
) -> None:
    found = find_inputs(planned.manifest, planned.values, workspace, cwd, policy.paths)
    later = [item for item in found if item.given is None and made & {*item.spec.candidates}]
    present = [item for item in found if item not in later]
    check_inputs(planned.manifest, require_inputs(planned.manifest, present))
