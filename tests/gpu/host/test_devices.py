from __future__ import annotations

import pytest

from gpu.host import devices
from gpu.host.devices import Device, cpu_slots, detect_devices, plan_slots

GPUS = [Device("cuda", f"GPU-{name}", i, "Test GPU", 1000, 900) for i, name in enumerate("abc")]


@pytest.fixture
def three_gpus(monkeypatch):
    monkeypatch.setattr(devices, "_nvml_devices", lambda: list(GPUS))


def test_without_a_gpu_each_usable_core_is_a_slot(monkeypatch):
    monkeypatch.setattr(devices, "_nvml_devices", list)
    monkeypatch.setattr(devices, "_smi_devices", list)
    monkeypatch.setattr(devices, "_rocm_devices", lambda _: [])
    monkeypatch.setattr(devices, "usable_cores", lambda: 3)
    assert [d.uuid for d in detect_devices({})] == ["cpu-slot-0", "cpu-slot-1", "cpu-slot-2"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, ["GPU-a", "GPU-b", "GPU-c"]),
        ("2,0", ["GPU-c", "GPU-a"]),
        ("GPU-b", ["GPU-b"]),
        ("1,7,0", ["GPU-b"]),
    ],
)
def test_the_visible_devices_setting_is_obeyed_in_its_order(three_gpus, setting, expected):
    environ = {} if setting is None else {"CUDA_VISIBLE_DEVICES": setting}
    assert [d.uuid for d in detect_devices(environ)] == expected


def test_an_empty_setting_or_the_policy_hides_every_gpu(three_gpus):
    assert detect_devices({"CUDA_VISIBLE_DEVICES": ""})[0].kind == "cpu"
    assert detect_devices({}, use_gpus=False)[0].kind == "cpu"


def test_a_leased_child_sees_its_device_alone():
    assert GPUS[1].environment() == {"CUDA_VISIBLE_DEVICES": "GPU-b"}
    assert cpu_slots(1)[0].environment()["CUDA_VISIBLE_DEVICES"] == ""


def test_memory_limits_the_slots(monkeypatch):
    monkeypatch.setattr(devices, "usable_cores", lambda: 8)
    monkeypatch.setattr(devices, "available_memory_mib", lambda: 4000.0)
    plan = plan_slots(cpu_slots(8), slots=0, table_mib=300)
    assert len(plan.devices) == 2
    assert "memory allows no more" in plan.reason


def test_asking_for_more_slots_than_cores_is_said(monkeypatch):
    monkeypatch.setattr(devices, "usable_cores", lambda: 1)
    plan = plan_slots(cpu_slots(1), slots=2, table_mib=1)
    assert (len(plan.devices), plan.threads) == (2, 1)
    assert "more slots than cores" in plan.reason
