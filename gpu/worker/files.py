"""Write a file beside its final name and rename it, so that nobody reads half of one."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from gpu.worker.trainers.base import FloatVector


def save_array(path: Path, values: FloatVector) -> None:
    """Write an .npy file."""
    with _replacing(path) as file:
        np.save(file, values)


def save_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with _replacing(path) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Named as steps.files knows temporary files: what a killed worker leaves is dropped there.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
