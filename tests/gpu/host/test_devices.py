from __future__ import annotations

import pytest

from gpu.host import devices
from gpu.host.devices import Device, cpu_slots, crowded, detect_devices, plan_slots

GPUS = [Device("cuda", f"GPU-{name}", i, "Test GPU", 1000, 900) for i, name in enumerate("abc")]


@pytest.fixture
def eight_cores(monkeypatch):
    """8 cores and 4000 MiB to be had."""
    monkeypatch.setattr(devices, "usable_cores", lambda: 8)
    monkeypatch.setattr(devices, "available_memory_mib", lambda: 4000.0)


def test_without_a_gpu_each_usable_core_is_a_slot(monkeypatch):
    monkeypatch.setattr(devices, "list_gpus", lambda: ([], []))
    monkeypatch.setattr(devices, "list_amd_gpus", lambda _: ([], []))
    monkeypatch.setattr(devices, "usable_cores", lambda: 3)
    assert [d.uuid for d in detect_devices({})] == ["cpu-slot-0", "cpu-slot-1", "cpu-slot-2"]


def test_a_leased_child_sees_its_device_alone():
    assert GPUS[1].environment() == {"CUDA_VISIBLE_DEVICES": "GPU-b"}
    assert cpu_slots(1)[0].environment()["CUDA_VISIBLE_DEVICES"] == ""


def test_memory_limits_the_slots(eight_cores):
    # 0.8 x 4000 MiB, less the table that all share.
    plan = plan_slots(cpu_slots(8), slots=0, table_mib=200, worker_mib=1000)
    assert len(plan.devices) == 3
    assert "memory allows no more (1000 MiB a worker)" in plan.reason
    assert len(plan_slots(cpu_slots(8), slots=0, table_mib=201, worker_mib=1000).devices) == 2


def test_a_worker_too_large_for_the_memory_still_gets_its_slot(eight_cores):
    assert len(plan_slots(cpu_slots(8), slots=0, table_mib=1, worker_mib=90_000).devices) == 1


def test_where_only_the_table_is_known_the_need_is_guessed_from_it(eight_cores):
    small = plan_slots(cpu_slots(8), slots=0, table_mib=1)
    large = plan_slots(cpu_slots(8), slots=0, table_mib=300)
    assert len(small.devices) == 8
    assert len(large.devices) < 4


def test_asking_for_more_slots_than_cores_is_said(monkeypatch):
    monkeypatch.setattr(devices, "usable_cores", lambda: 1)
    plan = plan_slots(cpu_slots(1), slots=2, table_mib=1)
    assert (len(plan.devices), plan.threads) == (2, 1)
    assert "more slots than cores" in plan.reason


def test_the_cores_are_divided_among_the_gpus(eight_cores):
    plan = plan_slots(GPUS, slots=0, table_mib=1)
    assert (plan.devices, plan.threads) == (tuple(GPUS), 2)


def test_a_full_machine_is_crowded_and_its_largest_processes_are_named(monkeypatch):
    monkeypatch.setattr(devices, "available_memory_mib", lambda: 100.0)
    slot = cpu_slots(1)[0]
    assert crowded(slot, 100) is None
    words = crowded(slot, 101, ours=())
    assert words.startswith("this machine has 100 MiB of memory left, 101 MiB are needed")
    assert "held by pid " in words
