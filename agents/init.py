"""Lay out a workspace: policy, manifests and their schemas, never over a file that is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agents.errors import UsageError, WorkspaceError
from agents.workspace import MANIFESTS_FOLDER, SCHEMAS_FOLDER, expanded, packaged
from steps.files import write_text_atomic
from steps.policies import POLICY_FILE

_README = """\
This folder is a watcher workspace.

  watcher_policies.json   what you allow; edit it at any time, also while a run is on
  agent_manifests/        one file a step: parameters, bounds, defaults
  schemas/                what editors check these files with
  watcher_halt.flag       make this file to stop at the next safe point; remove it to go on
  .watcher/               ledger, logs, locks; safe to look at

Put survivors_with_scores.json (or .parquet) here, or name any table of your own:

  watcher --run-pipeline --start-step 5 --end-step 5 \\
      --params '{"survivors": "my_table.csv", "target": "my_column", "trials": 20}'

  watcher --status     what runs, what ran last, where the files are
  watcher --help       everything else
"""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """What init did: paths from the folder that were made, and those that were there and kept."""

    folder: Path
    created: tuple[str, ...]
    kept: tuple[str, ...]


def lay_out(folder: Path) -> LaidOut:
    """Make a workspace at `folder`; raises UsageError if that is a file, WorkspaceError on disk."""
    root = expanded(folder).absolute()
    if root.exists() and not root.is_dir():
        raise UsageError(f"--init must name a folder, got the file {root}")
    files = _packaged_texts()
    kept = tuple(name for name in files if (root / name).exists())
    created = tuple(name for name in files if name not in kept)
    try:
        for name in created:
            write_text_atomic(root / name, files[name])
    except OSError as error:
        raise WorkspaceError(f"--init: {root} cannot be written: {error}") from None
    return LaidOut(root, created, kept)


def _packaged_texts() -> dict[str, str]:
    """Content by path in the workspace; "$schema" is turned to where the schemas lie there."""
    texts = {"README.txt": _README}
    policy = packaged(POLICY_FILE).read_text("utf-8")
    texts[POLICY_FILE] = policy.replace('"docs/schemas/', f'"{SCHEMAS_FOLDER}/')
    for path in sorted(packaged(MANIFESTS_FOLDER).glob("*.json")):
        text = path.read_text("utf-8")
        texts[f"{MANIFESTS_FOLDER}/{path.name}"] = text.replace(
            '"../docs/schemas/', f'"../{SCHEMAS_FOLDER}/'
        )
    for path in sorted(packaged(SCHEMAS_FOLDER).glob("*.schema.json")):
        texts[f"{SCHEMAS_FOLDER}/{path.name}"] = path.read_text("utf-8")
    return texts
