"""Gather what a step's results depend on, and what its success left, as values to compare."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from agents.errors import InputMissing, ManifestError, WorkspaceError
from agents.freshness import (
    CodeFact,
    Freshness,
    HiddenFact,
    InputFact,
    OutputFact,
    StepFacts,
    Success,
    SuccessFacts,
    judge_freshness,
    nobody_known,
    quoted,
    read_success,
)
from agents.manifests import Manifest
from agents.parameters import Parameter
from agents.recall.fingerprints import Fingerprints, Progress, printable
from agents.secrets import has_secret, mask, secrets_in
from agents.workspace import IMPORT_ROOT, Workspace
from steps.contract import StepResult
from steps.files import sha256_text

# Libraries that models and scores depend on.
LIBRARIES = ("numpy", "optuna", "torch", "xgboost", "lightgbm", "catboost", "scikit-learn")
# Parameters that say how to get at a result, not which.
WITHOUT_EFFECT = frozenset({"resume"})

_STEP_FOLDER = re.compile(r"step\d+_")


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """A success that no later run may rely on. reason: a sentence for people."""

    reason: str


def ask_freshness(
    manifest: Manifest,
    parameters: Sequence[Parameter],
    inputs: Mapping[str, str],
    last_success: Mapping[str, Any] | None,
    workspace: Workspace,
    fingerprints: Fingerprints,
    *,
    forced: str | None = None,
    shown: Callable[[str, JsonValue], str] = quoted,
    wrote: Callable[[str, str], str | None] = nobody_known,
    progress: Progress | None = None,
) -> tuple[StepFacts, Freshness]:
    """What the step depends on now, and whether it must run. Ask before the first attempt.

    parameters: as asked for, before any retry changes them. inputs: absolute path by name.
    last_success: its row of the ledger. forced, shown, wrote: as in judge_freshness. progress: as
    in Fingerprints. Raises InputMissing, ManifestError or WorkspaceError naming the file.
    """
    facts = facts_before(manifest, parameters, inputs, fingerprints, progress)
    recorded = read_success(last_success) if last_success is not None else None
    try:
        # Where the step runs in any case, nobody asks what it had left.
        outputs = (
            outputs_as_they_are(manifest, recorded, workspace, fingerprints, progress)
            if forced is None
            else {}
        )
    except WorkspaceError as error:
        return facts, Freshness(True, (f"an output cannot be looked at: {error}",))
    ignored = ignored_parameters(manifest)
    return facts, judge_freshness(
        facts, recorded, outputs, forced, ignored=ignored, shown=shown, wrote=wrote
    )


def ignored_parameters(manifest: Manifest) -> frozenset[str]:
    """Parameters that freshness leaves out; of one that names an input, the content counts."""
    return WITHOUT_EFFECT | {spec.param for spec in manifest.inputs if spec.param is not None}


def facts_before(
    manifest: Manifest,
    parameters: Sequence[Parameter],
    inputs: Mapping[str, str],
    fingerprints: Fingerprints,
    progress: Progress | None = None,
) -> StepFacts:
    """What the step depends on, as it is now; arguments and errors as in ask_freshness."""
    values = {parameter.name: parameter.value for parameter in parameters}
    secrets = secrets_in(values)
    return StepFacts(
        inputs=tuple(
            _input(name, Path(path), fingerprints, progress) for name, path in inputs.items()
        ),
        parameters={name: mask(value, name, secrets) for name, value in values.items()},
        hidden=_hidden(values),
        manifest=manifest_sha256(manifest),
        code=CodeFact(sources=code_version(manifest.module), libraries=library_versions()),
    )


def outputs_as_they_are(
    manifest: Manifest,
    recorded: Success | None,
    workspace: Workspace,
    fingerprints: Fingerprints,
    progress: Progress | None = None,
) -> dict[str, str | None]:
    """SHA-256 now of every output that counts, by path from the workspace; None: not there.

    Those of the record and those that the manifest declares. Raises WorkspaceError naming the file.
    """
    facts = recorded.facts if recorded else None
    if facts is None:  # the step runs in any case
        return {}
    paths = dict.fromkeys((*(output.path for output in facts.outputs), *manifest.outputs))
    return {path: fingerprints.sha256(workspace.root / path, progress) for path in paths}


def facts_after(
    before: StepFacts,
    manifest: Manifest,
    result: StepResult,
    workspace: Workspace,
    fingerprints: Fingerprints,
    retried_with: Mapping[str, JsonValue],
) -> SuccessFacts | NotRecorded:
    """What to record of a success, whose outputs were verified already.

    retried_with: parameters as retries had changed them. NotRecorded: an input or the code is not
    what it was before the step, so nobody knows which of the two it has used.
    """
    try:
        changed = _changed_meanwhile(before, manifest, fingerprints)
        left = {path: fingerprints.sha256(workspace.root / path) for path in manifest.outputs}
    except WorkspaceError as error:
        return NotRecorded(f"step {manifest.step} counts as not fresh: {error}")
    if changed is not None:
        return NotRecorded(f"step {manifest.step} counts as not fresh: {changed}")
    # What the step itself says comes last: it was verified against the files.
    outputs = {path: sha256 for path, sha256 in left.items() if sha256 is not None}
    outputs |= {output.path: output.sha256 for output in result.outputs}
    return SuccessFacts(
        **dict(before),
        outputs=tuple(OutputFact(path=path, sha256=sha) for path, sha in outputs.items()),
        retried_with=mask(dict(retried_with)),
    )


def facts_published(
    last_success: Mapping[str, Any] | None,
    run_id: str,
    agent: str,
    workspace: Workspace,
    fingerprints: Fingerprints,
) -> SuccessFacts | None:
    """What to record once a person has let a run's models take the place of others.

    The facts of its success, with the files under models/AGENT as they are now. None: the last
    success is another run's, or its record cannot be used; the step runs then.
    """
    recorded = read_success(last_success) if last_success is not None else None
    if recorded is None or recorded.facts is None or recorded.run_id != run_id:
        return None
    outputs = []
    for output in recorded.facts.outputs:
        sha256: str | None = output.sha256
        if output.path.startswith(f"models/{agent}/"):
            sha256 = fingerprints.sha256(workspace.root / output.path)
        if sha256 is not None:
            outputs.append(OutputFact(path=output.path, sha256=sha256))
    return recorded.facts.model_copy(update={"outputs": tuple(outputs)})


def manifest_sha256(manifest: Manifest) -> str:
    """Hash of what a manifest says: neither white space nor the order of keys counts."""
    content = manifest.model_dump(mode="json", exclude_unset=True, exclude={"schema_"})
    return sha256_text(json.dumps(content, sort_keys=True, separators=(",", ":")))


def code_version(module: str) -> str:
    """Hash of the sources that a step runs: names and contents of its *.py. Imports nothing.

    A module of steps: its own folder, what all steps stand on, and gpu. Any other: its whole top
    package. Raises ManifestError if it is not installed, WorkspaceError if a source is unreadable.
    """
    top, _, rest = module.partition(".")
    places = _places(top)
    sources: list[tuple[str, Path]] = []
    if top == "steps":
        own = rest.partition(".")[0]
        sources += [
            source
            for source in _sources(top, places)
            if not _is_of_another_step(source[0].split("/")[1], own)
        ]
        sources += _sources("gpu", _places("gpu"))
    else:
        sources += _sources(top, places)
    digest = hashlib.sha256()
    for name, path in sorted(sources):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WorkspaceError(f"{path}: cannot be read: {error.strerror or error}") from None
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def library_versions() -> dict[str, str]:
    """Version of each of LIBRARIES that is installed. Imports none of them."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _input(
    name: str, path: Path, fingerprints: Fingerprints, progress: Progress | None
) -> InputFact:
    sha256 = fingerprints.sha256(path, progress)
    if sha256 is None:
        raise InputMissing(f"input {name}: {path} was there a moment ago and is gone")
    return InputFact(name=name, path=printable(path), sha256=sha256)


