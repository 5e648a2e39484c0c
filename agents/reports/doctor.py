"""Examine the machine and the workspace: could a run start here, and what would run where?

Libraries are looked up by their metadata, never imported: the watcher stays clean of GPU contexts.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import agents
from agents.errors import UsageError, WorkspaceBusy, WorkspaceError
from agents.lock import Holder, read_holder, refuse_if_busy
from agents.manifests import Manifest
from agents.reports.libraries import Library, required_libraries
from agents.workspace import Workspace, halt_reason
from gpu.host import machine
from gpu.host.crowding import describe_occupant, occupants
from gpu.host.devices import (
    FAMILIES,
    Detection,
    Device,
    SlotPlan,
    detect,
    devices_of,
    plan_slots,
)
from gpu.host.holders import HeldLease, held_leases
from gpu.host.lock_files import (
    lock_dir_of,
    machine_lock_dir,
    sharing_note,
    trouble_of,
    user_lock_dir,
)
from steps.policies import Policy, PolicyError

_LOW_DISK_BYTES = 1_000_000_000
_LOW_MEMORY_MIB = 1024
# A GPU that others fill beyond this share of its memory is worth a warning.
_FULL_SHARE = 0.5
# torch reserves address space far beyond what it uses.
_LOW_ADDRESS_MIB = 8192


@dataclass(frozen=True, slots=True)
class Disk:
    """Room on the disk of a folder. problem: why nothing can be written there."""

    what: str
    folder: Path
    free_bytes: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device now. present: the processes with memory on it. lease: who holds it, if anybody."""

    device: Device
    present: tuple[str, ...]
    lease: HeldLease | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in MiB. limit_mib: all that may ever be had; limited_by: what sets it.

    kills: processes killed for lack of memory, in this control group or since boot; None: not
    counted.
    """

    available_mib: float
    limit_mib: float
    limited_by: str
    kills: int | None


@dataclass(frozen=True, slots=True)
class Examination:
    """What --doctor found. reasons: why no run could start; warnings: what a person should know.

    plan: the devices and threads that a run would take, and why.
    """

    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    watcher: str
    python: str
    executable: str
    system: str
    libraries: tuple[Library, ...]
    devices: tuple[DeviceState, ...]
    device_notes: tuple[str, ...]
    cores: int
    cores_reason: str
    plan: SlotPlan
    memory: Memory
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
    find_devices: Callable[[Mapping[str, str], bool], Detection] = detect,
    lock_dir: Path | None = None,
) -> Examination:
    """Look at everything; nothing is changed, nothing heavy imported.

    lock_dir: where the leases of this machine lie; None: where every run puts them.
    """
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
    except (UsageError, PolicyError) as error:
        found = ()
        reasons.append(f"manifests: {error}")
    libraries = required_libraries()
    reasons += [str(lib) for lib in libraries if lib.state == "missing"]
    warnings += [str(lib) for lib in libraries if lib.state == "out of range"]
    halt = halt_reason(workspace, policy)
    if halt:
        reasons.append(f"halt: {halt}")
    holder, problem = _watcher_at_work(workspace)
    if problem:
        reasons.append(problem)
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
    detection = find_devices(environ, policy.training.use_gpus)
    allowed = policy.training.families.model_dump()
    families = [family for family in FAMILIES if allowed[family]]
    plan = plan_slots(detection.devices, slots=0, table_mib=0.0, families=families)
    states = _device_states(detection.devices, plan, lock_dir)
    gpus = any(device.kind != "cpu" for device in detection.devices)
    folders = {lock_dir or lock_dir_of(state.device) for state in states}
    reasons += sorted(filter(None, map(trouble_of, folders)))
    unshared = sharing_note() if gpus else None
    memory = _memory()
    warnings += [*_memory_warnings(memory), *_device_warnings(states, libraries)]
    return Examination(
        reasons=tuple(reasons),
        warnings=tuple(warnings),
        watcher=agents.__version__,
        python=platform.python_version(),
        executable=sys.executable,
        system=platform.platform(),
        libraries=libraries,
        devices=states,
        device_notes=(*detection.notes, *filter(None, [unshared])),
        cores=machine.usable_cores(),
        cores_reason=machine.why_cores(),
        plan=plan,
        memory=memory,
        disks=disks,
        policy=policy_words,
        manifests=found,
        halt=halt,
        holder=holder,
        placement=_placement(policy, plan, gpus=gpus),
    )


def _disk(what: str, folder: Path) -> Disk:
    problem = None if os.access(folder, os.W_OK | os.X_OK) else "cannot be written"
    return Disk(what, folder, shutil.disk_usage(folder).free, problem)


def _watcher_at_work(workspace: Workspace) -> tuple[Holder | None, str | None]:
    """Who works here, and the reason that it is why no run could start.

    A holder file may outlive its watcher, on another host for ever; the lock itself cannot.
    """
    try:
        refuse_if_busy(workspace)
    except WorkspaceBusy:
        holder = read_holder(workspace)
        return holder, f"another watcher works here: {holder or 'its name is not written yet'}"
    except WorkspaceError as error:
        return None, f"workspace: {error}"
    return None, None


def _device_states(
    found: Sequence[Device], plan: SlotPlan, lock_dir: Path | None
) -> tuple[DeviceState, ...]:
    """The devices that were found, and the CPU slots beside GPUs that a run would take."""
    folders = [lock_dir] if lock_dir else [machine_lock_dir(), user_lock_dir()]
    leases = {lease.device: lease for folder in folders for lease in held_leases(folder)}
    beside = [device for device in plan.devices if device.kind == "cpu"]
    devices = found if found[0].kind == "cpu" else [*found, *beside]
    return tuple(
        DeviceState(
            device,
            tuple(describe_occupant(occupant) for occupant in occupants(device)),
            leases.get(device.uuid.replace("/", "_")),
        )
        for device in devices
    )


def _memory() -> Memory:
    group = machine.group_limits().limit_mib
    limit = machine.memory_limit_mib()
    by = "its control group" if group is not None and group <= limit else "the machine"
    return Memory(machine.available_memory_mib(), limit, by, machine.memory_kills())


def _memory_warnings(memory: Memory) -> list[str]:
    warnings = []
    if memory.available_mib < _LOW_MEMORY_MIB:
        warnings.append(f"memory: only {memory.available_mib:.0f} MiB available")
    address = machine.address_limit_mib()
    if address is not None and address < _LOW_ADDRESS_MIB:
        warnings.append(
            f"memory: each process may have {address:.0f} MiB of addresses (ulimit -v); "
            f"neural_net wants {_LOW_ADDRESS_MIB} MiB, though it uses far less"
        )
    return warnings


def _device_warnings(states: Sequence[DeviceState], libraries: Sequence[Library]) -> list[str]:
    warnings = []
    for state in states:
        device = state.device
        if device.kind == "cpu":
            continue
        if device.free_mib < device.total_mib * (1 - _FULL_SHARE) and state.lease is None:
            who = "; ".join(state.present) or "the driver does not say by whom"
            warnings.append(
                f"{device.kind}:{device.index} is filled by others, {device.free_mib} of "
                f"{device.total_mib} MiB are free: {who}"
            )
    torch = next((library for library in libraries if library.name == "torch"), None)
    on_cuda = any(state.device.kind == "cuda" for state in states)
    if on_cuda and torch is not None and (torch.found or "").endswith("+cpu"):
        warnings.append(
            f"library: torch {torch.found} is built for the CPU only; neural_net trains on CPU "
            "slots with it"
        )
    return warnings


def _placement(policy: Policy, plan: SlotPlan, *, gpus: bool) -> tuple[tuple[str, str], ...]:
    """Where each family would train, and why. gpus: whether there are some that may be used."""
    on_cpu = "as it is installed, its library computes on the CPU only"
    rows = []
    for family in FAMILIES:
        devices = devices_of(family, plan.devices)
        if not getattr(policy.training.families, family):
            where = f"nowhere: training.families.{family} is false in the policy"
        elif devices[0].kind != "cpu":
            names = ", ".join(f"{device.kind}:{device.index}" for device in devices)
            where = f"{names}; one trial a GPU, CPU threads beside each: {plan.threads}"
        elif len(devices) < len(plan.devices):
            where = f"CPU slots of one thread: {len(devices)} ({on_cpu})"
        elif gpus:
            where = f"{plan.reason} ({on_cpu})"
        else:
            why = "no GPU is visible" if policy.training.use_gpus else "training.use_gpus is false"
            where = f"{plan.reason} ({why})"
        rows.append((family, where))
    return tuple(rows)
