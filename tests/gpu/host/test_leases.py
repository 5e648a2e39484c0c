from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from gpu.host.devices import cpu_slots
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


def test_a_lease_comes_back_when_its_block_raises(queue):
    with pytest.raises(KeyError), queue.lease("a"):
        raise KeyError
    assert queue.held == ()


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
