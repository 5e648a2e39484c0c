"""What every command stands in: the workspace, the policy, the clock, the screen."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from agents.errors import LedgerError
from agents.ledger import Ledger
from agents.manifests import Manifest, load_manifests
from agents.run import Surroundings
from agents.views.run_view import PlainView, QuietView, RunView
from agents.views.screen import message_console
from agents.workspace import Workspace
from steps.policies import LivePolicy, Policy, PolicyError, load_policy


def surroundings(
    flags: argparse.Namespace, workspace: Workspace, *, had_own: bool = False
) -> Surroundings:
    """What a run stands in; raises PolicyError. had_own: as in policy_in_force."""
    # One path for the whole run: a policy that appears or vanishes must not swap it half-way.
    policy_path = policy_in_force(workspace, had_own=had_own)
    return Surroundings(
        workspace=workspace,
        policy_path=policy_path,
        live=LivePolicy(policy_path),
        view=_view(flags),
        cwd=Path.cwd(),
        environ=dict(os.environ),
        now=local_now,
        echo=sys.stderr.buffer if flags.verbose else None,
    )


def manifest_reader(
    workspace: Workspace, packages: Sequence[str]
) -> Callable[[], tuple[Manifest, ...]]:
    """Reads the manifests in force, under the policy's own packages too."""
    return lambda: load_manifests(
        workspace.manifests_folder,
        (*packages, *load_policy(policy_in_force(workspace)).steps.allowed_packages),
    )


def policy_reader(workspace: Workspace) -> Callable[[], Policy]:
    """Reads the policy in force."""
    return lambda: load_policy(policy_in_force(workspace))


def policy_in_force(workspace: Workspace, *, had_own: bool = False) -> Path:
    """The workspace's own policy, else the packaged one; raises PolicyError if the own one is gone.

    It is gone where the last run had it, or had_own says so: the packaged one may allow more than
    people have allowed here.
    """
    own = workspace.own_policy_file
    if not os.path.lexists(own) and (had_own or _last_run_had_own(workspace)):
        init = f"`watcher --init {shlex.quote(str(workspace.root))}`"
        raise PolicyError(
            f"{own}: is gone, and the last run here stood under it; put it back, or lay out the "
            f"packaged one with {init}"
        )
    return workspace.policy_file


def _last_run_had_own(workspace: Workspace) -> bool:
    if not workspace.ledger_file.exists():
        return False
    try:
        with Ledger.read(workspace.ledger_file, local_now) as ledger:
            row = ledger.last_run()
    except LedgerError as error:
        raise PolicyError(
            f"{workspace.own_policy_file}: is not there, and whether the last run stood under one "
            f"cannot be told: {error}"
        ) from None
    return row is not None and json.loads(row["request"]).get("policy") == "own"


def local_now() -> datetime:
    """The time here, with its offset from UTC."""
    return datetime.now().astimezone()


def _view(flags: argparse.Namespace) -> RunView:
    console = message_console()
    if flags.quiet:
        return QuietView(console)
    # The panel and the step's own lines would fight for the same screen.
    if flags.verbose or not console.is_terminal or console.is_dumb_terminal:
        return PlainView(console)
    from agents.views.live import LiveView

    return LiveView(console)
