"""Say who holds the leases of this machine, without taking any.

A lock file that nobody has locked is no lease, whoever wrote it: only the operating system's own
list of locks counts.
"""

from __future__ import annotations

import fcntl
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lock file that a live process holds.

    device: the file's stem, which is the device's UUID. pid: None where the holder cannot be seen
    from here. folder: the holder's working directory, which for a step is its workspace. since:
    when the holder was started.
    """

    device: str
    pid: int | None
    folder: str | None
    since: datetime | None

    def __str__(self) -> str:
        if self.pid is None:
            return "a process that cannot be seen from here"
        words = f"pid {self.pid}"
        if self.folder is not None:
            words += f" in {self.folder}"
        if self.since is not None:
            words += f", started {self.since.astimezone():%Y-%m-%d %H:%M:%S}"
        return words


def held_leases(lock_dir: Path, locks: Path = LOCKS) -> tuple[HeldLease, ...]:
    """The leases that are out, by device. lock_dir: see gpu.host.leases.machine_lock_dir."""
    held = []
    listed = _flocks(locks)
    try:
        paths = sorted(lock_dir.glob("*.lock"))
    except OSError:
        return ()  # none that could be looked at; who takes one there is told
    for path in paths:
        try:
            file = path.lstat()
        except OSError:
            continue
        if not stat.S_ISREG(file.st_mode):
            continue  # in a folder for all, others may put what must not be opened
        pid = next((p for p in listed.get(file.st_ino, []) if _has_open(p, path)), None)
        if pid is not None or _is_locked(path):
            held.append(_describe(path.stem, pid))
    return tuple(held)


def _flocks(locks: Path) -> dict[int, list[int]]:
    """Pids that hold a flock, by inode: "5: FLOCK  ADVISORY  WRITE 1234 fe:00:131 0 EOF"."""
    found: dict[int, list[int]] = {}
    try:
        lines = locks.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        words = line.split()
        # A line whose second word is "->" is of one that waits.
        if len(words) >= 6 and words[1] == "FLOCK" and words[4].isdigit():
            inode = words[5].rpartition(":")[2]
            if inode.isdigit():
                found.setdefault(int(inode), []).append(int(words[4]))
    return found


def _has_open(pid: int, path: Path) -> bool:
    # Another file system may have a file of the same number.
    try:
        return any(Path(file.path) == path.resolve() for file in psutil.Process(pid).open_files())
    except psutil.Error:
        return False


def _is_locked(path: Path) -> bool:
    """Whether somebody holds it whom the list does not show, as from inside a container."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _describe(device: str, pid: int | None) -> HeldLease:
    if pid is None:
        return HeldLease(device, None, None, None)
    folder = since = None
    try:
        process = psutil.Process(pid)
        since = datetime.fromtimestamp(process.create_time(), UTC)
        folder = process.cwd()
    except psutil.Error:
        pass  # it has just ended, or another user owns it
    return HeldLease(device, pid, folder, since)
