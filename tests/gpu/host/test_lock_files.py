"""Lock files that users share: found by all, kept by none but their holder, and harmless."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile

import pytest

from gpu.host import lock_files
from gpu.host.holders import held_leases
from gpu.host.lock_files import (
    LeaseFolderError,
    machine_lock_dir,
    release,
    sharing_note,
    take,
    trouble_of,
    user_lock_dir,
)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def for_all(tmp_path):
    """A folder as /run/lock is."""
    folder = tmp_path / "for all"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def test_the_folder_for_all_does_not_depend_on_the_temporary_folder(for_all, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert machine_lock_dir({}, [for_all]) == for_all / "watcher-leases"
    assert sharing_note({}, [for_all]) is None
    assert machine_lock_dir({"WATCHER_LEASE_DIR": "/elsewhere"}, [for_all]).name == "elsewhere"


@pytest.mark.parametrize("rights", [0o755, 0o777, 0o1775])
def test_a_folder_that_is_not_for_all_is_not_used_and_that_is_said(tmp_path, rights):
    """0777: anybody could remove anybody's locks there."""
    base = tmp_path / "base"
    base.mkdir()
    base.chmod(rights)
    assert machine_lock_dir({}, [tmp_path / "missing", base]) == user_lock_dir()
    note = sharing_note({}, [base])
    assert str(base) in note
    assert "among this user's runs only" in note
    assert "WATCHER_LEASE_DIR" in note


def test_a_folder_that_somebody_else_has_put_there_is_passed_by(for_all, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    second.chmod(0o1777)
    folder = for_all / "watcher-leases"
    folder.symlink_to(second)
    assert machine_lock_dir({}, [for_all, second]) == second / "watcher-leases"
    folder.unlink()
    folder.mkdir(mode=0o700)
    assert machine_lock_dir({}, [for_all, second]) == second / "watcher-leases"


def test_every_user_can_come_in_and_look_at_each_lock(for_all):
    folder = machine_lock_dir({}, [for_all])
    before = os.umask(0o077)
    try:
        lock = take(folder / "GPU-1.lock")
    finally:
        os.umask(before)
    assert mode(folder) == 0o1777
    assert mode(folder / "GPU-1.lock") == 0o644
    assert machine_lock_dir({}, [for_all]) == folder
    assert [path.name for path in for_all.iterdir()] == ["watcher-leases"]
    release(lock)


def test_the_lock_of_another_user_is_taken_without_the_right_to_write(for_all, monkeypatch):
    """Who may only read it: opening it for writing is refused, as by the system to another."""
    path = for_all / "GPU-1.lock"
    path.write_text("theirs")
    opened = os.open

    def open_as_another(name, flags, *rest):
        if flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(name))
        return opened(name, flags, *rest)

    monkeypatch.setattr(lock_files.os, "open", open_as_another)
    lock = take(path)
    assert lock is not None
    assert take(path) is None
    release(lock)
    again = take(path)
    assert again is not None
    release(again)
    assert path.read_text() == "theirs"


def test_a_lock_that_may_not_be_opened_is_as_good_as_held(for_all, monkeypatch):
    path = for_all / "GPU-1.lock"
    path.touch()
    opened = os.open

    def refuse(name, flags, *rest):
        if not flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(name))
        return opened(name, flags, *rest)

    monkeypatch.setattr(lock_files.os, "open", refuse)
    assert take(path) is None


def test_no_link_is_followed(for_all, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    (for_all / "GPU-1.lock").symlink_to(precious)
    (for_all / "GPU-2.lock").symlink_to(tmp_path / "not there")
    for name in ("GPU-1.lock", "GPU-2.lock"):
        with pytest.raises(OSError, match=name):
            take(for_all / name)
    assert precious.read_text() == "keep me"
    assert not (tmp_path / "not there").exists()


def test_a_lock_file_that_was_removed_meanwhile_is_no_lease(for_all, monkeypatch):
    path = for_all / "GPU-1.lock"
    flock = lock_files.fcntl.flock

    def flock_too_late(descriptor, how):
        if path.exists():
            path.unlink()
        flock(descriptor, how)

    monkeypatch.setattr(lock_files.fcntl, "flock", flock_too_late)
    assert take(path) is None
    monkeypatch.setattr(lock_files.fcntl, "flock", flock)
    lock = take(path)
    assert lock is not None
    release(lock)


def test_a_pipe_among_the_locks_is_none_and_is_not_opened(for_all):
    """Who opens it waits until somebody writes; here somebody could, so that no test waits."""
    os.mkfifo(for_all / "GPU-1.lock")
    writer = os.open(for_all / "GPU-1.lock", os.O_RDWR)
    fcntl.flock(writer, fcntl.LOCK_EX)
    try:
        assert held_leases(for_all) == ()
    finally:
        os.close(writer)


def test_a_folder_that_no_lock_can_be_made_in_is_named_with_what_helps(tmp_path):
    (tmp_path / "leases").touch()
    for folder in (tmp_path / "leases", tmp_path / "leases" / "below"):
        with pytest.raises(LeaseFolderError) as refused:
            take(folder / "GPU-1.lock")
        for said in (str(refused.value), trouble_of(folder)):
            assert f"no lock file can be made in {folder} (" in said
            assert "WATCHER_LEASE_DIR" in said
    assert trouble_of(tmp_path / "not" / "there") is None


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC])
def test_what_another_try_may_find_gone_is_no_fault_of_the_folder(tmp_path, monkeypatch, number):
    def full(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock_files.os, "open", full)
    with pytest.raises(OSError, match=os.strerror(number)) as refused:
        take(tmp_path / "cpu-slot-0.lock")
    assert not isinstance(refused.value, LeaseFolderError)


def test_a_folder_that_may_not_be_looked_into_holds_no_lease_that_could_be_seen(
    tmp_path, monkeypatch
):
    def refused(*_args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "glob", refused)
    assert held_leases(tmp_path) == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_trouble(tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written" in trouble_of(tmp_path / "leases")
