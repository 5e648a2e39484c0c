"""Examine the machine and the workspace: could a run start here, and what would run where?

Libraries are looked up by their metadata, never imported: the watcher stays clean of GPU contexts.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import agents
from agents.errors import UsageError
from agents.lock import Holder, read_holder
from agents.manifests import Manifest
from agents.workspace import IMPORT_ROOT, Workspace, halt_reason
from gpu.host import devices as machine
from gpu.host.devices import Device
from steps.policies import Policy

DISTRIBUTION = "watcher-pipeline"
_LOW_DISK_BYTES = 1_000_000_000
_LOW_MEMORY_MIB = 1024


@dataclass(frozen=True, slots=True)
class Library:
    """A library the product needs. found: its version, None if it is not installed."""

    name: str
    wanted: str
    found: str | None
    state: Literal["ok", "missing", "out of range"]


@dataclass(frozen=True, slots=True)
class Disk:
    """Room on the disk of a folder. problem: why nothing can be written there."""

    what: str
    folder: Path
    free_bytes: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class Examination:
    """What --doctor found. reasons: why no run could start; warnings: what a person should know."""

    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    watcher: str
    python: str
    executable: str
    system: str
    libraries: tuple[Library, ...]
    devices: tuple[Device, ...]
    cores: int
    memory_free_mib: float
    disks: tuple[Disk, ...]
    policy: str
    manifests: tuple[str, ...]
    halt: str | None
    holder: Holder | None
    placement: tuple[tuple[str, str], ...]


def examine(
    workspace: Workspace,
    read_policy: Callable[[], Policy],
    read_manifests: Callable[[], tuple[Manifest, ...]],
    environ: Mapping[str, str],
    detect: Callable[[Mapping[str, str], bool], list[Device]] = machine.detect_devices,
) -> Examination:
    """Look at everything; nothing is changed, nothing heavy imported."""
    reasons: list[str] = []
    warnings: list[str] = []
    try:
        policy = read_policy()
        policy_words = f"{workspace.policy_file}: readable"
        if workspace.policy_file != workspace.own_policy_file:
            policy_words += " (packaged; this workspace has none of its own)"
    except ValueError as error:
        policy, policy_words = Policy(), str(error)
        reasons.append(f"policy: {error}")
    try:
        manifests = read_manifests()
        found = tuple(f"step {m.step}: {m.agent_name} ({m.module})" for m in manifests)
    except UsageError as error:
        found = ()
        reasons.append(f"manifests: {error}")
    libraries = tuple(_library(line) for line in requirements())
    reasons += [_library_reason(lib) for lib in libraries if lib.state == "missing"]
    warnings += [_library_reason(lib) for lib in libraries if lib.state == "out of range"]
    halt = halt_reason(workspace, policy)
    if halt:
        reasons.append(f"halt: {halt}")
    holder = read_holder(workspace)
    holder = holder if holder is not None and holder.is_alive() else None
    if holder:
        reasons.append(f"another watcher works here: {holder}")
    disks = (
        _disk("workspace", workspace.root),
        _disk("temporary files", Path(tempfile.gettempdir())),
    )
    reasons += [f"{d.what}: {d.folder} {d.problem}" for d in disks if d.problem]
    warnings += [
        f"{d.what}: only {d.free_bytes / 1e9:.1f} GB free on the disk of {d.folder}"
        for d in disks
        if d.free_bytes < _LOW_DISK_BYTES
    ]
    devices = tuple(detect(environ, policy.training.use_gpus))
    memory_free_mib = machine.available_memory_mib()
    if memory_free_mib < _LOW_MEMORY_MIB:
        warnings.append(f"memory: only {memory_free_mib:.0f} MiB available")
    return Examination(
        reasons=tuple(reasons),
        warnings=tuple(warnings),
        watcher=agents.__version__,
        python=platform.python_version(),
        executable=sys.executable,
        system=platform.platform(),
        libraries=libraries,
        devices=devices,
        cores=machine.usable_cores(),
        memory_free_mib=memory_free_mib,
        disks=disks,
        policy=policy_words,
        manifests=found,
        halt=halt,
        holder=holder,
        placement=_placement(policy, devices),
    )


def requirements() -> tuple[str, ...]:
    """The product's requirements, from its metadata, or from pyproject.toml in a checkout."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        path = IMPORT_ROOT / "pyproject.toml"
        lines = tomllib.loads(path.read_text("utf-8"))["project"]["dependencies"]
    return tuple(line for line in lines if "extra ==" not in line)


def in_range(version: str, wanted: str) -> bool:
    """Whether a version satisfies a range such as ">=2.9,<3" (>=, >, <=, <, == are understood)."""
    have = _release(version)
    for clause in wanted.split(","):
        match = re.match(r"\s*(>=|<=|==|>|<)\s*([0-9.]+)", clause)
        if match is None:
            continue
        limit = _release(match[2])
        width = max(len(have), len(limit))
        mine, theirs = _padded(have, width), _padded(limit, width)
        holds = {
            ">=": mine >= theirs,
            "<=": mine <= theirs,
            "==": mine == theirs,
            ">": mine > theirs,
            "<": mine < theirs,
        }[match[1]]
        if not holds:
            return False
    return True


def _library(line: str) -> Library:
    match = re.match(r"([A-Za-z0-9._-]+)\s*(.*)", line.partition(";")[0].strip())
    name, wanted = (match[1], match[2].strip("() ")) if match else (line, "")
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Library(name, wanted, None, "missing")
    return Library(name, wanted, found, "ok" if in_range(found, wanted) else "out of range")


def _library_reason(library: Library) -> str:
    got = f"got {library.found}" if library.found else "it is not installed"
    return f"library: {library.name} must be {library.wanted or 'there'}, {got}"


def _release(version: str) -> tuple[int, ...]:
    """2.13.0+cpu -> (2, 13, 0). Pre-release marks are left out."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _padded(release: tuple[int, ...], width: int) -> tuple[int, ...]:
    return release + (0,) * (width - len(release))


def _disk(what: str, folder: Path) -> Disk:
    problem = None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written"
    return Disk(what, folder, shutil.disk_usage(folder).free, problem)


def _placement(policy: Policy, devices: Sequence[Device]) -> tuple[tuple[str, str], ...]:
    """Where each family would train, and why."""
    plan = machine.plan_slots(list(devices), slots=0, table_mib=0.0)
    if plan.devices[0].kind == "cpu":
        why = "no GPU is visible" if policy.training.use_gpus else "training.use_gpus is false"
        where = f"{plan.reason} ({why})"
    else:
        names = ", ".join(f"{device.kind}:{device.index}" for device in plan.devices)
        where = f"{names}; {plan.reason}"
    rows = []
    for family, allowed in policy.training.families.model_dump().items():
        off = f"nowhere: training.families.{family} is false in the policy"
        rows.append((family, where if allowed else off))
    return tuple(rows)
