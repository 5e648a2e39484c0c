"""Count the cores that this process may keep busy, after affinity and control groups.

The parent and its workers count in the same way. A control group (a container, a systemd slice, a
batch system) may allow less than the machine has; both versions are read, from the group of this
process up to the root, and the tightest limit counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Cores this process may keep busy: its affinity, cut by the quota of its control group."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota(root)
    return max(1, min(cores, int(quota))) if quota is not None else cores


def cpu_quota(root: Path = ROOT) -> float | None:
    """Cores that the control groups of this process allow; None: they set no limit."""
    quotas = [_quota(folder) for folder in group_folders(root, "cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def group_folders(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's groups for a controller, the innermost first, up to the mount.

    /proc/self/cgroup names them. Inside a container it may name a group that only its host sees;
    what is visible counts.
    """
    mounts = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, names, path = (*line.split(":", 2), "", "")[:3]
        if number == "0":
            bases = [mounts, mounts / "unified"]
        elif controller in names.split(","):
            bases = [mounts / controller, mounts / names]
        else:
            continue
        for base in dict.fromkeys(bases):
            inner = base / path.strip("/")
            for folder in [inner, *inner.parents]:
                if folder.is_dir():
                    yield folder
                if folder == base:
                    break


def words_of(path: Path) -> list[str]:
    """The words of a small file of the kernel's; none where it cannot be read."""
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []


def _quota(folder: Path) -> float | None:
    """Cores by cpu.max (version 2) or cpu.cfs_quota_us (version 1)."""
    words = words_of(folder / "cpu.max")
    if len(words) == 2 and words[0] != "max":
        return _ratio(words[0], words[1])
    quota, period = words_of(folder / "cpu.cfs_quota_us"), words_of(folder / "cpu.cfs_period_us")
    if quota and period and not quota[0].startswith("-"):
        return _ratio(quota[0], period[0])
    return None


def _ratio(quota: str, period: str) -> float | None:
    try:
        return float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return None
