"""Find the devices of this machine without creating a GPU context.

Order: the leasing environment (CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES) limits what may be used;
NVML tells what there is; nvidia-smi where NVML is missing; with neither, the CPU is divided into
slots. A GPU is identified by UUID: nvidia-smi and CUDA may number differently. Where MIG is on, the
instances are the devices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

MIB = 1 << 20
_SMI_QUERY = "--query-gpu=index,uuid,name,memory.total,memory.free"
# A worker with its library, before any data (measured: 150 to 250 MiB), rounded up.
WORKER_MIB = 320


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
                return {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """How trials are placed: the devices, CPU threads a trial, and why."""

    devices: tuple[Device, ...]
    threads: int
    reason: str


def detect_devices(environ: Mapping[str, str], use_gpus: bool = True) -> list[Device]:
    """GPUs that may be used, or one CPU slot a usable core where there are none."""
    if use_gpus:
        gpus = _nvml_devices() or _smi_devices()
        visible = _visible(gpus, environ.get("CUDA_VISIBLE_DEVICES"))
        if visible:
            return visible
        amd = _rocm_devices(environ.get("HIP_VISIBLE_DEVICES"))
        if amd:
            return amd
    return cpu_slots(usable_cores())


def plan_slots(devices: list[Device], *, slots: int, table_mib: float) -> SlotPlan:
    """Choose devices and threads. slots: CPU trials at once, 0 for as many as fit.

    A CPU slot has one thread: k workers of one thread beat fewer workers of more threads, and far
    more runnable threads than cores is slower still. Memory: a worker needs its library and a few
    copies of the table's training rows.
    """
    cores = usable_cores()
    if devices[0].kind != "cpu":
        threads = max(1, cores // len(devices))
        return SlotPlan(
            tuple(devices), threads, f"one trial a GPU, {threads} CPU threads beside each"
        )
    need_mib = WORKER_MIB + 4 * table_mib
    fit = max(1, int(available_memory_mib() * 0.8 // need_mib))
    count = min(slots or cores, fit)
    reason = f"{count} CPU slots of one thread on {cores} usable cores"
    if fit < (slots or cores):
        reason += f"; memory allows no more ({need_mib:.0f} MiB a worker)"
    if count > cores:
        reason += f"; more slots than cores, as asked (slots = {slots})"
    return SlotPlan(tuple(cpu_slots(count)), 1, reason)


def cpu_slots(count: int) -> list[Device]:
    """`count` CPU slots. The lock of slot i is machine-wide, like that of a GPU."""
    total = _memory_limit_mib() // count
    free = int(available_memory_mib()) // count
    return [Device("cpu", f"cpu-slot-{i}", i, f"CPU slot {i}", total, free) for i in range(count)]


def usable_cores() -> int:
    """Cores this process may keep busy: its affinity, cut by the cgroup's quota."""
    cores = len(os.sched_getaffinity(0))
    quota = _cgroup_quota()
    return max(1, min(cores, int(quota))) if quota is not None else cores


def available_memory_mib() -> float:
    """Memory that can be taken without swapping, within the cgroup's limit."""
    free: float = psutil.virtual_memory().available / MIB
    limit, used = _cgroup_number("memory.max"), _cgroup_number("memory.current")
    if limit is not None and used is not None:
        free = min(free, (limit - used) / MIB)
    return free


def _memory_limit_mib() -> int:
    total = int(psutil.virtual_memory().total // MIB)
    limit = _cgroup_number("memory.max")
    return total if limit is None else min(total, int(limit // MIB))


def _cgroup_number(name: str) -> float | None:
    try:
        text = Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if text == "max" else float(text)


def _cgroup_quota() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else float(quota) / float(period)


def _visible(gpus: list[Device], setting: str | None) -> list[Device]:
    """Cut the GPUs to CUDA_VISIBLE_DEVICES: UUIDs (or their beginnings) or positions, in order."""
    if setting is None:
        return gpus
    chosen: list[Device] = []
    for word in setting.split(","):
        name = word.strip()
        if not name or name == "-1":
            break  # CUDA ignores everything from the first invalid entry on
        matches = (
            [gpu for gpu in gpus if str(gpu.index) == name]
            if name.isdigit()
            else [gpu for gpu in gpus if gpu.uuid.startswith(name)]
        )
        if not matches:
            break
        chosen.append(matches[0])
    return chosen


def _nvml_devices() -> list[Device]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        found: list[Device] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            parts = _mig_instances(handle) or [handle]
            for part in parts:
                memory = pynvml.nvmlDeviceGetMemoryInfo(part)
                found.append(
                    Device(
                        "cuda",
                        _text(pynvml.nvmlDeviceGetUUID(part)),
                        index,
                        _text(pynvml.nvmlDeviceGetName(handle)),
                        int(memory.total // MIB),
                        int(memory.free // MIB),
                    )
                )
        return found
    except pynvml.NVMLError:
        return []  # a driver that answers half is treated as absent; nvidia-smi is asked next
    finally:
        pynvml.nvmlShutdown()


def _mig_instances(handle: Any) -> list[Any]:
    import pynvml

    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:
        return []
    if current != pynvml.NVML_DEVICE_MIG_ENABLE:
        return []
    parts = []
    for i in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            parts.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i))
        except pynvml.NVMLError:
            continue  # this place holds no instance
    return parts


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _smi_devices() -> list[Device]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, _SMI_QUERY, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in answer.stdout.splitlines():
        index, uuid, name, total, free = (part.strip() for part in line.split(","))
        found.append(Device("cuda", uuid, int(index), name, int(total), int(free)))
    return found


def _rocm_devices(setting: str | None) -> list[Device]:
    """AMD GPUs by the kernel's own listing; memory in the files that the driver keeps."""
    found: list[Device] = []
    for card in sorted(Path("/sys/class/drm").glob("card[0-9]*/device/mem_info_vram_total")):
        used = float((card.parent / "mem_info_vram_used").read_text(encoding="ascii"))
        total = float(card.read_text(encoding="ascii"))
        index = len(found)
        unique = card.parent / "unique_id"
        uuid = unique.read_text(encoding="ascii").strip() if unique.exists() else f"rocm-{index}"
        found.append(
            Device("rocm", uuid, index, "AMD GPU", int(total // MIB), int((total - used) // MIB))
        )
    if setting is None:
        return found
    wanted = [word.strip() for word in setting.split(",") if word.strip().isdigit()]
    return [device for device in found if str(device.index) in wanted]
