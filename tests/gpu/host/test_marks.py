"""Whoever carries the mark is killed, also one that is just being started."""

import os
import secrets
import subprocess
import sys
from time import sleep

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
            # The clock of process starts has ticks of 10 ms; psutil's would be a second off.
            sleep(0.05)
            with subprocess.Popen(
                [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
            ) as young:
                marks.kill_marked(b"NOBODY=has this", young.pid)
                young.communicate(b"\n")
        finally:
            bare.kill()
    assert len(waits) < marks.LOOKS


EXITING = 0x4


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """Lay out a process as the kernel shows it; returns how often was slept, and the signals."""
    slept, signals = [], []
    monkeypatch.setattr(marks, "_PROC", tmp_path)
    monkeypatch.setattr(marks.time, "sleep", slept.append)
    monkeypatch.setattr(marks.os, "pidfd_open", lambda pid: os.open(os.devnull, os.O_RDONLY))
    monkeypatch.setattr(marks.signal, "pidfd_send_signal", lambda _, number: signals.append(number))

    def lay_out(state, flags=0, environment=b""):
        folder = tmp_path / "70"
        folder.mkdir()
        (folder / "environ").write_bytes(environment)
        (folder / "stat").write_text(f"70 (a worker) {state} 0 0 0 0 0 {flags}" + " 0" * 43)
        return slept, signals

    return lay_out


@pytest.mark.parametrize(
    ("state", "flags", "waits"),
    [("Z", 0, 0), ("X", 0, 0), ("D", EXITING, 0), ("S", 0, marks.LOOKS)],
)
def test_one_that_is_dead_or_dying_and_shows_no_environment_is_not_waited_for(
    processes, state, flags, waits
):
    """Most kernels show it so; a killed worker is a zombie until its parent has reaped it."""
    slept, signals = processes(state, flags)
    marks.kill_marked(b"WATCHER_WORKER=1", 70)
    assert (len(slept), signals) == (waits, [])


def test_one_that_does_not_die_of_it_gets_the_signal_once(processes):
    slept, signals = processes("D", environment=b"HOME=/\0WATCHER_WORKER=1\0")
    marks.kill_marked(b"WATCHER_WORKER=1", 70)
    assert signals == [9]
    assert len(slept) == 1
