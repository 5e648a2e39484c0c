"""Find the files that a step reads, and refuse outputs that would leave the workspace."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import InputMissing, ManifestError, ParameterError
from agents.manifests import InputSpec, Manifest
from agents.workspace import IMPORT_ROOT, Workspace, expanded, real
from steps.policies import PathsPolicy


@dataclass(frozen=True, slots=True)
class FoundInput:
    """Where an input is, or where it was looked for. path: absolute, None if it is missing.

    refused: why a file that is there must not be read.
    """

    spec: InputSpec
    given: str | None
    path: Path | None
    searched: tuple[Path, ...]
    problem: str = ""
    refused: str = ""


def find_inputs(
    manifest: Manifest,
    values: dict[str, Any],
    workspace: Workspace,
    cwd: Path,
    paths: PathsPolicy,
) -> tuple[FoundInput, ...]:
    """Look for every input: the file its parameter names, else the first candidate there is.

    A relative path that a person gave is looked for in the workspace first, then in `cwd`; where
    .. or a symlink leads out of both, `paths` must allow it.
    """
    return tuple(_find(spec, values, workspace, cwd, paths) for spec in manifest.inputs)


def require_inputs(manifest: Manifest, found: Sequence[FoundInput]) -> dict[str, str]:
    """Absolute path by input name; raises InputMissing naming the parameter and the places.

    Raises ParameterError or ManifestError for a path that must not be read.
    """
    for item in found:
        if item.refused and item.given is not None:
            raise ParameterError(f"{item.spec.param}: {item.given!r} {item.refused}")
        if item.refused:
            raise ManifestError(f"{manifest.file_name}: inputs.{item.spec.name}: {item.refused}")
        if item.path is None and (item.spec.required or item.given is not None):
            raise InputMissing(f"step {manifest.step} ({manifest.agent_name}): {missing(item)}")
    return {item.spec.name: str(item.path) for item in found if item.path is not None}


def missing(item: FoundInput) -> str:
    """The sentence for an input that is not there."""
    searched = ", ".join(str(path) for path in item.searched)
    if item.given is not None:
        problem = item.problem or "there is no such file"
        return f"{item.spec.param} must name a file, got {item.given!r}: {problem} ({searched})"
    how = f"; give its path with the parameter {item.spec.param!r}" if item.spec.param else ""
    return f"its input {item.spec.name!r} is not there; looked for {searched}{how}"


def check_outputs(manifest: Manifest, workspace: Workspace) -> None:
    """Raise ManifestError if a symlink leads a declared output out of the workspace."""
    for path in manifest.outputs:
        if workspace.inside(path) is None:
            raise ManifestError(
                f"{manifest.file_name}: outputs: must stay inside the workspace, got {path}, "
                f"which leads to {(workspace.root / path).resolve()}"
            )


def check_module(manifest: Manifest, module: str) -> None:
    """Raise ManifestError if a module is not installed. Looks for it without importing anything."""
    search: list[str] | None = [str(IMPORT_ROOT), *sys.path]
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}".lstrip(".")
        spec = importlib.machinery.PathFinder.find_spec(name, search)
        if spec is None:
            raise ManifestError(
                f"{manifest.file_name}: module: must be installed, got {module} (no {name})"
            )
        locations = spec.submodule_search_locations
        search = list(locations) if locations is not None else []


def _find(
    spec: InputSpec, values: dict[str, Any], workspace: Workspace, cwd: Path, paths: PathsPolicy
) -> FoundInput:
    given = values.get(spec.param) if spec.param else None
    homes = [workspace.root, *(real(Path(root)) for root in paths.allowed_roots)]
    if given is None:
        searched = tuple(workspace.root / candidate for candidate in spec.candidates)
    else:
        path = expanded(given)  # an absolute path stays itself
        searched = tuple(dict.fromkeys((workspace.root / path, cwd / path)))
        homes.append(real(cwd))
        if path.is_absolute() and paths.inputs_by_absolute_path:
            homes.append(Path(path.anchor))
    for path in searched:
        if not path.is_file():
            continue
        target = real(path)
        if any(target.is_relative_to(home) for home in homes):
            return FoundInput(spec, given, target, searched)
        refused = (
            f"leads out of the workspace to {target}; the policy allows no folder that holds it "
            "(paths.allowed_roots)"
        )
        return FoundInput(spec, given, None, searched, refused=refused)
    folders = [path for path in searched if path.is_dir()]
    problem = "it is a folder" if folders else ""
    return FoundInput(spec, given, None, searched, problem)
