"""Turn the fault of an observation into a sentence: what watches a fit must never fail it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

MOST_CHARS = 300


@contextlib.contextmanager
def noted(absent: list[str], what: str) -> Iterator[None]:
    """Run an observation; if it raises, append to `absent` what is not known now, and why."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever a library raises, the fit is sound
        lines = str(error).strip().splitlines()
        why = f"{type(error).__name__}: {' '.join(lines)}" if lines else type(error).__name__
        absent.append(f"{what}: {why}"[:MOST_CHARS])
