"""Where the lock files of devices lie, and how one is taken: without a byte written into any.

A GPU has one holder on the machine, whoever its user is. Slots of the CPU are counted by each user
for itself; between users the system divides the cores.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpu.host.devices import Device

LEASE_DIR = "WATCHER_LEASE_DIR"
# In each of them every user may make files, and nobody remove another's; TMPDIR changes none.
SHARED = (Path("/run/lock"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108
NAME = "watcher-leases"
_OPEN_TO_ALL = stat.S_ISVTX | stat.S_IWOTH
# A file that another user has put there, a link or a pipe, must not lead or hold us anywhere.
_WITH_CARE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_READABLE = 0o644
# What another try may find gone: too many open files, a full disk. The folder is not to blame.
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}


class LeaseFolderError(OSError):
    """No lock file can be made; the sentence names the folder and says what helps."""


def lock_dir_of(device: Device) -> Path:
    """The folder of the device's lock file."""
    return user_lock_dir() if device.kind == "cpu" else machine_lock_dir()


def machine_lock_dir(
    environ: Mapping[str, str] = os.environ, shared: Sequence[Path] = SHARED
) -> Path:
    """Where the locks of GPUs lie, for all users; WATCHER_LEASE_DIR names another folder.

    That of this user where no folder is open to all; `sharing_note` says so.
    """
    if named := environ.get(LEASE_DIR):
        return Path(named)
    return next((base / NAME for base in shared if _can_share(base)), user_lock_dir())


def user_lock_dir() -> Path:
    """Where the locks of CPU slots lie; not in a workspace, which others do not see."""
    return Path(tempfile.gettempdir()) / f"watcher-leases-{os.getuid()}"


def sharing_note(
    environ: Mapping[str, str] = os.environ, shared: Sequence[Path] = SHARED
) -> str | None:
    """What is to be said where other users' runs do not see our leases."""
    folder = machine_lock_dir(environ, shared)
    if folder != user_lock_dir():
        return None
    names = ", ".join(map(str, shared))
    return (
        f"GPUs are leased among this user's runs only ({folder}): every user can write to none of "
        f"{names}; let {LEASE_DIR} name a folder that they can"
    )


def take(path: Path) -> int | None:
    """Lock a file, which is made where it is missing: a descriptor, or None if it is not to be had.

    Closing the descriptor would free it; see `release`. Raises LeaseFolderError where no file can
    be made.
    """
    try:
        _make_folder(path.parent)
        descriptor = _opened(path)
    except OSError as error:
        if error.errno in _PASSING:
            raise
        why = f"{path.name}: {error.strerror or error}"
        raise LeaseFolderError(_no_locks_in(path.parent, why)) from error
    if descriptor is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # One that was removed in between is nobody else's to see: a new one next time.
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def trouble_of(folder: Path) -> str | None:
    """Why no lock could be made there, as far as can be seen without making one."""
    places = (folder, *folder.absolute().parents)
    there = next(place for place in places if os.path.exists(place))  # noqa: PTH110  # not raising
    if not there.is_dir():
        return _no_locks_in(folder, f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return _no_locks_in(folder, f"{there} cannot be written")
    return None


def release(descriptor: int) -> None:
    """Free what `take` has locked, even while a child has inherited it and not yet begun."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _no_locks_in(folder: Path, why: str) -> str:
    return (
        f"devices cannot be leased: no lock file can be made in {folder} ({why}); let {LEASE_DIR} "
        "(GPUs) or TMPDIR (CPU slots) name a folder where it can"
    )


def _opened(path: Path) -> int | None:
    """None: it is another's, who lets nobody look at it; or it has just gone."""
    try:
        made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _WITH_CARE, _READABLE)
    except FileExistsError:
        pass
    else:
        os.fchmod(made, _READABLE)  # whatever the umask: another user must be able to open it
        return made
    for mode in (os.O_RDWR, os.O_RDONLY):
        with contextlib.suppress(PermissionError, FileNotFoundError):
            return os.open(path, mode | _WITH_CARE)
    return None


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if folder.name != NAME:
        folder.mkdir(parents=True, exist_ok=True)
        return
    # With its rights from the first moment: whoever saw others would put its locks elsewhere.
    made = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=folder.parent))
    made.chmod(0o777 | stat.S_ISVTX)
    try:
        made.rename(folder)
    except OSError:
        made.rmdir()  # another process was faster


def _can_share(base: Path) -> bool:
    folder = base / NAME
    if not _is_open_to_all(base):
        return False
    if not os.path.lexists(folder):
        return os.access(base, os.W_OK | os.X_OK)
    return _is_open_to_all(folder) and os.access(folder, os.W_OK | os.X_OK)


def _is_open_to_all(folder: Path) -> bool:
    """Whether it is a folder, and no link to one, where all make files and remove their own."""
    try:
        mode = folder.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and mode & _OPEN_TO_ALL == _OPEN_TO_ALL
