"""Checkpoints with their sidecars: publish a whole run at once, open only what verifies.

A run's models are laid out in a version folder; `models/<agent>` is a symbolic link to the version
in force. Publishing is one rename of that link: readers see the old run's files or the new run's,
never a mixture. A checkpoint is opened only through its sidecar, and only if its SHA-256 matches.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from steps.contract import Scores, Signal
from steps.files import sha256_file, sha256_text, write_text_atomic
from steps.policies import validation_message

SIDECAR = "best_model.meta.json"
VERSIONS = ".versions"
# In a version folder while a person is asked about it; its text: what was in force at that time.
WAITS_FILE = ".waits-for-approval"
# In a version folder that was published; its text: what was in force before.
REPLACED_FILE = ".replaced"
VERSIONS_KEPT = 5


class ArtifactError(ValueError):
    """An artifact that must not be used; the message names the file and what is wrong with it."""


class Sidecar(BaseModel):
    """Everything that a checkpoint means. checkpoint_path: from the workspace."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    schema_version: Literal[1] = 1
    run_id: str
    created_at: datetime
    model_type: str
    checkpoint_path: str
    checkpoint_format: str
    checkpoint_sha256: str
    target: str
    feature_names: tuple[str, ...]
    feature_schema_hash: str
    preprocessing: dict[str, Any]
    params: dict[str, Any]
    rounds: int
    versions: dict[str, str]
    metrics: dict[Literal["cv", "holdout"], Scores]
    signal: Signal


@dataclass(frozen=True, slots=True)
class Artifact:
    """A checkpoint whose hash has been checked, and its sidecar."""

    sidecar: Sidecar
    checkpoint: Path


def feature_schema_hash(feature_names: tuple[str, ...]) -> str:
    """SHA-256 of the feature names in their order."""
    return sha256_text("\n".join(feature_names))


def write_sidecar(sidecar: Sidecar, folder: Path) -> Path:
    """Write a sidecar into a folder that holds its checkpoint."""
    path = folder / SIDECAR
    write_text_atomic(path, sidecar.model_dump_json(indent=2) + "\n")
    return path


def version_folder(workspace: Path, agent_name: str, run_id: str, attempt: int) -> Path:
    """An empty folder to lay an attempt's models out in, on the same file system as the link.

    What the link points to is never touched.
    """
    in_force = (workspace / "models" / agent_name).resolve()
    folder = version_of(workspace, run_id, attempt)
    if folder.exists():
        if folder.resolve() == in_force:
            raise ArtifactError(f"{folder}: this attempt has published its models already")
        shutil.rmtree(folder)  # laid out by a process that was killed before it published
    folder.mkdir(parents=True)
    return folder


def version_of(workspace: Path, run_id: str, attempt: int) -> Path:
    """The folder that an attempt's models are laid out in, whether it is there or not."""
    name = run_id if attempt == 1 else f"{run_id}-attempt{attempt}"
    return workspace / "models" / VERSIONS / name


def version_in_force(workspace: Path, agent_name: str) -> Path | None:
    """The version folder that the link points to, from the workspace; None if there is none."""
    link = workspace / "models" / agent_name
    return Path("models") / VERSIONS / link.readlink().name if link.is_symlink() else None


def versions_in_force(workspace: Path) -> dict[str, Path]:
    """The version in force of each agent that has one, as version_in_force says it."""
    models = workspace / "models"
    links = sorted(path.name for path in models.iterdir()) if models.is_dir() else []
    found = {name: version_in_force(workspace, name) for name in links if name[0] != "."}
    return {name: version for name, version in found.items() if version is not None}


def publish(workspace: Path, agent_name: str, version: Path) -> None:
    """Put a version folder in force by one rename; keep the last few versions."""
    link = workspace / "models" / agent_name
    _sync_tree(version)
    if link.is_dir() and not link.is_symlink():
        # A copy of a workspace has a plain folder here: it becomes a version like any other.
        link.rename(_adopted(version))
    before = version_in_force(workspace, agent_name)
    if before is None or workspace / before != version:  # not when it is published once more
        write_text_atomic(version / REPLACED_FILE, str(before or ""))
    _point(link, version)
    (version / WAITS_FILE).unlink(missing_ok=True)
    # What was in force stays: whoever judges the new models may turn the link back.
    keep_last_versions(workspace, version, *([workspace / before] if before else []))


def turn_back(workspace: Path, agent_name: str, version: Path, before: Path | None) -> Path | None:
    """Put in force again what was before `version` was published; returns it, None for nothing.

    version, before: from the workspace; before: None where there was no link. No version is
    deleted. Raises ArtifactError, and changes nothing, where another version is in force, or the
    one before is gone.
    """
    link = workspace / "models" / agent_name
    if version_in_force(workspace, agent_name) != version:
        raise ArtifactError(f"{link}: another version is in force meanwhile")
    adopted = _adopted(workspace / version)
    if before is None and adopted.is_dir():
        before = adopted.relative_to(workspace)
    if before is None:
        link.unlink()
        return None
    if not (workspace / before).is_dir():
        raise ArtifactError(f"{workspace / before}: was in force before, and is gone")
    _point(link, workspace / before)
    return before


def replaced_by(workspace: Path, version: Path) -> Path | None:
    """What was in force before a version (from the workspace) was published; None: no link.

    Raises OSError where it is not known.
    """
    text = (workspace / version / REPLACED_FILE).read_text(encoding="utf-8")
    return Path(text) if text else None


