"""Write and remove the halt file for a person, without ever losing what another person wrote there.

Both work while a run is on and take no lock: the run sees the file by itself.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agents.errors import UsageError, WorkspaceError
from agents.workspace import Workspace, halt_reason
from steps.files import write_text_atomic
from steps.policies import Policy, PolicyError

REASON_CHARACTERS = 300
_READ_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class HaltWritten:
    """A halt file that was written. before: what an earlier file said, on one line, or None."""

    path: Path
    reason: str
    before: str | None


@dataclass(frozen=True, slots=True)
class HaltCleared:
    """A halt file that was removed.

    before: what it said, on one line; None if there was none. still: why nothing may start even so
    (the policy says halt, or cannot be read); None if nothing forbids it.
    """

    before: str | None
    still: str | None


def write_halt(workspace: Workspace, reason: str, who: str, now: datetime) -> HaltWritten:
    """Write the halt file: the reason, "by WHO at WHEN", and what an earlier file said.

    Raises UsageError for a reason of more than REASON_CHARACTERS, WorkspaceError for a file that
    cannot be written.
    """
    said = " ".join(reason.split()) or "no reason given"
    if len(said) > REASON_CHARACTERS:
        raise UsageError(
            f"--halt: the reason must be at most {REASON_CHARACTERS} characters, got {len(said)}"
        )
    path = workspace.halt_file
    before = _said(path)
    lines = [said, f"by {who} at {now.isoformat(timespec='seconds')}"]
    if before is not None:
        lines.append(f"instead of: {before or 'a halt file without a reason'}")
    try:
        write_text_atomic(path, "\n".join(lines) + "\n")
    except OSError as fault:
        raise WorkspaceError(f"{path}: cannot be written: {fault.strerror or fault}") from None
    return HaltWritten(path, said, before)


def clear_halt(workspace: Workspace, read_policy: Callable[[], Policy]) -> HaltCleared:
    """Remove the halt file; says whether the policy halts all the same. Raises WorkspaceError."""
    path = workspace.halt_file
    before = _said(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as fault:
        raise WorkspaceError(f"{path}: cannot be removed: {fault.strerror or fault}") from None
    try:
        still = halt_reason(workspace, read_policy())
    except PolicyError as fault:
        still = f"the policy cannot be read: {fault}"
    return HaltCleared(before, still)


def person() -> str:
    """Who works here, for records: the account by the system's own word, and the host.

    Not by LOGNAME or USER, which anybody may set.
    """
    uid = os.getuid()
    try:
        account = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user without an entry
        account = f"uid {uid}"
    return f"{account} on {socket.gethostname()}"


def _said(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return " ".join(file.read(_READ_CHARACTERS).split())
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise WorkspaceError(f"{path}: cannot be read: {fault.strerror or fault}") from None
