"""Know the SHA-256 of files, and hash a large one again only if it may have changed.

A hash is kept with the file's device, inode, size, mtime and ctime, and counts only while all five
are the same. mtime can be set by anybody, ctime only by the system. One case is left: a file that
is written again within the tick of the file system's clock in which it was hashed looks untouched.
So a hash is kept only if the file was at rest: its last change lay more than REST_NS back when
hashing began, by the clock of its own file system.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from agents.errors import WorkspaceError
from steps.contract import Frozen
from steps.files import write_text_atomic
from steps.policies import validation_message

CACHE_FILE = "fingerprints.json"
MAX_ENTRIES = 2000
# The coarsest ticks of file systems in use are 2 s (FAT).
REST_NS = 2_000_000_000
TRIES = 3
PAUSE_S = 1.1 * REST_NS / 1e9

Progress = Callable[[int, int], None]
FileClock = Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """When what is worth its while, in bytes.

    block: read at once. keep_from: smaller files are hashed each time, quicker than they are
    changed. rest_from: from here on waiting for a file to be at rest costs less than hashing it
    twice.
    """

    block: int = 4 << 20
    keep_from: int = 1 << 20
    rest_from: int = 256 << 20


class Looked(NamedTuple):
    """What tells one state of a file from another. Times in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class _Entry(Frozen):
    looked: Looked
    sha256: str


class _Cache(Frozen):
    schema_version: Literal[1] = 1
    entries: dict[str, _Entry]


class Fingerprints:
    """SHA-256 of files, with what is known from before. bytes_read: hashed by this object so far.

    cache_path: the file that keeps the hashes (CACHE_FILE in the workspace's state folder). clock:
    device number to the time on that file system's own clock, ns, None if it cannot be asked; by
    default a file that is made and dropped beside the cache tells, for that file system. note: is
    told what people should know. keep: False leaves the disk as it is.
    """

    def __init__(
        self,
        cache_path: Path,
        clock: FileClock | None = None,
        *,
        note: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        sizes: Sizes | None = None,
        keep: bool = True,
    ) -> None:
        self._path = cache_path
        self._clock = clock or (_ProbeClock(cache_path.parent) if keep else _no_clock)
        self._note = note
        self._sleep = sleep
        self._sizes = sizes or Sizes()
        self._keep = keep
        self._known: dict[str, _Entry] | None = None
        self.bytes_read = 0

    def sha256(self, path: Path, progress: Progress | None = None) -> str | None:
        """SHA-256 of a file's content, hexadecimal; None if there is no such file.

        progress: called with bytes done and bytes in all while a file is hashed; it may raise to
        end it. Raises WorkspaceError for a folder, a file that cannot be read, or one that somebody
        keeps changing.
        """
        real = Path(os.path.realpath(path))
        key = printable(real)
        known = self._entries()
        for attempt in range(TRIES):
            if attempt:
                self._sleep(PAUSE_S)
            looked = _look(real)
            if looked is None:
                return None
            entry = known.pop(key, None)
            if entry is not None and entry.looked == looked:
                known[key] = entry  # last in the row is the last to be dropped
                return entry.sha256
            at_rest = self._at_rest(looked)
            sha256 = self._hash(real, looked, progress)
            if sha256 is not None:
                if at_rest and looked.size >= self._sizes.keep_from:
                    known[key] = _Entry(looked=looked, sha256=sha256)
                    self._write()
                return sha256
        raise WorkspaceError(
            f"{path}: must not change while it is read, and did {TRIES} times; is it still being "
            "copied? Try again when it is complete"
        )

    def _at_rest(self, looked: Looked) -> bool:
        """Whether a change after this moment is sure to show in what is looked at."""
        now_ns = self._clock(looked.device)
        if now_ns is not None and now_ns - looked.ctime_ns > REST_NS:
            return True
        if looked.size < self._sizes.rest_from or not self._keep:
            return False
        # Unchanged for longer than a tick is at rest by any clock; hashing sees whether it is.
        self._sleep(PAUSE_S)
        return True

    def _hash(self, real: Path, looked: Looked, progress: Progress | None) -> str | None:
        """SHA-256 of the file in the state looked at; None if it did not stay in it."""
        digest = hashlib.sha256()
        done = 0
        block = memoryview(bytearray(min(self._sizes.block, looked.size + 1)))
        try:
            with real.open("rb", buffering=0) as file:
                while count := file.readinto(block):
                    digest.update(block[:count])
                    done += count
                    self.bytes_read += count
                    if _looked(os.fstat(file.fileno())) != looked:
                        return None
                    if progress is not None:
                        progress(done, looked.size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot_be_read(real, error) from None
        return digest.hexdigest() if done == looked.size and _look(real) == looked else None

    def _entries(self) -> dict[str, _Entry]:
        if self._known is None:
            self._known = {}
            try:
                text = self._path.read_bytes()
                self._known = dict(_Cache.model_validate_json(text).entries)
            except FileNotFoundError:
                pass
            except ValidationError as error:
                self._note(f"{self._path}: set aside, files are hashed anew: {_first_line(error)}")
            except OSError as error:
                self._note(f"{self._path}: cannot be read, files are hashed anew: {error}")
        return self._known

    def _write(self) -> None:
        if not self._keep:
            return
        known = self._entries()
        for key in list(known)[: max(0, len(known) - MAX_ENTRIES)]:
            del known[key]
        try:
            write_text_atomic(self._path, _Cache(entries=known).model_dump_json())
        except OSError as error:
            self._note(f"{self._path}: hashes are not kept: {error}")


def printable(path: Path) -> str:
    """A path as text that any file can hold, also if its name is not UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


class _ProbeClock:
    """The clock of the file system that holds a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, device: int) -> int | None:
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                made = os.fstat(file.fileno())
        except OSError:  # no such folder yet, a full disk: then this clock cannot be asked
            return None
        return made.st_ctime_ns if made.st_dev == device else None


def _no_clock(_device: int) -> int | None:
    return None


def _look(real: Path) -> Looked | None:
    """The state of a file; None if there is none."""
    try:
        if not stat.S_ISREG(mode := real.stat().st_mode):
            got = "a folder" if stat.S_ISDIR(mode) else "something else"
            raise WorkspaceError(f"{real}: must be a file, got {got}")
        # A network mount may answer stat from memory; opening the file makes it ask the server.
        fd = os.open(real, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _looked(os.fstat(fd))
        finally:
            os.close(fd)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _cannot_be_read(real, error) from None


def _looked(found: os.stat_result) -> Looked:
    return Looked(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _cannot_be_read(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(f"{path}: cannot be read: {error.strerror or error}")


def _first_line(error: ValidationError) -> str:
    return validation_message(error).splitlines()[0]
