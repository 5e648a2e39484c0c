"""One worker process as its parent sees it: pipes, last words, and a sure end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import psutil

from gpu.host.devices import Device
from gpu.params import Family
from gpu.protocol import MAX_LINE_BYTES

READ_BYTES = 1 << 16
STDERR_KEPT_BYTES = 1 << 15
TERM_GRACE_S = 2.0
# The folder that holds the import packages; a checkout may not be installed.
IMPORT_ROOT = Path(__file__).resolve().parents[2]
WORKER_COMMAND = (sys.executable, "-m", "gpu.worker")
PARENT_PID = "WATCHER_PARENT_PID"


class OversizedLine(ValueError):
    """A worker sent a line over the protocol's limit."""


class Child:
    """A worker process. Reading never blocks; killing takes its whole process group and tree."""

    def __init__(
        self,
        family: Family,
        device: Device,
        threads: int,
        *,
        once: bool,
        command: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        environment = {
            **os.environ,
            **device.environment(),
            PARENT_PID: str(os.getpid()),
            "PYTHONPATH": os.pathsep.join(
                [str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = str(threads)
        arguments = ["--family", family, "--threads", str(threads)]
        arguments += ["--device", "cpu" if device.kind == "cpu" else "cuda"]
        if once:
            arguments.append("--once")
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            bufsize=0,
            # A group of its own: a kill takes what the worker started, and a Ctrl-C at the
            # terminal reaches the parent alone, which decides.
            process_group=0,
        )
        try:
            self.pidfd = os.pidfd_open(self.process.pid)
        except OSError:
            self.process.kill()
            self.process.communicate()
            raise
        assert self.process.stdout is not None  # noqa: S101  # asked for above
        assert self.process.stderr is not None  # noqa: S101
        self.stdout_fd = self.process.stdout.fileno()
        self.stderr_fd = self.process.stderr.fileno()
        os.set_blocking(self.stdout_fd, False)
        os.set_blocking(self.stderr_fd, False)
        self.ended_fds: set[int] = set()
        self._line = bytearray()
        self._last_words: deque[bytes] = deque()
        self._last_words_bytes = 0

    def send(self, line: bytes) -> None:
        """Write a command. A worker that is gone is noticed by its exit, not here."""
        assert self.process.stdin is not None  # noqa: S101
        view = memoryview(line)
        with contextlib.suppress(BrokenPipeError):
            while view:
                view = view[self.process.stdin.write(view) or 0 :]

    def read_lines(self) -> list[bytes]:
        """Whole lines that have arrived; half a line waits for its rest.

        Raises OversizedLine when a line outgrows the protocol's limit.
        """
        lines: list[bytes] = []
        while chunk := self._read(self.stdout_fd):
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                lines.append(bytes(self._line) + part)
                self._line.clear()
            self._line += rest
            if len(self._line) > MAX_LINE_BYTES:
                raise OversizedLine(f"a reply is longer than {MAX_LINE_BYTES} bytes")
        return lines

    def read_stderr(self) -> None:
        """Keep the end of what the worker says; the rest is let go, so it can never block."""
        while chunk := self._read(self.stderr_fd):
            self._last_words.append(chunk)
            self._last_words_bytes += len(chunk)
            while self._last_words_bytes - len(self._last_words[0]) >= STDERR_KEPT_BYTES:
                self._last_words_bytes -= len(self._last_words.popleft())

    def last_words(self) -> str:
        """The last lines of standard error, for the message of a failure."""
        text = b"".join(self._last_words).decode("utf-8", errors="replace")
        return "\n".join(text.strip().splitlines()[-6:])

    def exited(self) -> bool:
        """Whether the process has ended. It is not reaped, so its number is not given away yet."""
        return os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> int:
        """Kill the worker and everything it started; reap it and return its exit status."""
        if self.process.returncode is not None:
            # Reaped already: its number may be another process's by now.
            return self.process.returncode
        for process in _descendants(self.process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def close(self) -> None:
        """Release the pipes and the process handle; the process must have ended."""
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _read(self, fd: int) -> bytes:
        if fd in self.ended_fds:
            return b""
        try:
            chunk = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return b""
        if not chunk:
            self.ended_fds.add(fd)
        return chunk


def describe_exit(status: int) -> str:
    """How a process ended, the signal by name."""
    if status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return found
