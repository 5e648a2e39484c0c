"""Ask a ledger with a long history; say how long --status, --history and freshness take.

    python -m benchmarks.ledger
    python -m benchmarks.ledger --runs 2000 --folder /somewhere/to/keep/it

The ledger is made by executemany, which no watcher does, with rows as a watcher writes them. Each
figure is a median of three, beside that of a ledger with one run. "cold": the file was dropped
from the system's cache before. Exit status 1 if --status takes two seconds or more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agents.ledger import Ledger
from agents.reports.explain import explain
from agents.reports.history import gather_history
from agents.reports.status import gather_status
from agents.workspace import Workspace
from benchmarks.figures import markdown
from benchmarks.ledger_rows import STEPS, make_workspace
from steps.policies import Policy

REPEATS = 3
STATUS_GOAL_S = 2.0
MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was asked. seconds: median; peak_mib: of the command, None for a function."""

    what: str
    seconds: float
    peak_mib: float | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the ledgers, ask them, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ledger",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--per-run", type=int, default=50, help="decisions, each of an attempt")
    parser.add_argument("--folder", type=Path, help="keep the ledgers there")
    options = parser.parse_args(arguments)
    with _folder(options.folder) as folder:
        small = make_workspace(folder / "small", 1, options.per_run)
        begun = time.perf_counter()
        large = make_workspace(folder / "large", options.runs, options.per_run)
        made_s = time.perf_counter() - begun
        loads = [f"{load:.1f}" for load in os.getloadavg()[:2]]
        size_mib = large.ledger_file.stat().st_size / MIB
        print(
            f"{options.runs} runs, {options.runs * options.per_run} decisions and as many "
            f"attempts; {size_mib:.0f} MiB, made in {made_s:.0f} s; "
            f"SQLite {sqlite3.sqlite_version}; load average {loads[0]} (5 minutes: {loads[1]})\n"
        )
        beside = ask(small)
        figures = ask(large)
    rows = [
        [f.what, _ms(f.seconds), _ms(s.seconds), f"{f.peak_mib:.0f}" if f.peak_mib else ""]
        for f, s in zip(figures, beside, strict=True)
    ]
    print(markdown(["asked", "ms", "ms with one run", "peak MiB"], rows))
    slow = [f for f in figures if "--status" in f.what and f.seconds >= STATUS_GOAL_S]
    for figure in slow:
        print(f"{figure.what}: wanted under {STATUS_GOAL_S:g} s, got {figure.seconds:.2f} s")
    return 1 if slow else 0


def ask(workspace: Workspace) -> list[Figure]:
    """Every question, as a whole command and as the function behind it."""
    status = partial(gather_status, workspace, Policy, tuple, _now)
    history = partial(gather_history, workspace.ledger_file, _now)
    figures = [
        _command("watcher --status, cold", workspace, "--status", cold=True),
        _command("watcher --status", workspace, "--status"),
        _command("watcher --history, cold", workspace, "--history", cold=True),
        _command("watcher --history", workspace, "--history"),
        _command("watcher --explain last, cold", workspace, "--explain", "last", cold=True),
        _command("watcher --explain last", workspace, "--explain", "last"),
        Figure("gather_status", _median(status)),
        Figure("gather_history, 20 runs", _median(history)),
        Figure("gather_history, 1000 runs", _median(partial(history, limit=1000))),
    ]
    with Ledger.read(workspace.ledger_file, _now) as ledger:

        def successes() -> None:
            for step in range(STEPS):
                ledger.last_success(step)

        figures.append(Figure(f"last_success of {STEPS} steps", _median(successes)))
        figures.append(Figure("resumable_run", _median(ledger.resumable_run)))
        figures.append(Figure("explain", _median(partial(explain, ledger, "last"))))
    return figures


def _command(what: str, workspace: Workspace, *flags: str, cold: bool = False) -> Figure:
    """The whole command: process start, imports, answer."""
    argv = [sys.executable, "-m", "agents", *flags, "--json", "--workspace", str(workspace.root)]
    walls, peaks = [], []
    for _ in range(REPEATS):
        if cold:
            _drop_from_cache(workspace.ledger_file)
        begun = time.perf_counter()
        child = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        walls.append(time.perf_counter() - begun)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"exit code {child.returncode} of {' '.join(argv)}")
        peaks.append(usage.ru_maxrss / 1024)
    return Figure(what, statistics.median(walls), statistics.median(peaks))


def _median(ask_it: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        ask_it()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f}" if seconds < 0.01 else f"{1000 * seconds:.0f}"


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
