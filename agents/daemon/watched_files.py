"""Tell when a watched file holds something new and is at rest, so that no half file starts a run.

A stamp (size, times, inode) says that a file may have changed; its content decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.errors import UsageError
from agents.workspace import expanded
from steps.files import sha256_file

SETTLE_S = 2.0


def watched_path(path: Path, root: Path, cwd: Path) -> Path:
    """Where a watched file lies: in the workspace, else in `cwd` if it is there; as inputs do."""
    places = (root / expanded(path), cwd / expanded(path))  # an absolute path stays itself
    return next((place for place in places if place.exists()), places[0])


class WatchedFiles:
    """Several files; a fault of one is said once and does not hide the others."""

    def __init__(self, files: Sequence[WatchedFile], say: Callable[[str], None]) -> None:
        self._files = files
        self._say = say
        self._problems: dict[Path, str] = {}

    def look(self, now_s: float) -> str | None:
        """The name of the first file whose content is new and at rest."""
        for file in self._files:
            try:
                is_new = file.look(now_s)
            except OSError as fault:
                self._problem(file.path, fault)
                continue
            self._problems.pop(file.path, None)
            if is_new:
                return file.path.name
        return None

    def begin(self) -> None:
        """A run starts and sees what is there now."""
        for file in self._files:
            try:
                file.begin()
            except OSError as fault:
                self._problem(file.path, fault)

    def _problem(self, path: Path, fault: OSError) -> None:
        message = f"{path}: cannot be watched: {fault.strerror or fault}"
        if self._problems.get(path) != message:
            self._problems[path] = message
            self._say(message)


class WatchedFile:
    """One file: is its content another one than at the last start, and is it at rest?

    At rest: its stamp has not moved for settle_s seconds. It need not exist yet. Content is hashed
    once for each stamp, while nothing else is to be done.
    """

    def __init__(self, path: Path, settle_s: float = SETTLE_S) -> None:
        if path.is_dir():
            raise UsageError(f"--on-change: must name a file, got the folder {path}")
        self.path = path
        self._settle_s = settle_s
        self._stamp: _Stamp | None = None
        self._since_s = 0.0
        self._hashed: tuple[_Stamp, str] | None = None
        self._begun: _Stamp | None = None
        self._begun_digest: str | None = None

    def look(self, now_s: float) -> bool:
        """Whether there is something new. now_s: monotonic. Raises OSError: it cannot be read."""
        stamp = _stamp(self.path)
        if stamp != self._stamp:
            self._stamp, self._since_s = stamp, now_s
        if stamp is None or now_s - self._since_s < self._settle_s:
            return False
        digest = self._digest(stamp)
        if digest is None:
            return False
        if stamp == self._begun:
            # Hashed after the start, yet the stamp says that it is what the run saw.
            self._begun_digest = digest
            return False
        return digest != self._begun_digest

    def begin(self) -> None:
        """A run starts and sees what is there now."""
        self._begun = _stamp(self.path)
        known = self._hashed is not None and self._hashed[0] == self._begun
        self._begun_digest = self._hashed[1] if known and self._hashed else None

    def _digest(self, stamp: _Stamp) -> str | None:
        if self._hashed is not None and self._hashed[0] == stamp:
            return self._hashed[1]
        try:
            digest = sha256_file(self.path)
        except FileNotFoundError:
            return None
        if _stamp(self.path) != stamp:  # written to meanwhile
            return None
        self._hashed = (stamp, digest)
        return digest


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells that a file may have changed; content decides (mtime can be set, ctime not)."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def _stamp(path: Path) -> _Stamp | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _Stamp(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
