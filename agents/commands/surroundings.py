"""What every command stands in: the workspace, the policy, the clock, the screen."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from agents.manifests import Manifest, load_manifests
from agents.run import Surroundings
from agents.views.run_view import PlainView, QuietView, RunView
from agents.views.screen import message_console
from agents.workspace import Workspace
from steps.policies import LivePolicy, Policy, load_policy


def surroundings(flags: argparse.Namespace, workspace: Workspace) -> Surroundings:
    """What a run stands in; raises PolicyError."""
    # One path for the whole run: a policy that appears or vanishes must not swap it half-way.
    policy_path = workspace.policy_file
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
        (*packages, *load_policy(workspace.policy_file).steps.allowed_packages),
    )


def policy_reader(workspace: Workspace) -> Callable[[], Policy]:
    """Reads the policy in force."""
    return lambda: load_policy(workspace.policy_file)


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
