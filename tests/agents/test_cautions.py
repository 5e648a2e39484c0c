"""What may go wrong for want of disk, memory or a GPU is said before a step starts."""

import shutil
from collections import namedtuple

import psutil
import pytest

from agents.preflight import cautions
from agents.workspace import Workspace
from steps.policies import Policy

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def said(tmp_path):
    """The cautions for one input of this size. A sparse file: of any size, without the room."""

    def run(size, policy=None, gpus=()):
        table = tmp_path / "table.csv"
        with table.open("wb") as file:
            file.truncate(size)
        return cautions(
            {"table": str(table)}, Workspace(tmp_path), policy or Policy(), lambda: gpus
        )

    return run


def test_input_that_the_disk_has_no_room_for_thrice_is_a_caution(said, tmp_path):
    free = shutil.disk_usage(tmp_path).free
    found = [line for line in said(free // 2) if "disk of the workspace" in line]
    (line,) = found
    assert "are free on the disk of the workspace; a run may need" in line


def test_input_that_memory_has_no_room_for_four_times_is_a_caution(said):
    size = psutil.virtual_memory().available // 2
    (line,) = [line for line in said(size) if "of memory are free" in line]
    assert "reading them may not succeed" in line


def test_small_input_on_an_empty_disk_is_no_caution(said, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**12))
    assert said(1000) == ()


def test_disk_that_is_all_but_full_is_a_caution_for_a_small_input_too(said, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 40_000_000))
    (line,) = said(1000)
    assert line == "40 MB are free on the disk of the workspace; a run may need 500 MB"


def test_gpu_that_is_switched_off_and_not_there_is_a_caution(said, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**12))
    policy = Policy.model_validate({"training": {"gpus_off": ["1", "7"]}})
    (line,) = said(1000, policy, gpus=("GPU-aa", "1"))
    assert line == "training.gpus_off names '7', and there is no such GPU here"
