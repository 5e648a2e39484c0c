"""When the daemon starts a run: read --every, and work out the next start."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from pathlib import Path

from agents.errors import UsageError

SHORTEST_EVERY_S = 10.0
LONGEST_EVERY_S = 366 * 86400.0

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_every(text: str) -> float:
    """Seconds from 90s, 30m, 6h, 1d; raises UsageError naming what is taken."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"--every: must be a number with s, m, h or d, such as 30m; got {text!r}")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if not SHORTEST_EVERY_S <= seconds <= LONGEST_EVERY_S:
        raise UsageError(f"--every: must be 10s..366d, got {text.strip()}")
    return seconds


def next_start(last_start_s: float, every_s: float, jitter_s: float, now_s: float) -> float:
    """When the next run starts: an interval and the jitter after the last start, or now.

    Starts that a long run has missed are not made up for. All in seconds, monotonic.
    """
    return max(last_start_s + every_s + jitter_s, now_s)


def jitters(workspace: Path, every_s: float) -> Iterator[float]:
    """Seconds to add to each interval: up to 10 % of it, at most 5 minutes.

    Seeded from the workspace's path: the same there after a restart, another elsewhere, so that
    the workspaces of a machine spread.
    """
    seed = int.from_bytes(hashlib.sha256(str(workspace).encode("utf-8", "replace")).digest()[:8])
    source = random.Random(seed)  # noqa: S311 - nothing secret
    while True:
        yield source.uniform(0.0, min(0.1 * every_s, 300.0))
