"""A process and those that it has started, with the memory that they hold."""

from __future__ import annotations

import contextlib

import psutil

from gpu.host.machine import MIB


def kin_of(pid: int) -> frozenset[int]:
    """A process and its descendants."""
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return frozenset({pid})
    return frozenset({pid, *(child.pid for child in children)})


def descendants_mib() -> float:
    """Memory that is free again once the descendants of this process are gone."""
    held = 0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            held += child.memory_full_info().uss
    return held / MIB
