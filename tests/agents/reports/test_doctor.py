"""--doctor: obstacles first, versions against ranges, families to devices."""

import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from filelock import FileLock

from agents.lock import Holder, only_watcher
from agents.reports import doctor, libraries
from agents.reports.doctor import examine
from agents.reports.libraries import in_range, requirements
from agents.views.doctor_view import show_examination
from agents.views.screen import console_for
from agents.workspace import Workspace
from gpu.host.devices import Detection, Device
from gpu.host.nvidia import Occupant
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
    where = dict(found.placement)
    assert where["xgboost"].startswith("cuda:0; one trial a GPU, CPU threads beside each: ")
    assert "its library computes on the CPU only" in where["lightgbm"]
    assert where["lightgbm"].startswith("CPU slots of one thread: ")
    assert found.reasons == ()


def test_what_no_gpu_can_be_used_by_is_said_to_train_on_the_cpu(folder):
    found = _examine(folder, [replace(GPU, torch=False)])
    where = dict(found.placement)
    assert where["neural_net"] == where["lightgbm"]
    assert where["xgboost"].startswith("cuda:0")
    trees = {"neural_net": False, "xgboost": False, "catboost": False}
    policy = Policy.model_validate({"training": {"families": trees}})
    where = dict(_examine(folder, [GPU], policy).placement)
    assert "computes on the CPU only" in where["lightgbm"]
    assert "no GPU is visible" not in where["lightgbm"]


def test_leases_that_other_users_do_not_see_are_said(folder, monkeypatch):
    monkeypatch.setattr(doctor, "sharing_note", lambda: "among this user's runs only")
    assert _examine(folder, [GPU], notes=("a note",)).device_notes == (
        "a note",
        "among this user's runs only",
    )
    assert _examine(folder, [CPU]).device_notes == ()


def test_a_folder_without_leases_is_a_reason(folder):
    (folder.root / "leases").touch()
    (reason,) = _examine(folder, [GPU]).reasons
    assert f"no lock file can be made in {folder.root / 'leases'}" in reason


def test_family_that_the_policy_forbids_runs_nowhere(folder):
    policy = Policy.model_validate({"training": {"families": {"catboost": False}}})
    found = _examine(folder, [CPU], policy)
    assert dict(found.placement)["catboost"].startswith("nowhere")
    assert "CPU" in dict(found.placement)["lightgbm"]


def test_halt_and_broken_policy_are_reasons(folder):
    (folder.root / "watcher_halt.flag").touch()

    def broken() -> Policy:
        raise PolicyError("watcher_policies.json: hatl: unknown key")

    found = examine(Workspace(folder.root), broken, tuple, {}, _finding([CPU]))
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


@pytest.mark.parametrize("host", ["another-host", None])
def test_a_holder_that_was_left_behind_is_not_busy(folder, host):
    workspace = Workspace(folder.root)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with only_watcher(workspace, "running", now) as holder:
        left = holder.model_copy(update={"host": host or holder.host})
        assert _examine(folder, [CPU]).holder == holder
    workspace.holder_file.write_text(left.model_dump_json())
    found = _examine(folder, [CPU])
    assert (found.holder, found.reasons) == (None, ())


def test_a_watcher_at_work_is_a_reason_even_from_another_host(folder):
    workspace = Workspace(folder.root)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    holder = Holder(pid=7, process_start="x", host="another-host", since=now, doing="running")
    with only_watcher(workspace, "running", now):
        workspace.holder_file.write_text(holder.model_dump_json())
        (reason,) = _examine(folder, [CPU]).reasons
    assert reason.startswith("another watcher works here: pid 7 on another-host")


def test_a_lease_that_is_held_is_shown_with_its_holder_and_a_stale_one_is_not(folder, tmp_path):
    (tmp_path / "cpu-slot-0.lock").write_text("left behind")
    assert _examine(folder, [CPU], lock_dir=tmp_path).devices[0].lease is None
    with FileLock(tmp_path / "GPU-1234.lock"):
        gpu, *slots = _examine(folder, [GPU], lock_dir=tmp_path).devices
    assert str(gpu.lease).startswith("pid ")
    assert {state.device.kind for state in slots} == {"cpu"}


def test_a_gpu_that_others_fill_is_warned_of(folder, monkeypatch):
    full = Device("cuda", "GPU-1234", 0, "Some GPU", 24000, 500)
    monkeypatch.setattr(doctor, "occupants", lambda _: (Occupant(4_000_000, 23000),))
    found = _examine(folder, [full])
    (warning,) = [w for w in found.warnings if "filled" in w]
    assert "500 of 24000 MiB are free: pid 4000000 (not visible from here), 23000 MiB" in warning
    assert found.reasons == ()


def test_a_torch_for_the_cpu_is_warned_of_where_there_is_a_gpu(folder, monkeypatch):
    monkeypatch.setattr(libraries.importlib.metadata, "version", lambda _: "2.13.0+cpu")
    assert any("built for the CPU only" in w for w in _examine(folder, [GPU]).warnings)
    assert not any("built for the CPU only" in w for w in _examine(folder, [CPU]).warnings)


@pytest.mark.parametrize("width", [80, 100])
def test_every_device_is_printed_whole_within_the_width(folder, tmp_path, monkeypatch, width):
    uuid = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
    gpu = Device("cuda", uuid, 0, "NVIDIA H200", 143771, 143000)
    monkeypatch.setattr(doctor, "occupants", lambda _: (Occupant(4_000_000, 700),))
    with FileLock(tmp_path / f"{uuid}.lock"), (tmp_path / "out").open("w+") as out:
        console = console_for(out)
        console.width = width
        show_examination(console, _examine(folder, [gpu], lock_dir=tmp_path, notes=("a note",)))
        out.seek(0)
        printed = out.read()
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= width
    for words in (uuid, "143000 of 143771 MiB free", "used by pid 4000000", "leased by pid"):
        assert words in printed
    assert "note  a note" in printed


def test_free_slots_share_a_line_and_leased_ones_have_their_own(folder, tmp_path, capsys):
    slots = [Device("cpu", f"cpu-slot-{i}", i, f"CPU slot {i}", 1000, 900) for i in range(4)]
    with FileLock(tmp_path / "cpu-slot-2.lock"):
        found = _examine(folder, slots, lock_dir=tmp_path)
    show_examination(console_for(sys.stdout), found)
    out = capsys.readouterr().out
    assert "cpu:2  CPU slot 2, leased by pid" in out
    assert "cpu    3 of 4 CPU slots are free" in out


def _finding(devices, notes=()):
    return lambda *_: Detection(tuple(devices), notes)


def _examine(folder, devices, policy=None, lock_dir=None, notes=()):
    return examine(
        Workspace(folder.root),
        lambda: policy or Policy(),
        tuple,
        {},
        _finding(devices, notes),
        lock_dir or folder.root / "leases",
    )
