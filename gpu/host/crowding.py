"""Say whether a device has room for a job now, and who holds what is missing."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

import psutil

from gpu.host.amd import free_of
from gpu.host.devices import Device
from gpu.host.kin import kin_of
from gpu.host.machine import MIB, available_memory_mib
from gpu.host.nvidia import Gpu, Occupant, look_at

_NAMED = 3


def crowded(device: Device, need_mib: float, *, ours: Collection[int] | None = None) -> str | None:
    """Why a device has no room for a job now, and who holds it; None where there is room.

    ours: pids whose memory on the device counts as room, because the job will run in them; None:
    this process and its descendants. Ask before a lease is used; a crowded device can be waited
    for.
    """
    mine = kin_of(os.getpid()) if ours is None else frozenset(ours)
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


def filled_by_others(device: Device, need_mib: float) -> str | None:
    """As crowded, but only where processes that can be seen from here are why.

    In a container the driver may give numbers that mean nothing here: such a process may be our own
    worker that waits for work, and a wait for its end would have none.
    """
    if device.kind != "cuda":
        return None
    gpu, present = look_at(device.uuid)
    mine = kin_of(os.getpid())
    foreign = [o for o in present if o.pid not in mine and psutil.pid_exists(o.pid)]
    if gpu is None or not foreign:
        return None
    problem = _problem(gpu, device.name, need_mib, _room_mib(gpu, present, mine), foreign)
    return None if problem is None else f"{problem}; held by {_described(foreign)}"


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


def _crowded_gpu(device: Device, need_mib: float, ours: frozenset[int]) -> str | None:
    gpu, present = look_at(device.uuid)
    if gpu is None:
        return f"{device.name} ({device.uuid}) is not there any more"
    foreign = [occupant for occupant in present if occupant.pid not in ours]
    problem = _problem(gpu, device.name, need_mib, _room_mib(gpu, present, ours), foreign)
    if problem is None:
        return None
    if not foreign:
        return f"{problem}; the driver does not say who holds the rest"
    return f"{problem}; held by {_described(foreign)}"


def _room_mib(gpu: Gpu, present: Sequence[Occupant], ours: frozenset[int]) -> int:
    return gpu.free_mib + sum(o.used_mib or 0 for o in present if o.pid in ours)


def _problem(
    gpu: Gpu, name: str, need_mib: float, room_mib: int, foreign: Sequence[Occupant]
) -> str | None:
    if gpu.exclusive and foreign:
        return f"{name} takes one process at a time"
    if room_mib < need_mib:
        return f"{name} has {room_mib} MiB free, {need_mib:.0f} MiB are needed"
    return None


def _described(foreign: Sequence[Occupant]) -> str:
    largest = sorted(foreign, key=lambda o: -(o.used_mib or 0))
    return _listed([describe_occupant(occupant) for occupant in largest])


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
