"""Find and kill every process that a step has started, also those that left its group.

On Linux the watcher makes itself a subreaper: a process whose parent has died becomes the
watcher's child instead of init's, so nothing can slip away by forking twice. Elsewhere the
descendants are looked up again and again while the step runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from typing import Self

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_LOOK_EVERY_S = 0.5


class Descendants:
    """Processes started below this one since `with` began; all dead after kill()."""

    def __enter__(self) -> Self:
        self._own = psutil.Process()
        self._before = set(self._own.children(recursive=True))
        self._seen: set[psutil.Process] = set()
        self._looked_at = 0.0
        self._was_subreaper = _set_subreaper(True)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._was_subreaper:
            _set_subreaper(False)

    def look(self) -> None:
        """Take note of the descendants there are now (at most every half second)."""
        if time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._gather()

    def settle(self, patience_s: float) -> None:
        """Give descendants this long to end by themselves, as a step's last act makes them."""
        give_up_at = time.monotonic() + patience_s
        self._gather()
        while any(_is_alive(process) for process in self._seen) and time.monotonic() < give_up_at:
            time.sleep(0.02)

    def kill(self) -> int:
        """SIGKILL all, reap those that became ours; returns how many were still alive."""
        found: set[psutil.Process] = set()
        for _ in range(20):  # what is killed may just have forked: look until nobody is left
            self._gather()
            alive = {process for process in self._seen if _is_alive(process)}
            self._reap()
            if not alive:
                break
            found |= alive
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()  # psutil compares start times: never a reused pid
            psutil.wait_procs(alive, timeout=0.5)
        return len(found)

    def _gather(self) -> None:
        self._looked_at = time.monotonic()
        self._seen = {process for process in self._seen if process.is_running()}
        with contextlib.suppress(psutil.Error):
            self._seen |= set(self._own.children(recursive=True)) - self._before

    def _reap(self) -> None:
        for process in self._seen:
            with contextlib.suppress(ChildProcessError, psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(process.pid, os.WNOHANG)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _set_subreaper(on: bool) -> bool:
    """Returns whether it was on before."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int(0)
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)
    return bool(before.value)
