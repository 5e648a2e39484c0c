from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from gpu.host import crowding, devices
from gpu.host.crowding import crowded
from gpu.host.devices import Device, cpu_slots, detect, devices_of, plan_slots
from gpu.params import FAMILIES

GPUS = [Device("cuda", f"GPU-{name}", i, "Test GPU", 1000, 900) for i, name in enumerate("abc")]
ON_GPUS = ("neural_net", "xgboost", "catboost")


@pytest.fixture
def eight_cores(monkeypatch):
    """8 cores and 4000 MiB to be had."""
    monkeypatch.setattr(devices, "usable_cores", lambda: 8)
    monkeypatch.setattr(devices, "available_memory_mib", lambda: 4000.0)


def slots_of(plan):
    """How many of the plan's devices are CPU slots, which come last."""
    kinds = [device.kind for device in plan.devices]
    assert "cpu" not in kinds[: len(kinds) - kinds.count("cpu")]
    return kinds.count("cpu")


def test_without_a_gpu_each_usable_core_is_a_slot(monkeypatch):
    monkeypatch.setattr(devices, "list_gpus", lambda: ([], []))
    monkeypatch.setattr(devices, "list_amd_gpus", lambda _: ([], []))
    monkeypatch.setattr(devices, "usable_cores", lambda: 3)
    assert [d.uuid for d in detect({}).devices] == ["cpu-slot-0", "cpu-slot-1", "cpu-slot-2"]


def test_a_leased_child_sees_its_device_alone():
    assert GPUS[1].environment() == {"CUDA_VISIBLE_DEVICES": "GPU-b"}
    assert cpu_slots(1)[0].environment()["CUDA_VISIBLE_DEVICES"] == ""


def test_memory_limits_the_slots(eight_cores):
    # 0.8 x 4000 MiB, less the table that all share.
    needs = {"lightgbm": 1000.0}
    plan = plan_slots(cpu_slots(8), slots=0, table_mib=200, families=needs, worker_mib=needs)
    assert len(plan.devices) == 3
    assert "memory allows no more (1000 MiB a worker)" in plan.reason
    plan = plan_slots(cpu_slots(8), slots=0, table_mib=201, families=needs, worker_mib=needs)
    assert len(plan.devices) == 2


def test_a_worker_too_large_for_the_memory_still_gets_its_slot(eight_cores):
    needs = {"lightgbm": 90_000.0}
    plan = plan_slots(cpu_slots(8), slots=0, table_mib=1, families=needs, worker_mib=needs)
    assert len(plan.devices) == 1


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


# --- GPUs and CPU slots together --------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpu", "families"),
    [
        (GPUS[0], ON_GPUS),
        # A torch that was built for the CPU alone.
        (replace(GPUS[0], torch=False), ("xgboost", "catboost")),
        # The wheels of the tree libraries have no code for AMD's GPUs.
        (replace(GPUS[0], kind="rocm"), ("neural_net",)),
    ],
)
def test_each_family_has_the_devices_that_its_library_can_use(gpu, families):
    slots = tuple(cpu_slots(2))
    for family in FAMILIES:
        expected = (gpu,) if family in families else slots
        assert devices_of(family, (gpu, *slots)) == expected


def test_where_there_is_one_kind_of_device_it_is_everybodys():
    slots = tuple(cpu_slots(2))
    for family in FAMILIES:
        assert devices_of(family, slots) == slots
        assert devices_of(family, GPUS) == tuple(GPUS)


def test_the_cores_are_divided_among_the_gpus_where_nothing_trains_on_the_cpu(eight_cores):
    plan = plan_slots(GPUS, slots=0, table_mib=1, families=ON_GPUS)
    assert (plan.devices, plan.threads) == (tuple(GPUS), 2)
    expected = "neural_net, xgboost and catboost on 3 GPUs, one trial a GPU, 2 CPU threads"
    assert plan.reason.startswith(expected)


def test_the_cores_that_feed_no_gpu_are_slots_for_what_trains_on_the_cpu(eight_cores):
    plan = plan_slots(GPUS, slots=0, table_mib=1)
    assert plan.devices[:3] == tuple(GPUS)
    assert (slots_of(plan), plan.threads) == (5, 1)
    assert plan.reason == (
        "neural_net, xgboost and catboost on 3 GPUs, one trial a GPU, 1 CPU thread beside each; "
        "lightgbm on 5 CPU slots of one thread on 8 usable cores"
    )


def test_more_gpus_than_cores_leave_a_slot_all_the_same(monkeypatch):
    monkeypatch.setattr(devices, "usable_cores", lambda: 2)
    plan = plan_slots(GPUS, slots=0, table_mib=1)
    assert (slots_of(plan), plan.threads) == (1, 1)


def test_the_cores_that_no_slot_was_asked_for_go_to_the_gpus(eight_cores):
    plan = plan_slots(GPUS[:2], slots=2, table_mib=1)
    assert (slots_of(plan), plan.threads) == (2, 3)


def test_a_gpu_that_no_family_can_use_is_not_planned(eight_cores):
    plan = plan_slots(GPUS, slots=0, table_mib=1, families=("lightgbm",))
    assert (slots_of(plan), len(plan.devices)) == (8, 8)
    without = [replace(gpu, torch=False) for gpu in GPUS]
    plan = plan_slots(without, slots=0, table_mib=1, families=("lightgbm", "neural_net"))
    assert slots_of(plan) == len(plan.devices)


def test_slots_beside_gpus_leave_the_memory_of_the_gpus_workers_alone(eight_cores):
    """3200 MiB: two GPUs with one waiting worker each of two families, then slots."""
    needs = {"lightgbm": 300.0, "neural_net": 500.0, "xgboost": 200.0}
    plan = plan_slots(GPUS[:2], slots=0, table_mib=300, families=needs, worker_mib=needs)
    assert slots_of(plan) == (3200 - 300 - 2 * 700) // 300
    assert "memory allows no more (300 MiB a worker)" in plan.reason


def test_the_memory_of_workers_that_run_already_counts_as_room(eight_cores, monkeypatch):
    monkeypatch.setattr(devices, "descendants_mib", lambda: 1000.0)
    needs = {"lightgbm": 1000.0}
    plan = plan_slots(cpu_slots(8), slots=0, table_mib=0, families=needs, worker_mib=needs)
    assert len(plan.devices) == 4


def test_the_memory_of_descendants_is_what_is_theirs_alone():
    hold = "import sys; block = bytearray(64 << 20); print('held', flush=True); sys.stdin.read()"
    before = devices.descendants_mib()
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "held\n"
        held = devices.descendants_mib() - before
        assert 64 <= held <= psutil.Process(child.pid).memory_info().rss / devices.MIB + 1
        child.stdin.close()
    assert devices.descendants_mib() < before + 64


# --- room -------------------------------------------------------------------------------------


def test_a_full_machine_is_crowded_and_its_largest_processes_are_named(monkeypatch):
    monkeypatch.setattr(crowding, "available_memory_mib", lambda: 100.0)
    slot = cpu_slots(1)[0]
    assert crowded(slot, 100) is None
    words = crowded(slot, 101, ours=())
    assert words.startswith("this machine has 100 MiB of memory left, 101 MiB are needed")
    assert "held by pid " in words
