"""Carry a step's output to its log file, bounded, without ever making the step wait for long.

The log keeps the beginning up to its limit and the end of what came after, and says what it left
out. Secrets are masked before anything is kept or shown, also where the pipe delivers one in
pieces. Closing does not wait for the end of the pipe: a grandchild may hold it open for hours.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import IO

from agents.secrets import MASK, SHORTEST_SECRET, forms

_CHUNK_BYTES = 1 << 16
_TAIL_BYTES = 1 << 18
_DRAIN_S = 0.5


class LogPump:
    """A thread that empties `source` into the file at `path` until close().

    secrets: texts that must be neither in the file, which its owner alone may read, nor in `echo`.
    """

    def __init__(
        self,
        source: IO[bytes],
        path: Path,
        limit_bytes: int,
        echo: IO[bytes] | None,
        secrets: Collection[str] = (),
    ) -> None:
        self._source = source
        self._file = open(path, "wb", buffering=0, opener=_private)  # noqa: SIM115
        self._masked = MaskedStream(secrets)
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
        self._keep(self._masked.end())

    def _take(self, fd: int) -> int | None:
        """Bytes taken; 0 at the end of the pipe, None if there is nothing to take now."""
        try:
            chunk = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        self._keep(self._masked.feed(chunk))
        return len(chunk)

    def _keep(self, chunk: bytes) -> None:
        if self._echo is not None and chunk:
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


class MaskedStream:
    """Mask secrets in bytes that come in pieces; holds back no more than the longest of them."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._forms = [form.encode("utf-8", "replace") for form in forms(secrets)]
        self._pattern = re.compile(b"|".join(map(re.escape, self._forms)))
        self._mask = MASK.encode()
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """What may be shown now; the end waits if a secret may have begun there."""
        if not self._forms:
            return piece
        data = self._held + piece
        kept, done = [], 0
        open_from = self._open_from(data, 0)
        # Looked for first: many times quicker than the pattern, and most pieces hold none.
        if any(form in data for form in self._forms):
            for found in self._pattern.finditer(data):
                if found.start() >= open_from:
                    break  # a longer secret may have begun: the next piece tells
                kept += [data[done : found.start()], self._mask]
                done = found.end()
                if done > open_from:
                    open_from = self._open_from(data, done)
        kept.append(data[done:open_from])
        self._held = data[open_from:]
        return b"".join(kept)

    def end(self) -> bytes:
        """What was held back. Most of a secret is one too."""
        held, self._held = self._held, b""
        return self._mask if len(held) >= SHORTEST_SECRET else held

    def _open_from(self, data: bytes, start: int) -> int:
        """Where, from `start` on, the first form begins of which `data` has not seen the end."""
        first = len(data)
        for form in self._forms:
            at = data.find(form[:1], max(start, len(data) - len(form) + 1))
            while 0 <= at < first:
                if form.startswith(data[at:]):
                    first = at
                at = data.find(form[:1], at + 1)
        return first


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
