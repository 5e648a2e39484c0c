"""Know every path of a workspace by name, and the packaged files that stand in for missing ones."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from agents.errors import WorkspaceError
from steps.policies import HALT_FILE, POLICY_FILE, Policy

MANIFESTS_FOLDER = "agent_manifests"
SCHEMAS_FOLDER = "schemas"
WINNER_SIDECAR = "models/reinforcement/best_model.meta.json"

_PACKAGE = Path(__file__).resolve().parent
IMPORT_ROOT = _PACKAGE.parent


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder that runs work in. root: absolute, symlinks resolved."""

    root: Path

    @classmethod
    def open(cls, folder: Path) -> Workspace:
        """The workspace at `folder`; raises WorkspaceError if that is no folder."""
        root = real(expanded(folder))
        if root.is_dir():
            return cls(root)
        if root.exists():
            raise WorkspaceError(f"--workspace: must be a folder, got the file {root}")
        raise WorkspaceError(
            f"--workspace: must be a folder, got nothing there: {root}; "
            f"`watcher --init {shlex.quote(str(folder))}` makes one"
        )

    @property
    def own_policy_file(self) -> Path:
        """The workspace's policy, whether it is there or not."""
        return self.root / POLICY_FILE

    @property
    def policy_file(self) -> Path:
        """The workspace's own policy, else the packaged default.

        Commands ask commands.surroundings.policy_in_force, which knows whether one is gone.
        """
        own = self.own_policy_file
        # A link that leads nowhere is a policy that cannot be read, not a workspace without one.
        return own if os.path.lexists(own) else packaged(POLICY_FILE)

    @property
    def manifests_folder(self) -> Path:
        """The manifests in force: the workspace's own folder, else the packaged one."""
        own = self.root / MANIFESTS_FOLDER
        return own if own.is_dir() else packaged(MANIFESTS_FOLDER)

    @property
    def halt_file(self) -> Path:
        """Exists: stop at the next safe point, start nothing."""
        return self.root / HALT_FILE

    @property
    def winner_sidecar(self) -> Path:
        """The sidecar of the model that predictions are made with."""
        return self.root / WINNER_SIDECAR

    @property
    def state_folder(self) -> Path:
        """The watcher's own folder; made by the first run."""
        return self.root / ".watcher"

    @property
    def ledger_file(self) -> Path:
        """Runs, attempts and decisions (SQLite)."""
        return self.state_folder / "ledger.sqlite"

    @property
    def lock_file(self) -> Path:
        """Held by the one watcher that may work here."""
        return self.state_folder / "watcher.lock"

    @property
    def holder_file(self) -> Path:
        """Who holds the lock."""
        return self.state_folder / "watcher.json"

    @property
    def written_folders(self) -> tuple[Path, ...]:
        """Folders that the watcher and its steps alone write into."""
        names = ("diagnostics_outputs", "models", "predictions")
        return (self.state_folder, *(self.root / name for name in names))

    def attempt_folder(self, run_id: str, what: str, attempt: int) -> Path:
        """Where one attempt keeps request, result, progress and log. what: "step5", "predict"."""
        return self.state_folder / "runs" / run_id / f"{what}-attempt{attempt}"

    def make_private(self, folder: Path) -> None:
        """Make an attempt's folder and those above it, for the eyes of the owner alone.

        What a step writes there may quote its parameters, and those may hold a password.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for each in (folder, *folder.parents):
            if each in (self.state_folder, self.root):
                break
            each.chmod(0o700)

    def inside(self, path: str) -> Path | None:
        """The file at a path from the workspace; None if a symlink or .. leads out of it."""
        resolved = (self.root / path).resolve()
        return resolved if resolved.is_relative_to(self.root) else None

    def shown(self, path: Path) -> str:
        """A path for people: from the workspace where it lies inside, else absolute."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def expanded(path: Path | str) -> Path:
    """A path with its ~ replaced by a home; one whose home is unknown stays as it was typed."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # ~somebody who has no home here
        return Path(path)


def real(path: Path) -> Path:
    """The absolute path with symlinks followed; unlike Path.resolve it takes a circle of them."""
    return Path(os.path.realpath(path))


def packaged(name: str) -> Path:
    """A file or folder that ships with the product.

    name: POLICY_FILE, MANIFESTS_FOLDER or SCHEMAS_FOLDER. A wheel carries them in
    agents/_packaged, a checkout at its top level (the schemas in docs/schemas).
    """
    in_wheel = _PACKAGE / "_packaged" / name
    if in_wheel.exists():
        return in_wheel
    return IMPORT_ROOT / ("docs/schemas" if name == SCHEMAS_FOLDER else name)


def halt_reason(workspace: Workspace, policy: Policy) -> str | None:
    """Why nothing may start or go on, or None. Reads the halt file and the policy given."""
    try:
        text = workspace.halt_file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        pass
    except OSError:  # it exists in some form: that is what counts
        return f"{HALT_FILE} exists"
    else:
        reason = " ".join(text[:500].split())[:200]
        return f"{HALT_FILE} exists" + (f": {reason}" if reason else "")
    if policy.halt:
        return f"{POLICY_FILE} says halt" + (
            f": {policy.halt_reason}" if policy.halt_reason else ""
        )
    return None
