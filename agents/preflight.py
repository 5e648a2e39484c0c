"""Look at a step's inputs and at the machine before it starts: refuse what is sure to fail.

Hard: an input that cannot be read, is empty, or is not what its name says. Soft, a warning: little
room on the disk, little memory, a switched-off GPU that is not there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from agents.errors import InputMissing
from agents.manifests import Manifest
from agents.workspace import Workspace
from gpu.host.devices import detect
from steps.policies import Policy

# A table is laid out once for the workers, and a run's models and studies want room too.
_DISK_TIMES_INPUT = 3
_DISK_MIN_BYTES = 500_000_000
_MEMORY_TIMES_INPUT = 4
# What files of a kind begin with.
_MAGIC = {".parquet": b"PAR1", ".npz": b"PK", ".gz": b"\x1f\x8b"}


def check_inputs(manifest: Manifest, inputs: Mapping[str, str]) -> None:
    """Raise InputMissing for an input that the step could not read. inputs: path by name."""
    for name, text in inputs.items():
        problem = _problem(Path(text))
        if problem is not None:
            who = f"step {manifest.step} ({manifest.agent_name})"
            raise InputMissing(f"{who}: its input {name!r}, {text}, {problem}")


def cautions(
    inputs: Mapping[str, str],
    workspace: Workspace,
    policy: Policy,
    gpus: Callable[[], Sequence[str]],
) -> tuple[str, ...]:
    """What may go wrong, in sentences. gpus: UUIDs and indexes of the GPUs there are."""
    size = sum(Path(path).stat().st_size for path in inputs.values())
    found = []
    free = shutil.disk_usage(workspace.root).free
    wanted = max(_DISK_MIN_BYTES, _DISK_TIMES_INPUT * size)
    if free < wanted:
        found.append(
            f"{_mb(free)} are free on the disk of the workspace; a run may need {_mb(wanted)}"
        )
    memory = psutil.virtual_memory().available
    if memory < _MEMORY_TIMES_INPUT * size:
        found.append(
            f"{_mb(memory)} of memory are free, and the inputs are {_mb(size)} on disk; "
            "reading them may not succeed"
        )
    if policy.training.gpus_off:
        have = set(gpus())
        found += [
            f"training.gpus_off names {name!r}, and there is no such GPU here"
            for name in policy.training.gpus_off
            if name not in have
        ]
    return tuple(found)


def gpu_names(environ: Mapping[str, str]) -> tuple[str, ...]:
    """UUID and index of every GPU of this machine, found without a GPU context."""
    found = detect(environ, use_gpus=True)
    gpus = [device for device in found.devices if device.kind != "cpu"]
    return tuple(name for gpu in gpus for name in (gpu.uuid, str(gpu.index)))


def _problem(path: Path) -> str | None:
    if not os.access(path, os.R_OK):
        return "cannot be read: no permission"
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not head:
        return "is empty"
    suffix = path.suffix.lower()
    magic = _MAGIC.get(suffix)
    if magic is not None and not head.startswith(magic):
        return f"is not a {suffix} file: it begins with {head[:4]!r}, wanted {magic!r}"
    if suffix == ".json":
        text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if text[:1] not in {b"{", b"["}:
            return f"is not JSON: it begins with {text[:8]!r}, wanted {{ or ["
    return None


def _mb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
