"""Write files so that a reader sees the old content or the new, never a half; and hash them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 1 << 20
# As atomic_writer names them.
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")


@contextlib.contextmanager
def atomic_writer(path: Path, *, private: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary binary file beside `path`; on success flush it and rename it into place.

    On any error (a full disk too) the temporary file is removed and `path` is as it was. private:
    nobody but the owner may read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not private:  # as which it was made
            temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def drop_temporaries(folder: Path) -> list[Path]:
    """Delete what writers that were killed have left below `folder`; returns the files.

    Only for whoever knows that nobody writes there now.
    """
    left = [path for path in folder.rglob(".*.tmp") if _TEMPORARY.fullmatch(path.name)]
    for path in left:
        path.unlink(missing_ok=True)
    return left


def write_text_atomic(path: Path, text: str, *, private: bool = False) -> None:
    """Replace the content of `path` with `text` (UTF-8) in one step."""
    with atomic_writer(path, private=private) as file:
        file.write(text.encode("utf-8"))


def replace_quickly(path: Path, text: str) -> None:
    """Replace `path` atomically for readers, without waiting for the disk (progress snapshots)."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _umask() -> int:
    # The only way to read the mask is to set it; the process is single-threaded where it matters.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
