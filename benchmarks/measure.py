"""Run a command and measure it with every process that it starts."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.tables import BenchError

SAMPLE_EVERY_S = 0.2
STOP_WITHIN_S = 60
LOG_TAIL_LINES = 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. cpu_s: user and system time of the whole process tree.

    peak_mib: the highest of the samples of the tree's summed PSS, in which a page that n processes
    share counts 1/n in each, so that nothing counts twice. peak_processes: most at once.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    peak_processes: int


class _Tree:
    """A process and its descendants; one that loses its parent stays known."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._seen: dict[int, psutil.Process] = {}

    def sample(self) -> tuple[int, int]:
        """Summed PSS in bytes, and the number of processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [self._root, *self._root.children(recursive=True)]:
                self._seen.setdefault(process.pid, process)
        total = 0
        for pid, process in list(self._seen.items()):
            try:
                if not process.is_running():  # also when the number belongs to another by now
                    raise psutil.NoSuchProcess(pid)
                total += process.memory_full_info().pss
            except psutil.NoSuchProcess:  # a zombie too
                del self._seen[pid]
        return total, len(self._seen)


def run_measured(argv: Sequence[str], folder: Path, environment: dict[str, str]) -> Measured:
    """Run argv in the folder; its output goes to `output.txt` there.

    Raises BenchError with the end of the output when the command fails.
    """
    log = folder / "output.txt"
    # Only one child runs at a time, so the growth of this counter is that child's tree.
    cpu_before = _children_cpu_s()
    peak_bytes = peak_processes = 0
    with log.open("wb") as output:
        started = time.perf_counter()
        child = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            tree = _Tree(child.pid)
            while child.poll() is None:
                total, processes = tree.sample()
                peak_bytes = max(peak_bytes, total)
                peak_processes = max(peak_processes, processes)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(SAMPLE_EVERY_S)
            wall_s = time.perf_counter() - started
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait(STOP_WITHIN_S)
    if child.returncode != 0:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        raise BenchError(
            "\n".join([f"exit code {child.returncode} of {' '.join(argv)}; its last words:", *tail])
        )
    return Measured(
        wall_s=wall_s,
        cpu_s=_children_cpu_s() - cpu_before,
        peak_mib=peak_bytes / MIB,
        peak_processes=peak_processes,
    )


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
