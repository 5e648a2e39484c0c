"""Say what this machine lets us use: cores and memory, after affinity and control groups.

Of the groups (see gpu.cores) the one whose memory is scarcest counts.
"""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

from gpu.cores import ROOT, cpu_quota, group_folders, usable_cores, words_of

__all__ = [
    "MIB",
    "GroupLimits",
    "address_limit_mib",
    "allow_open_files",
    "available_memory_mib",
    "died_of_memory",
    "group_limits",
    "memory_kills",
    "memory_limit_mib",
    "usable_cores",
    "why_cores",
]

MIB = 1 << 20
# Version 1 writes "no limit" as the largest multiple of a page; no machine has that much memory.
_NO_LIMIT_BYTES = 1 << 60
# Enough for four pipes and a lock each of ten thousand workers.
_MOST_OPEN_FILES = 1 << 16
# With less than this left, a killed worker is most likely one that the system ended for memory.
SCARCE_MIB = 256.0


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """What the control groups of this process allow; None: they set no limit.

    cores: CPU quota. limit_mib, used_mib: of the group whose memory is scarcest; page cache that
    can be dropped at once is not counted as used.
    """

    cores: float | None = None
    limit_mib: float | None = None
    used_mib: float | None = None

    @property
    def free_mib(self) -> float | None:
        """Memory that the groups leave."""
        if self.limit_mib is None or self.used_mib is None:
            return None
        return max(0.0, self.limit_mib - self.used_mib)


def group_limits(root: Path = ROOT) -> GroupLimits:
    """Read /proc/self/cgroup and the files of the groups it names, below `root`."""
    scarcest: tuple[float, float] | None = None
    for folder in group_folders(root, "memory"):
        found = _memory(folder)
        if found is not None and (scarcest is None or _left(found) < _left(scarcest)):
            scarcest = found
    limit, used = scarcest or (None, None)
    return GroupLimits(cpu_quota(root), limit, used)


def why_cores() -> str:
    """Where the number of usable cores comes from, in words."""
    reasons = []
    there, allowed = os.cpu_count() or 1, len(os.sched_getaffinity(0))
    if allowed < there:
        reasons.append(f"affinity allows {allowed} of {there}")
    quota = cpu_quota()
    if quota is not None:
        reasons.append(f"the control group's quota is {quota:g}")
    return "; ".join(reasons) or "all of the machine"


def available_memory_mib() -> float:
    """Memory that can be taken without swapping, within the control group's limit."""
    free: float = psutil.virtual_memory().available / MIB
    left = group_limits().free_mib
    return free if left is None else min(free, left)


def memory_limit_mib() -> float:
    """All memory that this process may ever have: the machine's, or its control group's."""
    total: float = psutil.virtual_memory().total / MIB
    limit = group_limits().limit_mib
    return total if limit is None else min(total, limit)


def address_limit_mib() -> float | None:
    """Address space that one process may have (`ulimit -v`); None if it is not limited."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft / MIB


def allow_open_files() -> None:
    """Let this process open as many files as it may: each worker takes four, each lease one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def memory_kills(root: Path = ROOT) -> int | None:
    """Processes that were killed because memory ran out: in this control group, else since boot.

    A worker that died while this number rose was most likely one of them. None: nobody counts.
    """
    for folder in group_folders(root, "memory"):
        kills = _kills(folder)
        if kills is not None:
            return kills
    return _number_in(root / "proc/vmstat", "oom_kill")


def died_of_memory(
    status: int,
    last_words: str,
    kills_before: int | None,
    kills_now: int | None,
    free_mib: float,
) -> str | None:
    """Why a dead worker is taken to have run out of memory; None: it died of something else.

    status: as Popen.returncode gives it. last_words: the end of its standard error. kills_before,
    kills_now: memory_kills() when its job began and now. free_mib: memory available now.
    """
    words = last_words.lower()
    if status == -signal.SIGKILL:
        if kills_before is not None and kills_now is not None and kills_now > kills_before:
            return "the system killed it because memory ran out"
        if free_mib < SCARCE_MIB:
            return (
                f"it was killed while {free_mib:.0f} MiB of memory were left, "
                "most likely because memory ran out"
            )
        return None
    if status == 0:
        return None
    for sign in ("bad_alloc", "out of memory", "memoryerror", "cannot allocate memory"):
        if sign in words:
            return f"it ended when memory ran out ({sign})"
    return None


def _memory(folder: Path) -> tuple[float, float] | None:
    """(limit, used) in MiB, or None without a limit."""
    limits = [
        bound
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes")
        if (bound := _bytes(folder / name)) is not None and bound < _NO_LIMIT_BYTES
    ]
    if not limits:
        return None
    used = _bytes(folder / "memory.current")
    cache = _number_in(folder / "memory.stat", "inactive_file")
    if used is None:
        used = _bytes(folder / "memory.usage_in_bytes") or 0
        cache = _number_in(folder / "memory.stat", "total_inactive_file")
    return min(limits) / MIB, max(0, used - (cache or 0)) / MIB


def _left(memory: tuple[float, float]) -> float:
    return memory[0] - memory[1]


def _kills(folder: Path) -> int | None:
    events = _number_in(folder / "memory.events", "oom_kill")
    return events if events is not None else _number_in(folder / "memory.oom_control", "oom_kill")


def _bytes(path: Path) -> int | None:
    words = words_of(path)
    return int(words[0]) if words and words[0].isdigit() else None


def _number_in(path: Path, name: str) -> int | None:
    """The number after `name` in a file of "name number" lines."""
    words = words_of(path)
    for key, value in zip(words[::2], words[1::2], strict=False):
        if key == name and value.isdigit():
            return int(value)
    return None
