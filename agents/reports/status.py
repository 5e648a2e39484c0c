"""Gather what --status tells: the last run, what runs now, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agents.ledger import Ledger
from agents.manifests import Manifest
from agents.reports.advice import next_steps
from agents.reports.run_status import AttemptStatus, RunStatus, run_status
from agents.workspace import Workspace, halt_reason
from steps.policies import Policy

__all__ = ["AttemptStatus", "RunStatus", "Status", "gather_status"]


@dataclass(frozen=True, slots=True)
class Status:
    """What --status shows. halt: why nothing may start; policy_problem: why none is in force."""

    workspace: Path
    now: datetime
    run: RunStatus | None
    halt: str | None
    policy_problem: str | None
    has_winner: bool
    next_steps: tuple[str, ...]


def gather_status(
    workspace: Workspace,
    read_policy: Callable[[], Policy],
    read_manifests: Callable[[], tuple[Manifest, ...]],
    now: Callable[[], datetime],
) -> Status:
    """Read the ledger, the progress of what runs, policy and halt file; raises LedgerError."""
    run = None
    if workspace.ledger_file.exists():
        with Ledger.read(workspace.ledger_file, now) as ledger:
            row = ledger.last_run()
            run = None if row is None else run_status(ledger, row, workspace)
    try:
        policy, policy_problem = read_policy(), None
    except ValueError as error:
        policy, policy_problem = Policy(), str(error)
    halt = halt_reason(workspace, policy)
    has_winner = workspace.winner_sidecar.is_file()
    following = next_steps(
        workspace,
        run,
        halt=halt,
        policy_problem=policy_problem,
        has_winner=has_winner,
        read_manifests=read_manifests,
    )
    return Status(workspace.root, now(), run, halt, policy_problem, has_winner, following)
