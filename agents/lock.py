"""Let one watcher work in a workspace, and name it to the others.

The lock is the operating system's (flock): it is free the moment its holder dies, whatever is left
on disk. Beside it stands a holder file with pid, process start and host, for messages and --status;
the start time keeps a reused pid from being taken for the watcher that is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import ValidationError

from agents.errors import WorkspaceBusy, WorkspaceError
from agents.workspace import Workspace
from steps.contract import Frozen
from steps.files import write_text_atomic


class Holder(Frozen):
    """A watcher process. process_start: an opaque text that differs when the pid is reused."""

    pid: int
    process_start: str
    host: str
    since: datetime
    doing: str

    def is_alive(self) -> bool:
        """Whether that very process runs still. A holder on another host counts as alive."""
        if self.host != socket.gethostname():
            return True
        return process_start(self.pid) == self.process_start

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} ({self.doing})"


@contextlib.contextmanager
def only_watcher(workspace: Workspace, doing: str, now: datetime) -> Iterator[Holder]:
    """Hold the workspace's lock; raises WorkspaceBusy at once, naming the watcher that has it."""
    try:
        workspace.state_folder.mkdir(exist_ok=True)
        lock = FileLock(workspace.lock_file)
        lock.acquire(timeout=0)
    except Timeout:
        raise _busy(workspace, read_holder(workspace)) from None
    except (OSError, NotImplementedError) as fault:
        raise WorkspaceError(f"{workspace.state_folder}: cannot be locked: {fault}") from None
    try:
        holder = Holder(
            pid=os.getpid(),
            process_start=process_start(os.getpid()) or "",
            host=socket.gethostname(),
            since=now,
            doing=doing,
        )
        write_text_atomic(workspace.holder_file, holder.model_dump_json())
        yield holder
    finally:
        workspace.holder_file.unlink(missing_ok=True)
        lock.release()


def refuse_if_busy(workspace: Workspace) -> None:
    """Raise WorkspaceBusy if a watcher works here now. Changes nothing, keeps no lock."""
    first = read_holder(workspace)
    if first is not None and first.is_alive() and _is_locked(workspace):
        raise _busy(workspace, first)


def read_holder(workspace: Workspace) -> Holder | None:
    """Who wrote the holder file last; None if there is none or it cannot be read."""
    try:
        return Holder.model_validate_json(workspace.holder_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None


def _busy(workspace: Workspace, first: Holder | None) -> WorkspaceBusy:
    who = str(first) if first and first.is_alive() else "its name is not written yet"
    return WorkspaceBusy(
        f"another watcher works in {workspace.root}: {who}; `watcher --status` shows what it does"
    )


def _is_locked(workspace: Workspace) -> bool:
    # A holder file of another host may have outlived its watcher; the lock itself cannot. A shared
    # lock on a file opened for reading tells, and leaves everything as it was.
    try:
        with workspace.lock_file.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError as fault:
        raise WorkspaceError(f"{workspace.lock_file}: cannot be locked: {fault}") from None
    return False


def process_start(pid: int) -> str | None:
    """A text that names this life of a pid; None if no such process runs (a zombie is none)."""
    try:
        # Ticks since boot do not move when somebody sets the clock.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        try:
            return f"{psutil.Process(pid).create_time():.0f}"
        except psutil.Error:
            return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
