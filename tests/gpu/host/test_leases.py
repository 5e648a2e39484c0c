from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from gpu.host.devices import Device, cpu_slots
from gpu.host.leases import LeaseQueue, machine_lock_dir

HOLD = """
import sys
from pathlib import Path
from gpu.host.devices import cpu_slots
from gpu.host.leases import LeaseQueue
queue = LeaseQueue(cpu_slots(1), Path(sys.argv[1]))
lease = queue.try_lease("other")
print("held" if lease else "refused", flush=True)
sys.stdin.read()
"""

CHILD = """
import subprocess
print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
sys.stdin"""


@pytest.fixture
def queue(tmp_path):
    return LeaseQueue(cpu_slots(2), tmp_path)


def test_each_device_has_one_holder(queue):
    first, second = queue.try_lease("a"), queue.try_lease("b")
    assert first.device != second.device
    assert queue.try_lease("c") is None


def test_a_returned_device_is_leased_again(queue):
    first = queue.try_lease("a")
    queue.try_lease("b")
    queue.give_back(first)
    assert queue.try_lease("c").device == first.device


def test_a_lease_cannot_be_returned_twice(queue):
    lease = queue.try_lease("a")
    queue.give_back(lease)
    with pytest.raises(ValueError, match="a does not hold"):
        queue.give_back(lease)


def test_other_devices_are_handed_out_once_they_are_in_use(tmp_path):
    queue = LeaseQueue(cpu_slots(1), tmp_path)
    held = queue.try_lease("a")
    fresh = [Device("cuda", "GPU-1/2", 0, "a GPU", 1000, 900)]
    queue.use(fresh)
    assert queue.devices == tuple(fresh)
    # The old lease stays out until it comes back, and is not given to anybody after that.
    assert queue.held == (held,)
    assert queue.try_lease("b").device == fresh[0]
    queue.give_back(held)
    assert queue.try_lease("c") is None
    queue.use(())
    assert LeaseQueue(fresh, tmp_path).try_lease("another run") is None


def test_a_lease_comes_back_when_its_block_raises(queue):
    with pytest.raises(KeyError), queue.lease("a"):
        raise KeyError
    assert queue.held == ()


def test_a_preferred_device_is_leased_first_if_it_is_free(queue):
    last = queue.devices[1]
    lease = queue.try_lease("a", prefer=[last.uuid])
    assert lease.device == last
    assert queue.try_lease("b", prefer=[last.uuid]).device == queue.devices[0]


def test_the_lock_folder_is_one_for_a_user_whatever_the_environment_says(monkeypatch):
    before = machine_lock_dir()
    monkeypatch.setenv("LOGNAME", "somebody else")
    monkeypatch.setenv("USER", "somebody else")
    assert machine_lock_dir() == before


def test_a_lock_file_that_was_left_behind_is_no_lease(tmp_path):
    (tmp_path / "cpu-slot-0.lock").write_text("4711")
    assert LeaseQueue(cpu_slots(1), tmp_path).try_lease("me") is not None


def test_a_worker_does_not_keep_the_lease_of_a_parent_that_is_gone(tmp_path):
    """The lock is not inherited: a child that outlives its parent holds no device."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("sys.stdin", CHILD), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        child = psutil.Process(int(holder.stdout.readline()))
        holder.kill()
        holder.wait()
        assert child.is_running()
        mine = LeaseQueue(cpu_slots(1), tmp_path)
        assert mine.try_lease("me") is not None
        child.kill()


def test_a_lease_is_exclusive_on_the_machine_and_dies_with_its_holder(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        mine = LeaseQueue(cpu_slots(1), tmp_path)
        assert mine.try_lease("me") is None
        assert [d.uuid for d in mine.taken_elsewhere()] == ["cpu-slot-0"]
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert mine.try_lease("me") is not None
