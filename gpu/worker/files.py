"""Write a file beside its final name and rename it, so that nobody reads half of one."""

from __future__ import annotations

import contextlib
import os
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