def _hidden(values: Mapping[str, JsonValue]) -> HiddenFact | None:
    hidden = {name: value for name, value in values.items() if has_secret(value, name)}
    if not hidden:
        return None
    # Slow, so that a weak password is not found in a copied ledger by trying many.
    text = json.dumps(hidden, sort_keys=True).encode()
    slow = hashlib.scrypt(text, salt=b"watcher freshness", n=1 << 14, r=8, p=1, dklen=32)
    return HiddenFact(names=tuple(sorted(hidden)), slow_hash=slow.hex())


def _changed_meanwhile(
    before: StepFacts, manifest: Manifest, fingerprints: Fingerprints
) -> str | None:
    for fact in before.inputs:
        if fingerprints.sha256(Path(fact.path)) != fact.sha256:
            return f"its input {fact.name} changed while it ran ({fact.path})"
    code = CodeFact(sources=code_version(manifest.module), libraries=library_versions())
    return "its code changed while it ran" if code != before.code else None


def _places(top: str) -> list[Path]:
    """The folders of a top package, or the one file of a top module; searched as a step would."""
    spec = importlib.machinery.PathFinder.find_spec(top, [str(IMPORT_ROOT), *sys.path])
    if spec is None:
        raise ManifestError(f"module: must be installed, got {top}.* (no {top})")
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin else []


def _sources(top: str, places: Sequence[Path]) -> list[tuple[str, Path]]:
    """Every *.py by its name from the package, such as steps/tables/read.py."""
    found = []
    for place in places:
        if place.is_file():
            found.append((place.name, place))
        else:
            found += [(f"{top}/{p.relative_to(place).as_posix()}", p) for p in place.rglob("*.py")]
    return found


def _is_of_another_step(part: str, own: str) -> bool:
    return _STEP_FOLDER.match(part) is not None and part != own
