"""Find the devices of this machine without creating a GPU context, and say what is free on them.

The leasing environment (CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES) limits what may be used; the
driver tells what there is (see gpu.host.nvidia and gpu.host.amd); where no GPU is left, the CPU is
divided into slots. A GPU is identified by UUID: nvidia-smi and CUDA may number differently. Where
MIG is on, the instances are the devices.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import psutil

from gpu.host.amd import AmdGpu, free_of, list_amd_gpus
from gpu.host.machine import MIB, available_memory_mib, memory_limit_mib, usable_cores
from gpu.host.nvidia import Gpu, Occupant, list_gpus, look_at
from gpu.host.vram import rough_worker_mib

__all__ = [
    "MIB",
    "Detection",
    "Device",
    "SlotPlan",
    "available_memory_mib",
    "cpu_slots",
    "crowded",
    "detect",
    "detect_devices",
    "occupants",
    "plan_slots",
    "usable_cores",
]

# Of the memory that is available at the start; the rest is for the parent and for other people.
MEMORY_SHARE = 0.8
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Device:
    """Something one trial at a time can train on. Memory in MiB; for a CPU slot its share."""

    kind: Literal["cuda", "rocm", "cpu"]
    uuid: str
    index: int
    name: str
    total_mib: int
    free_mib: int

    def environment(self) -> dict[str, str]:
        """Variables that show a child exactly this device; for a CPU slot they hide every GPU."""
        match self.kind:
            case "cuda":
                return {"CUDA_VISIBLE_DEVICES": self.uuid}
            case "rocm":
                return {"HIP_VISIBLE_DEVICES": str(self.index), "CUDA_VISIBLE_DEVICES": ""}
            case "cpu":
                # HIP takes an empty list for a missing one.
                return {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}


@dataclass(frozen=True, slots=True)
class Detection:
    """The devices that may be used, and notes on what is not used or could not be read."""

    devices: tuple[Device, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """How trials are placed: the devices, CPU threads a trial, and why."""

    devices: tuple[Device, ...]
    threads: int
    reason: str


def detect_devices(environ: Mapping[str, str], use_gpus: bool = True) -> list[Device]:
    """GPUs that may be used, or one CPU slot a usable core where there are none."""
    return list(detect(environ, use_gpus).devices)


def detect(environ: Mapping[str, str], use_gpus: bool = True) -> Detection:
    """As detect_devices, with the reasons for what is left out."""
    notes: list[str] = []
    if use_gpus:
        gpus, notes = list_gpus()
        visible, said = _visible(gpus, environ.get("CUDA_VISIBLE_DEVICES"))
        notes += said
        if visible:
            return Detection(tuple(_cuda(gpu) for gpu in visible), tuple(notes))
        amd, said = list_amd_gpus(environ)
        notes += said
        if amd and not _torch_build().startswith("rocm"):
            notes.append(f"AMD: {len(amd)} GPU seen, but the installed torch is no ROCm build")
            amd = []
        if amd:
            return Detection(tuple(_rocm(gpu) for gpu in amd), tuple(notes))
    return Detection(tuple(cpu_slots(usable_cores())), tuple(notes))


def plan_slots(
    devices: list[Device], *, slots: int, table_mib: float, worker_mib: float | None = None
) -> SlotPlan:
    """Choose devices and threads. slots: CPU trials at once, 0 for as many as fit.

    table_mib: the mapped table, which all workers share. worker_mib: what one worker needs beside
    it (see gpu.host.vram); None: a guess from the table. A CPU slot has one thread: k workers of
    one thread beat fewer workers of more threads, and far more runnable threads than cores is
    slower still.
    """
    cores = usable_cores()
    if devices[0].kind != "cpu":
        threads = max(1, cores // len(devices))
        return SlotPlan(
            tuple(devices), threads, f"one trial a GPU, {threads} CPU threads beside each"
        )
    need_mib = rough_worker_mib(table_mib) if worker_mib is None else worker_mib
    budget_mib = available_memory_mib() * MEMORY_SHARE - table_mib
    fit = max(1, int(budget_mib // need_mib))
    count = min(slots or cores, fit)
    slot, core = "slot" if count == 1 else "slots", "core" if cores == 1 else "cores"
    reason = f"{count} CPU {slot} of one thread on {cores} usable {core}"
    if fit < (slots or cores):
        reason += f"; memory allows no more ({need_mib:.0f} MiB a worker)"
    if count > cores:
        reason += f"; more slots than cores, as asked (slots = {slots})"
    return SlotPlan(tuple(cpu_slots(count)), 1, reason)


def cpu_slots(count: int) -> list[Device]:
    """`count` CPU slots. The lock of slot i is machine-wide, like that of a GPU."""
    total = int(memory_limit_mib()) // count
    free = int(available_memory_mib()) // count
    return [Device("cpu", f"cpu-slot-{i}", i, f"CPU slot {i}", total, free) for i in range(count)]


def crowded(device: Device, need_mib: float, *, ours: Collection[int] | None = None) -> str | None:
    """Why a device has no room for a job now, and who holds it; None where there is room.

    ours: pids whose memory on the device counts as room, because the job will run in them; None:
    this process and its descendants. Ask before a lease is used; a crowded device can be waited
    for.
    """
    mine = family_of(os.getpid()) if ours is None else frozenset(ours)
    match device.kind:
        case "cuda":
            return _crowded_gpu(device, need_mib, mine)
        case "rocm":
            free = free_of(device.uuid)
            if free is None or free >= need_mib:
                return None
            return f"{device.name} has {free} MiB free, {need_mib:.0f} MiB are needed"
        case "cpu":
            free_mib = available_memory_mib()
            if free_mib >= need_mib:
                return None
            return (
                f"this machine has {free_mib:.0f} MiB of memory left, {need_mib:.0f} MiB are "
                f"needed; most is held by {_largest_processes(mine)}"
            )


def occupants(device: Device) -> tuple[Occupant, ...]:
    """Processes that hold memory of a GPU now, of whoever they are."""
    return tuple(look_at(device.uuid)[1]) if device.kind == "cuda" else ()


def describe_occupant(occupant: Occupant) -> str:
    """One process on a GPU in words: number, name and user where they may be read, memory."""
    words = f"pid {occupant.pid}"
    try:
        process = psutil.Process(occupant.pid)
        words += f" {process.name()} of {process.username()}"
    except (psutil.Error, KeyError):
        words += " (not visible from here)"  # another user's, or outside of this container
    return words if occupant.used_mib is None else f"{words}, {occupant.used_mib} MiB"


def family_of(pid: int) -> frozenset[int]:
    """A process and its descendants."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return frozenset({pid})
    return frozenset({pid, *(child.pid for child in children)})


