"""GPUs as NVML and nvidia-smi tell of them: a pynvml of our own, a program of that name."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from gpu.host import devices, nvidia
from gpu.host.crowding import crowded, filled_by_others, occupants
from gpu.host.devices import detect

MIB = 1 << 20

NVMLError = pynvml.NVMLError
NVML_ERROR_NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
NVML_ERROR_LIBRARY_NOT_FOUND = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
NVML_ERROR_DRIVER_NOT_LOADED = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
NVML_ERROR_LIB_RM_VERSION_MISMATCH = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
NVML_ERROR_NO_PERMISSION = pynvml.NVML_ERROR_NO_PERMISSION
NVML_ERROR_GPU_IS_LOST = pynvml.NVML_ERROR_GPU_IS_LOST
NVML_ERROR_NOT_FOUND = pynvml.NVML_ERROR_NOT_FOUND


@dataclass
class Card:
    """A GPU, or a MIG instance. processes: pid -> MiB or None. lost: it answers nothing."""

    uuid: str
    name: str = "Test GPU"
    total_mib: int | None = 24000
    free_mib: int = 23000
    processes: dict[int, int | None] = field(default_factory=dict)
    compute_mode: int = pynvml.NVML_COMPUTEMODE_DEFAULT
    instances: list[Card | None] | None = None
    lost: bool = False


class FakeNvml:
    """A pynvml with the same face. fails: the error that nvmlInit ends with."""

    NVMLError = pynvml.NVMLError
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE
    NVML_COMPUTEMODE_PROHIBITED = pynvml.NVML_COMPUTEMODE_PROHIBITED
    NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
    NVML_ERROR_NOT_SUPPORTED = NVML_ERROR_NOT_SUPPORTED
    NVML_ERROR_LIBRARY_NOT_FOUND = NVML_ERROR_LIBRARY_NOT_FOUND
    NVML_ERROR_DRIVER_NOT_LOADED = NVML_ERROR_DRIVER_NOT_LOADED
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = NVML_ERROR_LIB_RM_VERSION_MISMATCH
    NVML_ERROR_NO_PERMISSION = NVML_ERROR_NO_PERMISSION

    def __init__(self, cards: list[Card] = (), fails: int | None = None) -> None:
        self.cards = list(cards)
        self.fails = fails
        self.open = 0

    def nvmlInit(self):
        if self.fails is not None:
            raise NVMLError(self.fails)
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):
        if self.cards[index].lost:
            raise NVMLError(NVML_ERROR_GPU_IS_LOST)
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        for card in self.cards:
            for one in [card, *(card.instances or [])]:
                if one is not None and one.uuid == uuid:
                    return one
        raise NVMLError(NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, card):
        return card.uuid

    def nvmlDeviceGetName(self, card):
        return card.name

    def nvmlDeviceGetComputeMode(self, card):
        return card.compute_mode

    def nvmlDeviceGetMigMode(self, card):
        if card.instances is None:
            raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, card):
        return len(card.instances)

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card, i):
        if card.instances[i] is None:
            raise NVMLError(NVML_ERROR_NOT_FOUND)
        return card.instances[i]

    def nvmlDeviceGetMemoryInfo(self, card):
        if card.total_mib is None:
            raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(total=card.total_mib * MIB, free=card.free_mib * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, card):
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=None if mib is None else mib * MIB)
            for pid, mib in card.processes.items()
        ]

    def nvmlDeviceGetGraphicsRunningProcesses(self, card):
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)


@pytest.fixture
def nvml(monkeypatch):
    """Call it with cards, or with the error that NVML starts with."""

    def install(cards=(), fails=None):
        fake = FakeNvml(cards, fails)
        monkeypatch.setitem(sys.modules, "pynvml", fake)
        return fake

    monkeypatch.setattr(nvidia.shutil, "which", lambda _: None)
    return install


@pytest.fixture
def smi(monkeypatch, tmp_path, nvml):
    """Call it with the body of a shell script: the only nvidia-smi there is, and no NVML."""

    def install(body):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        nvml(fails=NVML_ERROR_LIBRARY_NOT_FOUND)
        monkeypatch.setattr(nvidia.shutil, "which", lambda _: str(program))
        return tmp_path

    return install


def uuids(found):
    return [device.uuid for device in found.devices]


THREE = [Card("GPU-aa11"), Card("GPU-ab22"), Card("GPU-cc33")]
SPLIT = [
    Card("GPU-aa11", instances=[Card("MIG-1111"), None, Card("MIG-1122", total_mib=9000)]),
    Card("GPU-bb22"),
]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, ["GPU-aa11", "GPU-ab22", "GPU-cc33"]),
        ("2,0", ["GPU-cc33", "GPU-aa11"]),
        ("GPU-ab22", ["GPU-ab22"]),
        ("GPU-c, GPU-AA", ["GPU-cc33", "GPU-aa11"]),
        ("1,7,0", ["GPU-ab22"]),
        ("1,-1,0", ["GPU-ab22"]),
        ("0,GPU-a,2", ["GPU-aa11"]),
        ("1,1", ["GPU-ab22"]),
    ],
)
def test_the_visible_devices_setting_is_obeyed_in_its_order(nvml, setting, expected):
    nvml(THREE)
    environ = {} if setting is None else {"CUDA_VISIBLE_DEVICES": setting}
    assert uuids(detect(environ)) == expected


@pytest.mark.parametrize("setting", ["", "-1", "NoDevFiles", "none", "GPU-", "12"])
def test_a_setting_that_names_no_gpu_leaves_the_cpu(nvml, setting):
    nvml(THREE)
    found = detect({"CUDA_VISIBLE_DEVICES": setting})
    assert {device.kind for device in found.devices} == {"cpu"}
    assert any("hides all 3 GPUs" in note for note in found.notes)


def test_the_policy_can_switch_every_gpu_off(nvml):
    nvml(THREE)
    assert detect({}, use_gpus=False).devices[0].kind == "cpu"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, ["MIG-1111", "MIG-1122", "GPU-bb22"]),
        ("MIG-1122", ["MIG-1122"]),
        ("MIG-112", ["MIG-1122"]),
        ("MIG-11", ["cpu-slot-0"]),
        ("0", ["MIG-1111", "MIG-1122"]),
        ("1,GPU-aa11", ["GPU-bb22", "MIG-1111", "MIG-1122"]),
    ],
)
def test_mig_instances_are_the_devices(nvml, monkeypatch, setting, expected):
    monkeypatch.setattr(devices, "usable_cores", lambda: 1)
    nvml(SPLIT)
    environ = {} if setting is None else {"CUDA_VISIBLE_DEVICES": setting}
    assert uuids(detect(environ)) == expected


def test_an_instance_has_its_own_memory_and_is_all_that_a_child_sees(nvml):
    nvml(SPLIT)
    instance = detect({"CUDA_VISIBLE_DEVICES": "MIG-1122"}).devices[0]
    assert instance.total_mib == 9000
    assert instance.environment() == {"CUDA_VISIBLE_DEVICES": "MIG-1122"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NVML_ERROR_LIBRARY_NOT_FOUND, "no driver library"),
        (NVML_ERROR_LIB_RM_VERSION_MISMATCH, "different versions"),
        (NVML_ERROR_NO_PERMISSION, "may not ask the driver"),
        (NVML_ERROR_DRIVER_NOT_LOADED, "not loaded"),
        (NVML_ERROR_GPU_IS_LOST, "NVML does not start: GPU is lost"),
    ],
)
def test_an_nvml_that_does_not_start_is_said_and_the_cpu_is_used(nvml, error, words):
    nvml(fails=error)
    found = detect({})
    assert found.devices[0].kind == "cpu"
    assert any(words in note for note in found.notes)


def test_a_driver_without_gpus_leaves_the_cpu(nvml):
    nvml([])
    found = detect({})
    assert found.devices[0].kind == "cpu"
    assert any("shows no GPU" in note for note in found.notes)


def test_what_cannot_be_used_is_left_out_and_the_others_stay(nvml):
    fake = nvml(
        [
            Card("GPU-1", lost=True),
            Card("GPU-2", compute_mode=pynvml.NVML_COMPUTEMODE_PROHIBITED),
            Card("GPU-3", instances=[None]),
            Card("GPU-4"),
        ]
    )
    found = detect({})
    assert uuids(found) == ["GPU-4"]
    assert [note.split(":")[1] for note in found.notes] == [
        " GPU 0 is left out",
        " GPU 1 is left out",
        " GPU 2 is left out",
    ]
    assert fake.open == 0


def test_a_gpu_that_shares_the_memory_of_the_machine_shows_that(nvml):
    nvml([Card("GPU-1", total_mib=None)])
    device = detect({}).devices[0]
    assert device.total_mib > 0
    assert 0 < device.free_mib <= device.total_mib


def test_numbers_on_a_machine_of_mixed_models_are_warned_of(nvml):
    nvml([Card("GPU-1", name="Old"), Card("GPU-2", name="New")])
    assert any("different models" in note for note in detect({"CUDA_VISIBLE_DEVICES": "0"}).notes)
    assert detect({"CUDA_VISIBLE_DEVICES": "GPU-1"}).notes == ()


def test_a_foreign_process_that_fills_the_gpu_is_named(nvml):
    with subprocess.Popen(["sleep", "60"]) as foreign:
        nvml([Card("GPU-1", free_mib=800, processes={foreign.pid: 23000, 4_000_000: None})])
        device = detect({}).devices[0]
        try:
            words = crowded(device, 900, ours=())
            assert crowded(device, 700, ours=()) is None
        finally:
            foreign.kill()
    assert words.startswith("Test GPU has 800 MiB free, 900 MiB are needed; held by ")
    assert f"pid {foreign.pid} sleep of " in words
    assert "23000 MiB" in words
    assert "pid 4000000 (not visible from here)" in words


def test_the_memory_of_our_own_workers_counts_as_room(nvml):
    with subprocess.Popen(["sleep", "60"]) as worker:
        nvml([Card("GPU-1", free_mib=800, processes={worker.pid: 5000})])
        device = detect({}).devices[0]
        try:
            assert crowded(device, 5800) is None
            assert crowded(device, 5801).endswith("the driver does not say who holds the rest")
        finally:
            worker.kill()


def test_an_exclusive_gpu_is_crowded_by_any_foreign_process(nvml):
    mode = pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS
    nvml([Card("GPU-1", compute_mode=mode, processes={4_000_000: 10})])
    device = detect({}).devices[0]
    assert "one process at a time" in crowded(device, 100)
    nvml([Card("GPU-1", compute_mode=mode)])
    assert crowded(device, 100) is None


def test_a_gpu_is_waited_for_only_where_a_process_that_can_be_seen_fills_it(nvml):
    """In a container the driver's numbers may mean our own workers: nothing is seen of those."""
    nvml([Card("GPU-1", free_mib=800, processes={4_000_000: 23000})])
    device = detect({}).devices[0]
    assert crowded(device, 900) is not None
    assert filled_by_others(device, 900) is None
    assert filled_by_others(devices.cpu_slots(1)[0], 1e12) is None
    nvml([Card("GPU-1", free_mib=800, processes={1: 23000, 4_000_000: None})])
    words = filled_by_others(device, 900)
    assert words.startswith("Test GPU has 800 MiB free, 900 MiB are needed; held by pid 1 ")
    assert "4000000" not in words
    assert filled_by_others(device, 800) is None
    nvml([])
    assert filled_by_others(device, 800) is None


