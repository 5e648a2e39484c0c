"""Kill every process that carries a mark in its environment, wherever it has fled to.

A worker's descendants inherit its environment: neither a group of their own nor a parent that has
died hides them. Linux only; elsewhere the process group has to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_PROC = Path("/proc")
# Places in /proc/PID/stat, counted behind the name in brackets.
_STATE, _FLAGS, _START_TICKS = 0, 6, 19
# PF_KTHREAD never has an environment; PF_EXITING has it no more, and may be long in a driver.
_NEVER_STARTS = 0x00200000 | 0x4
_ENDED = "ZXx"  # a zombie, or just being reaped: some kernels show its environment as empty
LOOK_AGAIN_S = 0.01
LOOKS = 100


def kill_marked(mark: bytes, first: int) -> None:
    """SIGKILL the processes whose environment holds `mark`; look until no other one is found.

    first: the pid that the mark was given to, not yet reaped; what is older is left alone. One look
    is not enough: what is killed may just have forked, and a process in the middle of exec shows an
    empty environment for a moment. Such a one is waited for, a second at most. Who has had the
    signal is not waited for: it starts nothing more.
    """
    since = _start_ticks(first)
    killed: set[int] = set()
    for _ in range(LOOKS):
        before = len(killed)
        starting = _look(mark, since, killed)
        if len(killed) == before and not starting:
            return
        time.sleep(LOOK_AGAIN_S)


def _look(mark: bytes, since: int, killed: set[int]) -> bool:
    """Kill those that are not among the killed yet; whether one shows no environment yet."""
    starting = False
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        # One that is gone or that belongs to another user is not of ours.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, PermissionError):
            pid = int(folder.name)
            if pid in killed:
                continue
            environment = (folder / "environ").read_bytes()
            if mark in environment and _kill_if_marked(pid, mark):
                killed.add(pid)
            elif not environment and _may_be_starting(pid, since):
                starting = True
    return starting


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
    if fields[_STATE] in _ENDED:
        return False
    return not int(fields[_FLAGS]) & _NEVER_STARTS and int(fields[_START_TICKS]) >= since


def _start_ticks(pid: int) -> int:
    """When a process was forked, in clock ticks since boot; 0 where that cannot be read."""
    try:
        return int(_stat(pid)[_START_TICKS])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _stat(pid: int) -> list[str]:
    stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()