def _crowded_gpu(device: Device, need_mib: float, ours: frozenset[int]) -> str | None:
    gpu, present = look_at(device.uuid)
    if gpu is None:
        return f"{device.name} ({device.uuid}) is not there any more"
    foreign = [occupant for occupant in present if occupant.pid not in ours]
    room = gpu.free_mib + sum(o.used_mib or 0 for o in present if o.pid in ours)
    if gpu.exclusive and foreign:
        problem = f"{device.name} takes one process at a time"
    elif room < need_mib:
        problem = f"{device.name} has {room} MiB free, {need_mib:.0f} MiB are needed"
    else:
        return None
    if not foreign:
        return f"{problem}; the driver does not say who holds the rest"
    largest = sorted(foreign, key=lambda o: -(o.used_mib or 0))
    return f"{problem}; held by {_listed([describe_occupant(o) for o in largest])}"


def _largest_processes(ours: frozenset[int]) -> str:
    sizes: list[tuple[int, str]] = []
    for process in psutil.process_iter(["pid", "name", "memory_info"]):
        memory = process.info["memory_info"]
        if memory is not None and process.info["pid"] not in ours:
            mib = memory.rss // MIB
            sizes.append((mib, f"pid {process.info['pid']} {process.info['name']}, {mib} MiB"))
    sizes.sort(reverse=True)
    return _listed([words for _, words in sizes]) if sizes else "this run itself"


def _listed(words: list[str]) -> str:
    more = len(words) - _NAMED
    return "; ".join(words[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _visible(gpus: list[Gpu], setting: str | None) -> tuple[list[Gpu], list[str]]:
    """Cut the GPUs to CUDA_VISIBLE_DEVICES: numbers, UUIDs or their beginnings, in its order.

    As CUDA does it, everything from the first entry on that names no GPU is ignored. The number of
    a GPU, or its UUID, stands for all its MIG instances.
    """
    if setting is None:
        return gpus, _numbering_note(gpus, [])
    chosen: list[Gpu] = []
    words = [word.strip() for word in setting.split(",")]
    notes = _numbering_note(gpus, words)
    for name in words:
        matches = _named(gpus, name)
        if not matches:
            if gpus and name not in ("", "-1", "NoDevFiles"):
                notes.append(
                    f"CUDA_VISIBLE_DEVICES: {name!r} names no GPU here, or more than one; it and "
                    "what follows it is ignored"
                )
            break
        chosen += [gpu for gpu in matches if gpu not in chosen]
    if gpus and not chosen:
        notes.append(f"CUDA_VISIBLE_DEVICES={setting!r} hides {_counted(len(gpus))}")
    return chosen, notes


def _named(gpus: list[Gpu], name: str) -> list[Gpu]:
    if name.isdigit():
        return [gpu for gpu in gpus if gpu.index == int(name)]
    if name.startswith("MIG-GPU-"):
        # The older form: MIG-<UUID of the GPU>/<GPU instance>/<compute instance>.
        return [gpu for gpu in gpus if gpu.uuid == name]
    if not name.startswith(("GPU-", "MIG-")):
        return []
    lowered = name.lower()
    # A beginning that fits several names none of them.
    exact = [gpu for gpu in gpus if gpu.uuid.lower().startswith(lowered)]
    if exact:
        return exact if len(exact) == 1 else []
    instances = [gpu for gpu in gpus if gpu.gpu_uuid.lower().startswith(lowered)]
    return instances if len({gpu.gpu_uuid for gpu in instances}) == 1 else []


def _numbering_note(gpus: list[Gpu], words: list[str]) -> list[str]:
    models = {gpu.name for gpu in gpus if gpu.uuid == gpu.gpu_uuid}
    if len(models) > 1 and any(word.isdigit() for word in words):
        return [
            "CUDA_VISIBLE_DEVICES: the GPUs are of different models; their numbers are taken as "
            "nvidia-smi shows them, CUDA by default puts the fastest first. UUIDs are unambiguous"
        ]
    return []


def _counted(count: int) -> str:
    return "the GPU" if count == 1 else f"all {count} GPUs"


def _cuda(gpu: Gpu) -> Device:
    return Device("cuda", gpu.uuid, gpu.index, gpu.name, gpu.total_mib, gpu.free_mib)


def _rocm(gpu: AmdGpu) -> Device:
    return Device("rocm", gpu.uuid, gpu.index, gpu.name, gpu.total_mib, gpu.free_mib)


def _torch_build() -> str:
    """The local part of torch's version, "rocm6.4" of 2.10.0+rocm6.4; "" for a plain one."""
    try:
        return importlib.metadata.version("torch").partition("+")[2]
    except importlib.metadata.PackageNotFoundError:
        return ""
