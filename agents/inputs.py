"""Find the files that a step reads, and refuse outputs that would leave the workspace."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.errors import InputMissing, ManifestError
from agents.manifests import InputSpec, Manifest
from agents.workspace import IMPORT_ROOT, Workspace, expanded


@dataclass(frozen=True, slots=True)
class FoundInput:
    """Where an input is, or where it was looked for. path: absolute, None if it is missing."""

    spec: InputSpec
    given: str | None
    path: Path | None
    searched: tuple[Path, ...]
    problem: str = ""


def find_inputs(
    manifest: Manifest, values: dict[str, Any], workspace: Workspace, cwd: Path
) -> tuple[FoundInput, ...]:
    """Look for every input: the file its parameter names, else the first candidate there is.

    A relative path that a person gave is looked for in the workspace first, then in `cwd`.
    """
    return tuple(_find(spec, values, workspace, cwd) for spec in manifest.inputs)


def require_inputs(manifest: Manifest, found: Sequence[FoundInput]) -> dict[str, str]:
    """Absolute path by input name; raises InputMissing naming the parameter and the places."""
    for item in found:
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


def _find(spec: InputSpec, values: dict[str, Any], workspace: Workspace, cwd: Path) -> FoundInput:
    given = values.get(spec.param) if spec.param else None
    if given is None:
        searched = tuple(workspace.root / candidate for candidate in spec.candidates)
    else:
        path = expanded(given)
        places = (workspace.root / path, cwd / path)  # an absolute path stays itself
        searched = tuple(dict.fromkeys(places))
    for path in searched:
        if path.is_file():
            return FoundInput(spec, given, path.resolve(), searched)
    folders = [path for path in searched if path.is_dir()]
    problem = "it is a folder" if folders else ""
    return FoundInput(spec, given, None, searched, problem)