def test_our_own_workers_do_not_fill_a_gpu(nvml):
    with subprocess.Popen(["sleep", "60"]) as worker:
        nvml([Card("GPU-1", free_mib=0, processes={worker.pid: 900, 1: 100})])
        device = detect({}).devices[0]
        try:
            assert filled_by_others(device, 900) is None
            assert "900 MiB free" in filled_by_others(device, 901)
        finally:
            worker.kill()


def test_devices_know_whether_they_take_one_process_and_whether_torch_can_use_them(
    nvml, monkeypatch
):
    nvml([Card("GPU-1", compute_mode=pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS), Card("GPU-2")])
    for build, usable in (("", True), ("cu126", True), ("cpu", False)):
        monkeypatch.setattr(devices, "_torch_build", lambda build=build: build)
        found = detect({}).devices
        assert [device.exclusive for device in found] == [True, False]
        assert [device.torch for device in found] == [usable, usable]


def test_a_gpu_that_has_fallen_off_the_bus_is_crowded_for_good(nvml):
    nvml([Card("GPU-1")])
    device = detect({}).devices[0]
    nvml([Card("GPU-1", lost=True)])
    assert "not there any more" in crowded(device, 1)
    assert occupants(device) == ()


SMI = """
case "$*" in
*query-gpu*) printf '%s\\n' \
  '0, GPU-aa11, NVIDIA H200, 143771, 143000, Default, Disabled' \
  '1, GPU-bb22, "Odd, name", [N/A], [N/A], Exclusive_Process, [N/A]' \
  '2, GPU-cc33, NVIDIA H200, 143771, 3000, Default, Enabled' \
  '3, GPU-dd44, NVIDIA H200, 143771, 3000, Prohibited, Disabled' ;;
*query-compute-apps*) printf '%s\\n' 'GPU-aa11, 4000000, 512' 'GPU-bb22, 4000001, [N/A]' ;;
-L) printf '%s\\n' 'GPU 2: NVIDIA H200 (UUID: GPU-cc33)' \
  '  MIG 1g.18gb     Device  0: (UUID: MIG-0001)' \
  '  MIG 2g.35gb+me  Device  1: (UUID: MIG-0002)' ;;
esac
"""