def let_wait(workspace: Path, agent_name: str, version: Path) -> str | None:
    """Keep a version folder while a person is asked whether to publish it.

    Returns what is in force now, from the workspace (None: nothing): the answer holds for that
    only, and the folder is kept no longer than that stays in force.
    """
    in_force = version_in_force(workspace, agent_name)
    text = str(in_force) if in_force else ""
    write_text_atomic(version / WAITS_FILE, text)
    return text or None


def wait_no_more(workspace: Path, version: str | Path) -> None:
    """Nobody is asked about a version any more: it may be dropped like any other."""
    (workspace / version / WAITS_FILE).unlink(missing_ok=True)


def publish_version(workspace: Path, agent_name: str, version: str | Path) -> Sidecar:
    """Put a version that was laid out, but not published, in force; returns the winner's sidecar.

    version: its folder, from the workspace. Every checkpoint in it must have the SHA-256 that its
    sidecar says; else, or where it is no version folder, ArtifactError, and nothing has changed.
    """
    folder = workspace / version
    versions = workspace / "models" / VERSIONS
    if folder.resolve().parent != versions.resolve() or folder.is_symlink() or not folder.is_dir():
        raise ArtifactError(f"{folder}: wanted a version folder in {versions}; it is none, or gone")
    for path in [folder / SIDECAR, *sorted(folder.glob(f"*/{SIDECAR}"))]:
        sidecar = read_sidecar(path)
        expected = Path("models") / agent_name / path.parent.relative_to(folder)
        if Path(sidecar.checkpoint_path).parent != expected:
            raise ArtifactError(
                f"{path}: checkpoint_path is {sidecar.checkpoint_path}, wanted a file in {expected}"
            )
        _verified(path.parent, sidecar)
    publish(workspace, agent_name, folder)
    return read_sidecar(folder / SIDECAR)


def keep_last_versions(workspace: Path, *spared: Path) -> None:
    """Delete all but the last few version folders.

    Never those `spared`, in force, or waiting for an approval that can still be given.
    """
    in_force = {str(version) for version in versions_in_force(workspace).values()}
    kept = {path.resolve() for path in (*spared, *(workspace / name for name in in_force))}
    others = [
        path
        for path in (workspace / "models" / VERSIONS).iterdir()
        if path.is_dir() and path.resolve() not in kept and not _waits(path, in_force)
    ]
    others.sort(key=lambda path: path.stat().st_mtime)
    room = max(0, VERSIONS_KEPT - len(kept))
    for old in others[: max(0, len(others) - room)]:
        shutil.rmtree(old)


def open_artifact(workspace: Path, sidecar_path: Path) -> Artifact:
    """Read a sidecar and verify its checkpoint; raises ArtifactError naming what is wrong.

    The link is resolved once, so sidecar and checkpoint are of one run even while another
    publishes.
    """
    if not sidecar_path.is_file():
        raise ArtifactError(f"{sidecar_path}: no such model; run step 5 first")
    folder = sidecar_path.parent.resolve()
    sidecar = read_sidecar(folder / sidecar_path.name)
    stated = Path(sidecar.checkpoint_path)
    if (workspace / stated).parent.resolve() != folder:
        path = folder / sidecar_path.name
        raise ArtifactError(f"{path}: checkpoint_path {stated} does not lie beside its sidecar")
    return Artifact(sidecar, _verified(folder, sidecar))


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar without its checkpoint; raises ArtifactError naming what is wrong."""
    if not path.is_file():
        raise ArtifactError(f"{path}: no such sidecar")
    try:
        sidecar = Sidecar.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ArtifactError(f"{path}: not a sidecar: {validation_message(error)}") from None
    expected = feature_schema_hash(sidecar.feature_names)
    if sidecar.feature_schema_hash != expected:
        raise ArtifactError(
            f"{path}: feature_schema_hash is {sidecar.feature_schema_hash}, "
            f"the feature names give {expected}"
        )
    stated = Path(sidecar.checkpoint_path)
    if stated.is_absolute() or ".." in stated.parts:
        raise ArtifactError(f"{path}: checkpoint_path leaves the workspace: {stated}")
    return sidecar


def _point(link: Path, version: Path) -> None:
    """Turn the link by one rename."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(Path(VERSIONS) / version.name, target_is_directory=True)
    temporary.replace(link)


def _adopted(version: Path) -> Path:
    """Where the plain folder lies that `version` has replaced."""
    return version.parent / f"adopted-before-{version.name}"


def _waits(version: Path, in_force: Collection[str]) -> bool:
    """Whether a person is asked about it, and what it would replace is in force still."""
    try:
        asked_over = (version / WAITS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return asked_over in in_force if asked_over else not in_force


def _verified(folder: Path, sidecar: Sidecar) -> Path:
    """The checkpoint in the folder, if it is the one that the sidecar was written for."""
    checkpoint = folder / Path(sidecar.checkpoint_path).name
    if checkpoint.is_symlink() or not checkpoint.is_file():
        raise ArtifactError(f"{checkpoint}: the checkpoint named by its sidecar is missing")
    sha256 = sha256_file(checkpoint)
    if sha256 != sidecar.checkpoint_sha256:
        raise ArtifactError(
            f"{checkpoint}: SHA-256 is {sha256}, its sidecar says {sidecar.checkpoint_sha256}; "
            "the file is not the one that was trained"
        )
    return checkpoint


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
