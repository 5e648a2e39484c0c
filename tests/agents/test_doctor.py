"""--doctor: obstacles first, versions against ranges, families to devices."""

import sys

import pytest

from agents.doctor import examine, in_range, requirements
from agents.workspace import Workspace
from gpu.host.devices import Device
from steps.policies import Policy, PolicyError

GPU = Device("cuda", "GPU-1234", 0, "Some GPU", 24000, 23000)
CPU = Device("cpu", "cpu-slot-0", 0, "CPU slot 0", 8000, 8000)


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("2.13.0+cpu", ">=2.10", True),
        ("2.9", ">=2.10", False),
        ("3.0", ">=2.9,<3", False),
        ("3.0.0rc1", ">=3", True),
        ("5.0", "", True),
        ("1.2.7", "==1.2.7", True),
    ],
)
def test_versions_compare_as_numbers(version, wanted, fits):
    assert in_range(version, wanted) is fits


def test_requirements_name_the_libraries_of_the_product():
    assert any(line.startswith("optuna") for line in requirements())


def test_gpu_is_named_for_each_family(folder):
    found = _examine(folder, [GPU])
    assert dict(found.placement)["xgboost"].startswith("cuda:0")
    assert found.reasons == ()


def test_family_that_the_policy_forbids_runs_nowhere(folder):
    policy = Policy.model_validate({"training": {"families": {"catboost": False}}})
    found = _examine(folder, [CPU], policy)
    assert dict(found.placement)["catboost"].startswith("nowhere")
    assert "CPU" in dict(found.placement)["lightgbm"]


def test_halt_and_broken_policy_are_reasons(folder):
    (folder.root / "watcher_halt.flag").touch()

    def broken() -> Policy:
        raise PolicyError("watcher_policies.json: hatl: unknown key")

    found = examine(Workspace(folder.root), broken, tuple, {}, lambda *_: [CPU])
    assert len(found.reasons) == 2
    assert "hatl" in found.reasons[0]
    assert "watcher_halt.flag" in found.reasons[1]


def test_doctor_imports_no_training_library(watcher):
    before = set(sys.modules)
    watcher("--doctor")
    assert not {"torch", "xgboost", "lightgbm", "catboost", "optuna"} & (set(sys.modules) - before)


def test_reasons_come_first_and_end_with_1(watcher, folder):
    (folder.root / "watcher_halt.flag").touch()
    answer = watcher("--doctor")
    assert answer.code == 1
    assert answer.out.startswith("A run could not start here:")


def _examine(folder, devices, policy=None):
    return examine(
        Workspace(folder.root), lambda: policy or Policy(), tuple, {}, lambda *_: devices
    )
