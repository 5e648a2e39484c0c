"""List NVIDIA GPUs and who uses their memory, without creating a CUDA context.

NVML answers; nvidia-smi is asked where NVML cannot be loaded. What cannot be read is said in a note
and left out; it never makes the detection fail.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import psutil

from gpu.host.machine import MIB

SMI_LIMIT_S = 10.0
_SMI_GPUS = "--query-gpu=index,uuid,name,memory.total,memory.free,compute_mode,mig.mode.current"
_SMI_PROCESSES = "--query-compute-apps=gpu_uuid,pid,used_memory"
# "  MIG 1g.10gb     Device  0: (UUID: MIG-...)" under its GPU's "GPU 0: ... (UUID: GPU-...)"
_SMI_GPU_LINE = re.compile(r"GPU \d+: .*\(UUID: (GPU-[^)]+)\)")
_SMI_MIG_LINE = re.compile(r"\s+MIG (\S*?\.(\d+)gb\S*)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or a MIG instance of one. index, gpu_uuid: of the whole GPU.

    Where the GPU shares the machine's memory, total_mib and free_mib are the machine's. exclusive:
    the GPU takes one process at a time.
    """

    uuid: str
    gpu_uuid: str
    index: int
    name: str
    total_mib: int
    free_mib: int
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Occupant:
    """A process with memory on a GPU. used_mib: None where the driver does not say."""

    pid: int
    used_mib: int | None


def list_gpus() -> tuple[list[Gpu], list[str]]:
    """The GPUs in the driver's order, and notes on what could not be used or read."""
    with _nvml() as (nvml, reason):
        if nvml is not None:
            return _nvml_gpus(nvml)
    gpus, smi_notes = _smi_gpus()
    return gpus, smi_notes if gpus else [reason, *smi_notes]


def look_at(uuid: str) -> tuple[Gpu | None, list[Occupant]]:
    """A GPU or MIG instance as it is now, and the processes that hold its memory.

    None if it is not there any more, or nobody can tell.
    """
    with _nvml() as (nvml, _):
        if nvml is not None:
            return _nvml_look(nvml, uuid)
    gpus, _ = _smi_gpus()
    found = next((gpu for gpu in gpus if gpu.uuid == uuid), None)
    return found, [] if found is None else _smi_occupants(found.gpu_uuid)


@contextlib.contextmanager
def _nvml() -> Iterator[tuple[ModuleType | None, str]]:
    """NVML, ready to be asked; or None and the reason."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        yield None, _why_no_nvml(pynvml, error)
        return
    try:
        yield pynvml, ""
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _why_no_nvml(nvml: Any, error: Exception) -> str:
    reasons = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no driver library (libnvidia-ml) on this machine",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "the driver is not loaded",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver in the kernel and its libraries have "
        "different versions, as after an update; no GPU works until the machine is restarted",
        nvml.NVML_ERROR_NO_PERMISSION: "this user may not ask the driver (see the rights of "
        "/dev/nvidia*)",
    }
    return f"NVIDIA: {reasons.get(getattr(error, 'value', None), f'NVML does not start: {error}')}"


def _nvml_gpus(nvml: Any) -> tuple[list[Gpu], list[str]]:
    gpus: list[Gpu] = []
    notes: list[str] = []
    try:
        count = int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        return [], [f"NVIDIA: the GPUs cannot be counted: {error}"]
    if count == 0:
        notes.append("NVIDIA: the driver is there and shows no GPU")
    for index in range(count):
        try:
            found, why_not = _nvml_gpu(nvml, index)
        except nvml.NVMLError as error:
            # One broken GPU must not hide the others.
            found, why_not = [], f"NVIDIA: GPU {index} is left out: {error}"
        gpus += found
        if why_not:
            notes.append(why_not)
    return gpus, notes


def _nvml_gpu(nvml: Any, index: int) -> tuple[list[Gpu], str]:
    """One GPU, or its MIG instances; or none and why."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    mode = _asked(nvml, nvml.nvmlDeviceGetComputeMode, handle)
    if mode == nvml.NVML_COMPUTEMODE_PROHIBITED:
        return [], f"NVIDIA: GPU {index} is left out: its compute mode is Prohibited"
    exclusive = mode == nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
    if not _mig_is_on(nvml, handle):
        return [_nvml_facts(nvml, handle, handle, index, exclusive)], ""
    parts = _mig_handles(nvml, handle)
    if not parts:
        return [], f"NVIDIA: GPU {index} is left out: MIG is on and it has no instance"
    return [_nvml_facts(nvml, part, handle, index, exclusive) for part in parts], ""


