"""Whoever carries the mark is killed, also one that is just being started."""

import os
import secrets
import subprocess
import sys
import time
from time import sleep

import psutil
import pytest

from gpu.host import marks


@pytest.fixture
def worker():
    mark = f"WATCHER_WORKER={secrets.token_hex(16)}"
    name, _, value = mark.partition("=")
    process = subprocess.Popen(["sleep", "3600"], env={**os.environ, name: value}, process_group=0)
    yield process, mark.encode()
    process.kill()
    process.wait()


def test_a_marked_process_is_killed_and_an_unmarked_one_is_not(worker):
    process, mark = worker
    with subprocess.Popen(["sleep", "3600"]) as other:
        marks.kill_marked(mark, process.pid)
        assert process.wait(5) == -9
        assert other.poll() is None
        other.kill()


def test_one_that_shows_no_environment_yet_is_looked_at_again(worker, monkeypatch):
    """As a process in the middle of exec does; here its first two readings come out empty."""
    process, mark = worker
    real = marks.Path.read_bytes
    empty = {str(process.pid): 2}

    def read_bytes(path):
        if path.name == "environ" and empty.get(path.parent.name, 0) > 0:
            empty[path.parent.name] -= 1
            return b""
        return real(path)

    monkeypatch.setattr(marks.Path, "read_bytes", read_bytes)
    marks.kill_marked(mark, process.pid)
    assert process.wait(5) == -9


def test_an_older_process_without_any_environment_is_not_waited_for(monkeypatch):
    # Another process of this machine may just be starting, and is waited for rightly.
    waits = []
    monkeypatch.setattr(marks.time, "sleep", lambda s: (waits.append(s), sleep(s)))
    with subprocess.Popen(["sleep", "3600"], env={}) as bare:
        try:
            # The clock of process starts has ticks of 10 ms.
            deadline = time.monotonic() + 5
            while time.time() - psutil.Process(bare.pid).create_time() < 0.05:
                assert time.monotonic() < deadline
            with subprocess.Popen(
                [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
            ) as young:
                marks.kill_marked(b"NOBODY=has this", young.pid)
                young.communicate(b"\n")
        finally:
            bare.kill()
    assert len(waits) < marks.LOOKS
