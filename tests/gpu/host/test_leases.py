from __future__ import annotations

import signal
import subprocess
import sys
import tempfile

import psutil
import pytest

from gpu.host.devices import Device, cpu_slots
from gpu.host.leases import LeaseQueue

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


def test_a_preferred_device_is_leased_first_if_it_is_free(queue):
    last = queue.devices[1]
    lease = queue.try_lease("a", prefer=[last.uuid])
    assert lease.device == last
    assert queue.try_lease("b", prefer=[last.uuid]).device == queue.devices[0]


def test_only_devices_that_will_do_are_leased_and_preferred_ones_first(queue):
    first, second = queue.devices
    assert queue.try_lease("a", prefer=[first.uuid], among=[second]).device == second
    assert queue.try_lease("b", prefer=[second.uuid], among=[second]) is None
    assert queue.try_lease("c", among=[]) is None
    assert queue.try_lease("d").device == first


def test_a_device_without_room_is_left_to_others(tmp_path):
    full = {"cpu-slot-0"}
    queue = LeaseQueue(cpu_slots(2), tmp_path, room=lambda device: device.uuid not in full)
    assert queue.try_lease("a").device.uuid == "cpu-slot-1"
    assert queue.try_lease("b") is None
    assert LeaseQueue(cpu_slots(1), tmp_path).taken_elsewhere() == ()
    full.clear()
    assert queue.try_lease("b").device.uuid == "cpu-slot-0"


def test_gpus_are_leased_on_the_whole_machine_and_cpu_slots_by_each_user(tmp_path, monkeypatch):
    """Two processes whose temporary folders differ, as those of two users may."""
    gpu = Device("cuda", "GPU-1", 0, "a GPU", 1000, 900)
    monkeypatch.setenv("WATCHER_LEASE_DIR", str(tmp_path / "for all"))
    queues = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
        queues.append(queue := LeaseQueue([gpu, *cpu_slots(1)]))
        slot = queue.try_lease(name, among=[queue.devices[1]])
        assert slot is not None
    assert queues[0].try_lease("one", among=[gpu]) is not None
    assert queues[1].try_lease("other", among=[gpu]) is None
    assert queues[1].taken_elsewhere() == (gpu,)
    assert [path.name for path in (tmp_path / "for all").iterdir()] == ["GPU-1.lock"]


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
