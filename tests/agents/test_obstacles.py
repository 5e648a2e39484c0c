"""A dry run refuses what a run would refuse, with the same code, and changes nothing."""

import os

import pytest

from steps.contract import ExitCode


@pytest.fixture
def dry(watcher):
    return lambda: watcher("--run-pipeline", "--dry-run", "--json")


def test_workspace_that_cannot_be_written_to_is_said(dry, folder, monkeypatch):
    allowed = os.access

    def refuse(path, mode):  # what a read-only disk answers; chmod does not stop root
        return allowed(path, mode) and str(path) != str(folder.root)

    monkeypatch.setattr(os, "access", refuse)
    answer = dry()
    assert answer.code == ExitCode.STEP_FAILED
    assert answer.document["obstacles"] == [
        f"{folder.root}: cannot be written to, and a run keeps its papers there"
    ]


def test_file_in_the_place_of_the_state_folder_is_said(dry, watcher, folder):
    (folder.root / ".watcher").write_text("")
    answer = dry()
    assert answer.code == watcher("--run-pipeline").code == ExitCode.STEP_FAILED
    assert str(folder.root / ".watcher") in answer.document["obstacles"][0]


def test_watcher_that_holds_the_lock_is_named(dry, spawn, folder):
    first = spawn("--run-pipeline", "--params", '{"act": "polite"}')
    folder.pid()
    answer = dry()
    assert answer.code == ExitCode.STEP_FAILED
    assert f"pid {first.pid} on" in answer.document["obstacles"][0]
    assert first.poll() is None


def test_name_left_by_a_watcher_of_another_host_is_no_obstacle(dry, watcher, folder):
    watcher("--run-pipeline")
    (folder.root / ".watcher" / "watcher.json").write_text(
        '{"pid": 1, "process_start": "x", "host": "elsewhere", '
        '"since": "2026-01-01T00:00:00Z", "doing": "step 5"}'
    )
    assert dry().code == ExitCode.DONE


def test_first_step_that_the_policy_forbids_is_said(dry, folder):
    folder.policy(steps={"do_not_start": [5]})
    answer = dry()
    assert answer.code == ExitCode.HALTED
    assert "steps.do_not_start" in answer.document["obstacles"][0]