def _nvml_facts(nvml: Any, part: Any, handle: Any, index: int, exclusive: bool) -> Gpu:
    memory = _asked(nvml, nvml.nvmlDeviceGetMemoryInfo, part)
    if memory is None:
        total_mib, free_mib = _host_memory_mib()
    else:
        total_mib, free_mib = int(memory.total // MIB), int(memory.free // MIB)
    return Gpu(
        uuid=_text(nvml.nvmlDeviceGetUUID(part)),
        gpu_uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        index=index,
        # An instance is called by its profile, "NVIDIA H100 MIG 1g.10gb".
        name=_text(nvml.nvmlDeviceGetName(part)),
        total_mib=total_mib,
        free_mib=free_mib,
        exclusive=exclusive,
    )


def _host_memory_mib() -> tuple[int, int]:
    """(total, free) of the machine: where GPU and CPU share one memory, the GPU's too."""
    host = psutil.virtual_memory()
    return int(host.total // MIB), int(host.available // MIB)


def _mig_is_on(nvml: Any, handle: Any) -> bool:
    modes = _asked(nvml, nvml.nvmlDeviceGetMigMode, handle)
    return modes is not None and modes[0] == nvml.NVML_DEVICE_MIG_ENABLE


def _mig_handles(nvml: Any, handle: Any) -> list[Any]:
    parts = []
    for i in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            parts.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i))
        except nvml.NVMLError:
            continue  # this place holds no instance
    return parts


def _asked(nvml: Any, question: Any, handle: Any) -> Any:
    """The answer; None where the GPU does not have what is asked for."""
    try:
        return question(handle)
    except nvml.NVMLError as error:
        if getattr(error, "value", None) == nvml.NVML_ERROR_NOT_SUPPORTED:
            return None
        raise


def _nvml_look(nvml: Any, uuid: str) -> tuple[Gpu | None, list[Occupant]]:
    gpus, _ = _nvml_gpus(nvml)
    found = next((gpu for gpu in gpus if gpu.uuid == uuid), None)
    if found is None:
        return None, []
    used: dict[int, int | None] = {}
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        for question in (
            nvml.nvmlDeviceGetComputeRunningProcesses,
            nvml.nvmlDeviceGetGraphicsRunningProcesses,
        ):
            for process in _asked(nvml, question, handle) or []:
                mib = process.usedGpuMemory
                used[int(process.pid)] = None if mib is None else int(mib // MIB)
    except nvml.NVMLError:
        pass  # the memory is known all the same; who holds it is not
    return found, [Occupant(pid, mib) for pid, mib in sorted(used.items())]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _smi_gpus() -> tuple[list[Gpu], list[str]]:
    lines, note = _ask_smi([_SMI_GPUS, "--format=csv,noheader,nounits"])
    gpus: list[Gpu] = []
    notes = [note] if note else []
    for row in csv.reader(lines, skipinitialspace=True):
        if len(row) != 7 or not row[0].isdigit() or not row[1].startswith("GPU-"):
            notes.append(f"nvidia-smi: a line that cannot be read: {','.join(row)[:80]!r}")
            continue
        index, uuid, name, total, free, compute_mode, mig = (word.strip() for word in row)
        if compute_mode == "Prohibited":
            notes.append(f"NVIDIA: GPU {index} is left out: its compute mode is Prohibited")
            continue
        total_mib, free_mib = (
            (int(total), int(free)) if total.isdigit() and free.isdigit() else _host_memory_mib()
        )
        exclusive = compute_mode == "Exclusive_Process"
        gpu = Gpu(uuid, uuid, int(index), name, total_mib, free_mib, exclusive)
        if mig != "Enabled":
            gpus.append(gpu)
            continue
        parts = _smi_instances(gpu)
        gpus += parts
        if not parts:
            notes.append(f"NVIDIA: GPU {index} is left out: MIG is on and it has no instance")
    return gpus, notes


def _smi_instances(gpu: Gpu) -> list[Gpu]:
    """MIG instances of a GPU; their memory is what the name of the profile says."""
    lines, _ = _ask_smi(["-L"])
    found: list[Gpu] = []
    inside = False
    for line in lines:
        if match := _SMI_GPU_LINE.match(line):
            inside = match[1] == gpu.uuid
        elif inside and (match := _SMI_MIG_LINE.match(line)):
            total = int(match[2]) * 1024
            free = min(total, gpu.free_mib)
            name = f"{gpu.name} MIG {match[1]}"
            found.append(Gpu(match[3], gpu.uuid, gpu.index, name, total, free, gpu.exclusive))
    return found


def _smi_occupants(gpu_uuid: str) -> list[Occupant]:
    lines, _ = _ask_smi([_SMI_PROCESSES, "--format=csv,noheader,nounits"])
    found = []
    for row in csv.reader(lines, skipinitialspace=True):
        if len(row) == 3 and row[0] == gpu_uuid and row[1].isdigit():
            found.append(Occupant(int(row[1]), int(row[2]) if row[2].isdigit() else None))
    return found


def _ask_smi(arguments: Sequence[str]) -> tuple[list[str], str]:
    """The lines that nvidia-smi prints, and why there are none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], ""
    try:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    except OSError as error:
        return [], f"nvidia-smi cannot be started: {error}"
    try:
        output, _ = process.communicate(timeout=SMI_LIMIT_S)
    except subprocess.TimeoutExpired:
        # On a sick driver it hangs in the kernel and cannot be killed: it is not waited for again.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        return [], f"nvidia-smi gave no answer within {SMI_LIMIT_S:g} s; the driver may be sick"
    lines = output.decode("utf-8", errors="replace").splitlines()
    if process.returncode != 0:
        said = next((line.strip() for line in lines if line.strip()), "nothing")
        return [], f"nvidia-smi ended with exit status {process.returncode} and said: {said[:200]}"
    return [line for line in lines if line.strip() and "No devices were found" not in line], ""
