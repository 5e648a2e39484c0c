"""Cores and memory of this machine, from groups laid out as the kernel does it."""

from __future__ import annotations

import os
import resource
import signal

import pytest

from gpu.host import machine
from gpu.host.machine import GroupLimits, died_of_memory, group_limits, memory_kills

MIB = 1 << 20


def lay_out(root, **files):
    """Files by their path with __ for a slash."""
    for name, text in files.items():
        path = root.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def version_2(root, group, **files):
    lay_out(root, proc__self__cgroup=f"0::{group}\n")
    folder = root / "sys/fs/cgroup" / group.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_version_2_limits_are_read_and_dropped_cache_is_no_use(tmp_path):
    version_2(
        tmp_path,
        "/user.slice/job",
        cpu__max="250000 100000\n",
        memory__max=f"{4000 * MIB}\n",
        memory__high="max\n",
        memory__current=f"{1500 * MIB}\n",
        memory__stat=f"anon 1\nfile 2\ninactive_file {500 * MIB}\n",
        memory__events="low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\n",
    )
    assert group_limits(tmp_path) == GroupLimits(2.5, 4000.0, 1000.0)
    assert group_limits(tmp_path).free_mib == 3000.0
    assert memory_kills(tmp_path) == 1


def test_the_tightest_group_on_the_way_up_counts(tmp_path):
    version_2(tmp_path, "/", memory__max=f"{900 * MIB}", memory__current=f"{800 * MIB}")
    version_2(
        tmp_path,
        "/a/b",
        cpu__max="400000 100000",
        memory__max=f"{500 * MIB}",
        memory__current=f"{100 * MIB}",
    )
    version_2(tmp_path, "/a", cpu__max="100000 100000")
    version_2(tmp_path, "/a/b")
    limits = group_limits(tmp_path)
    assert limits.cores == 1.0
    assert limits.free_mib == 100.0


def test_memory_high_is_a_limit_too(tmp_path):
    version_2(tmp_path, "/j", memory__max="max", memory__high=f"{300 * MIB}", memory__current="0")
    assert group_limits(tmp_path).limit_mib == 300.0


def test_version_1_limits_are_read(tmp_path):
    lay_out(
        tmp_path,
        proc__self__cgroup="4:memory:/docker/ab\n2:cpu,cpuacct:/docker/ab\n0::/\n",
    )
    # Inside the container its own group is the mount's root.
    memory, cpu = tmp_path / "sys/fs/cgroup/memory", tmp_path / "sys/fs/cgroup/cpu,cpuacct"
    memory.mkdir(parents=True)
    cpu.mkdir(parents=True)
    (memory / "memory.limit_in_bytes").write_text(f"{2000 * MIB}\n")
    (memory / "memory.usage_in_bytes").write_text(f"{1200 * MIB}\n")
    (memory / "memory.stat").write_text(f"cache 5\ntotal_inactive_file {200 * MIB}\n")
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n")
    (cpu / "cpu.cfs_quota_us").write_text("150000\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    assert group_limits(tmp_path) == GroupLimits(1.5, 2000.0, 1000.0)
    assert memory_kills(tmp_path) == 7


@pytest.mark.parametrize(
    "files",
    [
        {"memory__limit_in_bytes": "9223372036854771712", "cpu__cfs_quota_us": "-1"},
        {"memory__max": "max", "cpu__max": "max 100000"},
        {"memory__max": "many", "cpu__max": "100000 0"},
        {},
    ],
)
def test_no_limit_and_nonsense_limit_nothing(tmp_path, files):
    version_2(tmp_path, "/j", **files)
    assert group_limits(tmp_path) == GroupLimits()


def test_a_machine_without_groups_has_no_limits_and_counts_kills_since_boot(tmp_path):
    assert group_limits(tmp_path) == GroupLimits()
    assert memory_kills(tmp_path) is None
    lay_out(tmp_path, proc__vmstat="nr_free_pages 10\noom_kill 4\n")
    assert memory_kills(tmp_path) == 4


def test_as_many_files_may_be_open_as_the_system_allows():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = min(before[1], 1 << 16) if before[1] != resource.RLIM_INFINITY else 1 << 16
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, hard), before[1]))
        machine.allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_quota_is_a_reason_for_the_number_of_cores(monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1.5)
    assert "quota is 1.5" in machine.why_cores()


def test_a_group_limits_the_memory_that_is_available(monkeypatch):
    limits = GroupLimits(limit_mib=100.0, used_mib=90.0)
    monkeypatch.setattr(machine, "group_limits", lambda: limits)
    assert machine.available_memory_mib() == 10.0
    assert machine.memory_limit_mib() == 100.0


@pytest.mark.parametrize(
    ("status", "words", "kills", "free_mib", "found"),
    [
        (-signal.SIGKILL, "", (3, 4), 9000.0, "the system killed it"),
        (-signal.SIGKILL, "", (3, 3), 90.0, "90 MiB of memory were left"),
        (-signal.SIGKILL, "", (3, 3), 9000.0, None),
        (-signal.SIGKILL, "", (None, None), 9000.0, None),
        (-signal.SIGABRT, "terminate called after 'std::bad_alloc'", (3, 3), 9e3, "bad_alloc"),
        (-signal.SIGABRT, "CUDA error 2: out of memory", (0, 0), 9e3, "out of memory"),
        (1, "MemoryError", (0, 0), 9000.0, "memoryerror"),
        (-signal.SIGSEGV, "", (3, 3), 90.0, None),
        (0, "out of memory", (0, 0), 9000.0, None),
    ],
)
def test_a_death_for_memory_is_told_from_others(status, words, kills, free_mib, found):
    reason = died_of_memory(status, words, *kills, free_mib)
    assert reason is None if found is None else found in reason


def test_this_machine_can_be_read():
    assert 1 <= machine.usable_cores() <= (os.cpu_count() or 1)
    assert 0 < machine.available_memory_mib() <= machine.memory_limit_mib()