def test_nvidia_smi_is_asked_where_nvml_cannot_be_loaded(smi):
    smi(SMI)
    found = detect({})
    assert uuids(found) == ["GPU-aa11", "GPU-bb22", "MIG-0001", "MIG-0002"]
    assert found.devices[0].free_mib == 143000
    assert found.devices[1].name == "Odd, name"
    assert (found.devices[2].total_mib, found.devices[2].free_mib) == (18432, 3000)
    assert found.notes == ("NVIDIA: GPU 3 is left out: its compute mode is Prohibited",)
    assert "pid 4000000 (not visible from here), 512 MiB" in crowded(found.devices[0], 150000)
    assert "one process at a time" in crowded(found.devices[1], 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'nonsense, of, a; driver'", "cannot be read"),
        ("head -c 3000 /dev/urandom", "cannot be read"),
        ("echo 'Failed to initialize NVML: mismatch'; exit 18", "exit status 18"),
        ("kill -SEGV $$", "exit status -11 and said: nothing"),
    ],
)
def test_garbage_from_nvidia_smi_is_said_and_the_cpu_is_used(smi, body, words):
    smi(body)
    found = detect({})
    assert found.devices[0].kind == "cpu"
    assert any(words in note for note in found.notes), found.notes


def test_no_devices_were_found_is_no_line_of_a_gpu(smi):
    smi("echo 'No devices were found'")
    assert detect({}).devices[0].kind == "cpu"


def test_an_nvidia_smi_that_hangs_is_left_in_bounded_time(smi, monkeypatch):
    monkeypatch.setattr(nvidia, "SMI_LIMIT_S", 0.3)
    folder = smi('sleep 600 & echo $! > "$(dirname "$0")/pid"; wait')
    started = time.monotonic()
    found = detect({})
    assert time.monotonic() - started < 5
    assert any("no answer within" in note for note in found.notes)
    pid = int((folder / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
