"""Carry a step's output to its log file, bounded, without ever making the step wait for long.

The log keeps the beginning up to its limit and the end of what came after, and says what it left
out. Closing does not wait for the end of the pipe: a grandchild may hold it open for hours.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 1 << 16
_TAIL_BYTES = 1 << 18
_DRAIN_S = 0.5


class LogPump:
    """A thread that empties `source` into the file at `path` until close()."""

    def __init__(
        self, source: IO[bytes], path: Path, limit_bytes: int, echo: IO[bytes] | None
    ) -> None:
        self._source = source
        self._file = path.open("wb", buffering=0)
        self._room = limit_bytes
        self._echo = echo
        self._tail = bytearray()
        self._past_limit = 0
        self._problem: str | None = None
        os.set_blocking(source.fileno(), False)
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._pump, name="step log", daemon=True)
        self._thread.start()

    def close(self) -> int:
        """Take what is in the pipe now, close the log; returns the bytes it does not hold."""
        os.write(self._waker, b".")
        self._thread.join()
        self._source.close()
        os.close(self._wake)
        os.close(self._waker)
        left_out = max(0, self._past_limit - len(self._tail))
        with self._file as file, contextlib.suppress(OSError):
            if left_out:
                file.write(f"\n[watcher: {left_out} bytes were left out here]\n".encode())
            file.write(self._tail)
        return left_out

    def _pump(self) -> None:
        fd = self._source.fileno()
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        while not any(ready == self._wake for ready, _ in poller.poll()):
            if self._take(fd) == 0:
                poller.unregister(fd)  # end of file; wait for close()
        give_up_at = time.monotonic() + _DRAIN_S
        while time.monotonic() < give_up_at and self._take(fd):
            pass

    def _take(self, fd: int) -> int | None:
        """Bytes taken; 0 at the end of the pipe, None if there is nothing to take now."""
        try:
            chunk = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        self._keep(chunk)
        return len(chunk)

    def _keep(self, chunk: bytes) -> None:
        if self._echo is not None:
            with contextlib.suppress(OSError, ValueError):  # the terminal has gone; the log stays
                self._echo.write(chunk)
                self._echo.flush()
        head, rest = chunk[: self._room], chunk[self._room :]
        if head:
            try:
                self._file.write(head)
            except OSError:  # a full disk must not stop the step from being read
                self._room, rest = 0, chunk
            else:
                self._room -= len(head)
        self._past_limit += len(rest)
        self._tail += rest
        del self._tail[:-_TAIL_BYTES]
