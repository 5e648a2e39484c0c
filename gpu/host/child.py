"""One worker process as its parent sees it: pipes, last words, and a sure end."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpu.host.devices import Device
from gpu.host.machine import available_memory_mib, died_of_memory, memory_kills
from gpu.host.marks import kill_marked
from gpu.params import Family
from gpu.protocol import MAX_LINE_BYTES

READ_BYTES = 1 << 16
READS_AT_ONCE = 64
WRITE_BYTES = 1 << 16
STDERR_KEPT_BYTES = 1 << 15
# The folder that holds the import packages; a checkout may not be installed.
IMPORT_ROOT = Path(__file__).resolve().parents[2]
WORKER_COMMAND = (sys.executable, "-m", "gpu.worker")
PARENT_PID = "WATCHER_PARENT_PID"
WORKER_MARK = "WATCHER_WORKER"
DIES_WITHIN_S = 2.0
UNDYING = f"its worker did not die within {DIES_WITHIN_S:g} s of SIGKILL; it may still hold memory"


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
        mark = secrets.token_hex(16)
        self._mark = f"{WORKER_MARK}={mark}".encode()
        environment = {
            **os.environ,
            **device.environment(),
            PARENT_PID: str(os.getpid()),
            WORKER_MARK: mark,
            "PYTHONPATH": os.pathsep.join(
                [str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
        }
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = str(threads)
        arguments = ["--family", family, "--threads", str(threads)]
        arguments += ["--device", device.kind]
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
        assert self.process.stdin is not None  # noqa: S101  # asked for above
        assert self.process.stdout is not None  # noqa: S101
        assert self.process.stderr is not None  # noqa: S101
        self.stdin_fd = self.process.stdin.fileno()
        self.stdout_fd = self.process.stdout.fileno()
        self.stderr_fd = self.process.stderr.fileno()
        for fd in (self.stdin_fd, self.stdout_fd, self.stderr_fd):
            os.set_blocking(fd, False)
        self.ended_fds: set[int] = set()
        self.job_ids: tuple[str, ...] = ()
        self._killed = False
        self._memory_kills: int | None = None
        self._outgoing = bytearray()
        self._line = bytearray()
        self._last_words: deque[bytes] = deque()
        self._last_words_bytes = 0

    @property
    def unsent(self) -> bool:
        """Whether commands wait for the worker to read; `flush` when its stdin is writable."""
        return bool(self._outgoing)

    def send(self, line: bytes) -> None:
        """Write a command as far as the pipe takes it; the rest waits, the caller does not."""
        self._outgoing += line
        self.flush()

    def flush(self) -> None:
        """Write on. A worker that is gone is noticed by its exit, not here."""
        try:
            while self._outgoing:
                written = os.write(self.stdin_fd, memoryview(self._outgoing)[:WRITE_BYTES])
                del self._outgoing[:written]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._outgoing.clear()

    def read_lines(self) -> list[bytes]:
        """Whole lines that have arrived; half a line waits for its rest.

        Raises OversizedLine when a line outgrows the protocol's limit.
        """
        lines: list[bytes] = []
        for chunk in self._chunks(self.stdout_fd):
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
        for chunk in self._chunks(self.stderr_fd):
            self._last_words.append(chunk)
            self._last_words_bytes += len(chunk)
            while self._last_words_bytes - len(self._last_words[0]) >= STDERR_KEPT_BYTES:
                self._last_words_bytes -= len(self._last_words.popleft())

    def begin_jobs(self, job_ids: Sequence[str]) -> None:
        """What was said, and killed for want of memory, before is not about the jobs that begin."""
        self.job_ids = tuple(job_ids)
        self._memory_kills = memory_kills()
        self.read_stderr()
        self._last_words.clear()
        self._last_words_bytes = 0

    def last_words(self) -> str:
        """The last lines of standard error, for the message of a failure."""
        text = b"".join(self._last_words).decode("utf-8", errors="replace")
        return "\n".join(text.strip().splitlines()[-6:])

    def exited(self) -> bool:
        """Whether the process has ended. It is not reaped, so its number is not given away yet."""
        return os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> int | None:
        """Kill the worker and everything it started; reap it and return its exit status.

        None: it is still there after DIES_WITHIN_S, as is one that waits in the kernel for a driver
        or a disk. Called again, this only looks whether it has gone since.
        """
        # Once reaped, its number may be another process's.
        if self._killed or self.process.returncode is not None:
            return self.process.poll()
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        kill_marked(self._mark, self.process.pid)
        try:
            return self.process.wait(DIES_WITHIN_S)
        except subprocess.TimeoutExpired:
            return None

    def ending(self, status: int | None) -> tuple[str, bool]:
        """How the process ended, in words with its last ones, and whether memory had run out.

        status: as `kill` gives it.
        """
        if status is None:
            return UNDYING, False
        words = self.last_words()
        reason = died_of_memory(
            status, words, self._memory_kills, memory_kills(), available_memory_mib()
        )
        how = describe_exit(status)
        if reason is not None:
            how += f" ({reason})"
        elif status == -signal.SIGKILL:
            how += ", by whom is not known"
        return f"{how}\n{words}" if words else how, reason is not None

    def close(self) -> None:
        """Release the pipes and the process handle, after `kill`."""
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _chunks(self, fd: int) -> Iterator[bytes]:
        """What lies in the pipe, but not for ever: a worker may write as fast as it is read."""
        for _ in range(READS_AT_ONCE):
            chunk = self._read(fd)
            if not chunk:
                return
            yield chunk

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
    return f"killed by {name}"
