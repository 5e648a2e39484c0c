"""Find the devices of this machine without creating a GPU context, and say what is free on them.

The leasing environment (CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES) limits what may be used; the
driver tells what there is (see gpu.host.nvidia and gpu.host.amd); what trains on no GPU trains on
slots of the CPU. A GPU is identified by UUID: nvidia-smi and CUDA may number differently. Where
MIG is on, the instances are the devices.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gpu.host.amd import AmdGpu, list_amd_gpus
from gpu.host.kin import descendants_mib
from gpu.host.machine import MIB, available_memory_mib, memory_limit_mib, usable_cores
from gpu.host.nvidia import Gpu, list_gpus
from gpu.host.visible import visible_of
from gpu.host.vram import rough_worker_mib
from gpu.params import FAMILIES, Family

__all__ = [
    "FAMILIES",
    "MIB",
    "Detection",
    "Device",
    "SlotPlan",
    "available_memory_mib",
    "cpu_slots",
    "detect",
    "devices_of",
    "plan_slots",
    "usable_cores",
]

# Of the memory that is available at the start; the rest is for the parent and for other people.
MEMORY_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Device:
    """Something one trial at a time can train on. Memory in MiB; for a CPU slot its share.

    exclusive: it takes one process at a time. torch: whether the installed torch can use it.
    """

    kind: Literal["cuda", "rocm", "cpu"]
    uuid: str
    index: int
    name: str
    total_mib: int
    free_mib: int
    exclusive: bool = False
    torch: bool = True

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

    def trains(self, family: Family) -> bool:
        """Whether the library of the family, as it is published, computes on such a device."""
        if self.kind == "cpu":
            return True
        if family == "neural_net":
            return self.torch
        # lightgbm's wheels have no code for GPUs (see its trainer), the others' none for ROCm.
        return self.kind == "cuda" and family != "lightgbm"


@dataclass(frozen=True, slots=True)
class Detection:
    """The devices that may be used, and notes on what is not used or could not be read."""

    devices: tuple[Device, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """How trials are placed: the devices, GPUs first, and why.

    threads: CPU threads of a worker on a GPU; one on a CPU slot has one.
    """

    devices: tuple[Device, ...]
    threads: int
    reason: str


def detect(environ: Mapping[str, str], use_gpus: bool = True) -> Detection:
    """GPUs that may be used, or one CPU slot a usable core where there are none.

    With the reasons for what is left out.
    """
    notes: list[str] = []
    if use_gpus:
        gpus, notes = list_gpus()
        visible, said = visible_of(gpus, environ.get("CUDA_VISIBLE_DEVICES"))
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


def devices_of(family: Family, devices: Sequence[Device]) -> tuple[Device, ...]:
    """Those on which the family trains: GPUs that its library can use, else the CPU slots.

    All of them where it can use none: there its work fails, and says why.
    """
    gpus = tuple(device for device in devices if device.kind != "cpu" and device.trains(family))
    slots = tuple(device for device in devices if device.kind == "cpu")
    return gpus or slots or tuple(devices)


def plan_slots(
    devices: Sequence[Device],
    *,
    slots: int,
    table_mib: float,
    families: Sequence[Family] = FAMILIES,
    worker_mib: Mapping[Family, float] | None = None,
) -> SlotPlan:
    """Choose devices and threads for families: GPUs, CPU slots for what trains on none, or both.

    slots: CPU trials at once, 0 for as many as fit. table_mib: the mapped table, which all workers
    share. worker_mib: what one worker of each family needs beside it (see gpu.host.vram); None: a
    guess from the table. A CPU slot has one thread: k workers of one thread beat fewer workers of
    more threads, and far more runnable threads than cores is slower still. A GPU is fed by a core.
    """
    cores = usable_cores()
    candidates = [device for device in devices if device.kind != "cpu"]
    gpus = tuple(gpu for gpu in candidates if any(gpu.trains(family) for family in families))
    on_gpus = [family for family in families if any(gpu.trains(family) for gpu in gpus)]
    on_cpu = [family for family in families if family not in on_gpus]
    if gpus and not on_cpu:
        threads = max(1, cores // len(gpus))
        return SlotPlan(gpus, threads, _gpu_words(on_gpus, len(gpus), threads))
    needs = worker_mib or {}
    *others, need_mib = sorted(needs[f] for f in on_cpu if needs) or [rough_worker_mib(table_mib)]
    # Workers of the other families wait with what they keep while one of them is at work.
    waiting_mib = sum(others) + len(gpus) * sum(needs[family] for family in on_gpus if needs)
    budget_mib = (available_memory_mib() + descendants_mib()) * MEMORY_SHARE
    fit = max(1, int((budget_mib - table_mib - waiting_mib) // need_mib))
    wanted = slots or max(1, cores - len(gpus))
    count = min(wanted, fit)
    slot, core = "slot" if count == 1 else "slots", "core" if cores == 1 else "cores"
    reason = f"{count} CPU {slot} of one thread on {cores} usable {core}"
    if fit < wanted:
        reason += f"; memory allows no more ({need_mib:.0f} MiB a worker)"
    if count > cores:
        reason += f"; more slots than cores, as asked (slots = {slots})"
    if not gpus:
        return SlotPlan(tuple(cpu_slots(count)), 1, reason)
    threads = max(1, (cores - count) // len(gpus))
    both = f"{_gpu_words(on_gpus, len(gpus), threads)}; {_in_words(on_cpu)} on {reason}"
    return SlotPlan((*gpus, *cpu_slots(count)), threads, both)


def cpu_slots(count: int) -> list[Device]:
    """`count` CPU slots."""
    total = int(memory_limit_mib()) // count
    free = int(available_memory_mib()) // count
    return [Device("cpu", f"cpu-slot-{i}", i, f"CPU slot {i}", total, free) for i in range(count)]


def _in_words(families: Sequence[Family]) -> str:
    """Families in a sentence: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(families[:-1]), *families[-1:]]))


def _gpu_words(families: Sequence[Family], gpus: int, threads: int) -> str:
    gpu, thread = "GPU" if gpus == 1 else "GPUs", "thread" if threads == 1 else "threads"
    where = f"{_in_words(families)} on {gpus} {gpu}"
    return f"{where}, one trial a GPU, {threads} CPU {thread} beside each"


def _cuda(gpu: Gpu) -> Device:
    return Device(
        "cuda",
        gpu.uuid,
        gpu.index,
        gpu.name,
        gpu.total_mib,
        gpu.free_mib,
        gpu.exclusive,
        torch=_torch_build() != "cpu",
    )


def _rocm(gpu: AmdGpu) -> Device:
    return Device("rocm", gpu.uuid, gpu.index, gpu.name, gpu.total_mib, gpu.free_mib)


def _torch_build() -> str:
    """The local part of torch's version, "rocm6.4" of 2.10.0+rocm6.4; "" for a plain one."""
    try:
        return importlib.metadata.version("torch").partition("+")[2]
    except importlib.metadata.PackageNotFoundError:
        return ""
