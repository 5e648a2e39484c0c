"""Kill every process that carries a mark in its environment, wherever it has fled to.

A worker's descendants inherit its environment: neither a group of their own nor a parent that has
died hides them. Linux only; elsewhere the process group has to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# Places in /proc/PID/stat, counted behind the name in brackets.
_FLAGS, _START_TICKS = 6, 19
_OF_THE_KERNEL = 0x00200000  # PF_KTHREAD: it never has an environment
LOOK_AGAIN_S = 0.01
LOOKS = 100


@dataclass(slots=True)
class _Look:
    """What one look over all processes found. starting: whether one shows no environment yet."""

    killed: int = 0
    starting: bool = False


def kill_marked(mark: bytes, first: int) -> None:
    """SIGKILL the processes whose environment holds `mark`; look until none is left.

    first: the pid that the mark was given to, not yet reaped; what is older is left alone. One look
    is not enough: what is killed may just have forked, and a process in the middle of exec shows an
    empty environment for a moment. Such a one is waited for, a second at most.
    """
    since = _start_ticks(first)
    for _ in range(LOOKS):
        look = _look(mark, since)
        if not look.killed and not look.starting:
            return
        time.sleep(LOOK_AGAIN_S)


def _look(mark: bytes, since: int) -> _Look:
    look = _Look()
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        # One that is gone or that belongs to another user is not of ours.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, PermissionError):
            pid = int(folder.name)
            environment = (folder / "environ").read_bytes()
            if mark in environment:
                look.killed += _kill_if_marked(pid, mark)
            elif not environment and _may_be_starting(pid, since):
                look.starting = True
    return look


def _kill_if_marked(pid: int, mark: bytes) -> bool:
    pidfd = os.pidfd_open(pid)
    try:
        # Looked at again: the number may have been given to another process in between.
        if mark not in (_PROC / str(pid) / "environ").read_bytes():
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
    return True


def _may_be_starting(pid: int, since: int) -> bool:
    fields = _stat(pid)
    return not int(fields[_FLAGS]) & _OF_THE_KERNEL and int(fields[_START_TICKS]) >= since


def _start_ticks(pid: int) -> int:
    """When a process was forked, in clock ticks since boot; 0 where that cannot be read."""
    try:
        return int(_stat(pid)[_START_TICKS])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _stat(pid: int) -> list[str]:
    stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()
