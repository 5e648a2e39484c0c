"""AMD GPUs from a folder laid out as the kernel driver does it."""

from __future__ import annotations

import pytest

from gpu.host import amd, crowding, devices
from gpu.host.amd import free_of, list_amd_gpus
from gpu.host.crowding import crowded
from gpu.host.devices import detect

GIB = 1 << 30


@pytest.fixture
def cards(tmp_path):
    """card2 and card10 with numbers of their own, card0 without, card1 another maker's."""
    for name, unique, used in [("card0", "0", 1), ("card2", "ab12", 2), ("card10", "cd34", 3)]:
        write_card(tmp_path, name, unique, used)
    (tmp_path / "card1" / "device").mkdir(parents=True)
    (tmp_path / "card2-DP-1").symlink_to(tmp_path / "card2")
    return tmp_path


def write_card(folder, name, unique, used_gib):
    device = folder / name / "device"
    device.mkdir(parents=True)
    (device / "mem_info_vram_total").write_text(f"{16 * GIB}\n")
    (device / "mem_info_vram_used").write_text(f"{used_gib * GIB}\n")
    (device / "unique_id").write_text(f"{unique}\n")


def listed(cards, **environ):
    gpus, _ = list_amd_gpus(environ, cards)
    return [(gpu.index, gpu.uuid) for gpu in gpus]


def test_cards_are_counted_by_number_not_by_name(cards):
    assert listed(cards) == [(0, "rocm-0"), (1, "GPU-ab12"), (2, "GPU-cd34")]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HIP_VISIBLE_DEVICES": "2,0"}, [(2, "GPU-cd34"), (0, "rocm-0")]),
        ({"HIP_VISIBLE_DEVICES": "1,9,0"}, [(1, "GPU-ab12")]),
        ({"HIP_VISIBLE_DEVICES": "-1"}, []),
        ({"HIP_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "1"}, [(1, "GPU-ab12")]),
        ({"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}, [(0, "rocm-0")]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-CD34,1"}, [(0, "GPU-cd34"), (1, "GPU-ab12")]),
        ({"ROCR_VISIBLE_DEVICES": "2,1", "HIP_VISIBLE_DEVICES": "1"}, [(1, "GPU-ab12")]),
    ],
)
def test_the_visible_devices_settings_are_obeyed_one_after_the_other(cards, environ, expected):
    assert listed(cards, **environ) == expected


def test_an_unreadable_card_is_said_and_keeps_its_number(cards):
    (cards / "card0" / "device" / "mem_info_vram_used").write_text("busy")
    gpus, notes = list_amd_gpus({}, cards)
    assert [gpu.index for gpu in gpus] == [1, 2]
    assert notes == ["AMD: card0: its memory cannot be read"]


def test_two_cards_with_one_number_are_told_apart(tmp_path):
    write_card(tmp_path, "card0", "ab12", 1)
    write_card(tmp_path, "card1", "ab12", 2)
    assert [uuid for _, uuid in listed(tmp_path)] == ["GPU-ab12", "GPU-ab12-1"]
    assert free_of("GPU-ab12-1", tmp_path) == 14 * 1024


def test_no_cards_are_no_error(tmp_path):
    assert list_amd_gpus({}, tmp_path / "missing") == ([], [])


def test_without_a_rocm_build_of_torch_the_cards_are_not_used(cards, monkeypatch):
    monkeypatch.setattr(devices, "list_gpus", lambda: ([], []))
    monkeypatch.setattr(devices, "list_amd_gpus", lambda environ: list_amd_gpus(environ, cards))
    monkeypatch.setattr(devices, "_torch_build", lambda: "cpu")
    found = detect({})
    assert found.devices[0].kind == "cpu"
    assert found.notes == ("AMD: 3 GPU seen, but the installed torch is no ROCm build",)
    monkeypatch.setattr(devices, "_torch_build", lambda: "rocm6.4")
    assert [device.kind for device in detect({}).devices] == ["rocm"] * 3


def test_a_full_card_is_crowded(cards, monkeypatch):
    monkeypatch.setattr(crowding, "free_of", lambda uuid: amd.free_of(uuid, cards))
    device = devices.Device("rocm", "GPU-cd34", 2, "AMD GPU", 16384, 16384)
    assert crowded(device, 13 * 1024) is None
    assert "13312 MiB free, 14336 MiB are needed" in crowded(device, 14 * 1024)
    assert device.environment()["HIP_VISIBLE_DEVICES"] == "2"
