"""The cores that a process may use, from groups laid out as the kernel does it."""

from __future__ import annotations

import pytest

from gpu import cores, trial
from gpu.host import machine
from gpu.worker import __main__ as worker


@pytest.mark.parametrize(
    ("quota", "usable"),
    [("350000 100000", 3), ("50000 100000", 1), ("max 100000", 8), ("9900000 100000", 8)],
)
def test_a_quota_of_the_control_group_cuts_the_cores(tmp_path, monkeypatch, quota, usable):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(8)))
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    group = tmp_path / "sys/fs/cgroup/job"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text(f"{quota}\n")
    assert cores.usable_cores(tmp_path) == usable


def test_without_control_groups_the_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: {2, 5, 7})
    assert cores.usable_cores(tmp_path) == 3


def test_a_worker_started_by_hand_counts_its_cores_as_the_parent_does():
    assert worker.usable_cores is trial.usable_cores is machine.usable_cores is cores.usable_cores
