"""Find what keeps a plan from starting, before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from agents.errors import Halted, WatcherError
from agents.inputs import check_module, check_outputs, find_inputs, require_inputs
from agents.plan import Plan, PlannedStep
from agents.workspace import Workspace, halt_reason
from steps.policies import HALT_FILE, Policy


def obstacles(plan: Plan, workspace: Workspace, policy: Policy, cwd: Path) -> list[WatcherError]:
    """Every reason why this plan cannot start now, as the error that a run would end with."""
    # A later step's inputs may be an earlier one's outputs: they need not be there yet.
    made = frozenset(path for step in plan.steps for path in step.manifest.outputs)
    checks: list[Callable[[], None]] = [partial(refuse_if_halted, workspace, policy)]
    for step in plan.steps:
        checks.append(partial(check_outputs, step.manifest, workspace))
        checks.append(partial(check_module, step.manifest, step.manifest.module))
        checks.append(partial(_check_inputs, step, made, workspace, cwd))
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


def _check_inputs(
    planned: PlannedStep, made: frozenset[str], workspace: Workspace, cwd: Path
) -> None:
    found = find_inputs(planned.manifest, planned.values, workspace, cwd)
    later = [item for item in found if item.given is None and made & {*item.spec.candidates}]
    require_inputs(planned.manifest, [item for item in found if item not in later])
