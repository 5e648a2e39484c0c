"""Leases are read from the operating system's list of locks, and from live holders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpu.host.devices import cpu_slots
from gpu.host.holders import held_leases
from gpu.host.leases import LeaseQueue

HOLD = """
import sys
from pathlib import Path
from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
queue = LeaseQueue(cpu_slots(2), Path(sys.argv[1]))
queue.try_lease("first")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds slot 0."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lease_names_its_holder(holder, tmp_path):
    (lease,) = held_leases(tmp_path)
    assert (lease.device, lease.pid, lease.folder) == ("cpu-slot-0", holder.pid, str(Path.cwd()))
    assert str(lease).startswith(f"pid {holder.pid} in {Path.cwd()}, started 20")


def test_the_lock_of_a_dead_holder_is_no_lease(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / "cpu-slot-0.lock").exists()
    assert held_leases(tmp_path) == ()


def test_a_holder_that_the_list_does_not_show_holds_all_the_same(holder, tmp_path):
    (lease,) = held_leases(tmp_path, locks=tmp_path / "missing")
    assert (lease.device, lease.pid) == ("cpu-slot-0", None)
    assert "cannot be seen" in str(lease)


def test_looking_takes_nothing(tmp_path):
    queue = LeaseQueue(cpu_slots(1), tmp_path)
    queue.give_back(queue.try_lease("once"))
    assert held_leases(tmp_path, locks=tmp_path / "missing") == ()
    assert queue.try_lease("again") is not None
    (lease,) = held_leases(tmp_path)
    assert lease.pid == os.getpid()


def test_a_file_of_the_same_number_elsewhere_is_not_taken_for_it(holder, tmp_path):
    inode = (tmp_path / "cpu-slot-0.lock").stat().st_ino
    locks = tmp_path / "locks"
    locks.write_text(f"1: FLOCK  ADVISORY  WRITE {os.getpid()} 00:01:{inode} 0 EOF\nnonsense\n")
    (lease,) = held_leases(tmp_path, locks=locks)
    assert lease.pid is None


def test_a_machine_without_leases_has_none(tmp_path):
    assert held_leases(tmp_path / "missing") == ()
