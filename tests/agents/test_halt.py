"""The halt file: who wrote it and why is kept, and removing it says what still holds."""

from datetime import UTC, datetime

import pytest

from agents.errors import UsageError, WorkspaceError
from agents.halt import REASON_CHARACTERS, clear_halt, person, write_halt
from agents.workspace import Workspace, halt_reason
from steps.policies import Policy, PolicyError

NOW = datetime(2026, 11, 22, 2, 3, 18, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path)


def test_flag_says_why_who_and_when(workspace):
    written = write_halt(workspace, "swap the disk", "ann on box", NOW)
    assert written.path.read_text() == "swap the disk\nby ann on box at 2026-11-22T02:03:18+00:00\n"
    assert written.before is None
    assert halt_reason(workspace, Policy()).startswith("watcher_halt.flag exists: swap the disk by")


def test_flag_of_another_person_is_not_lost(workspace):
    write_halt(workspace, "swap the disk", "ann", NOW)
    written = write_halt(workspace, "too hot", "bob", NOW)
    assert written.before == "swap the disk by ann at 2026-11-22T02:03:18+00:00"
    assert written.path.read_text().splitlines()[0] == "too hot"
    assert "instead of: swap the disk by ann" in written.path.read_text()


def test_bare_flag_of_touch_is_named_too(workspace):
    workspace.halt_file.touch()
    assert write_halt(workspace, "too hot", "bob", NOW).before == ""
    assert "instead of: a halt file without a reason" in workspace.halt_file.read_text()


def test_reason_of_many_lines_becomes_one_line(workspace):
    write_halt(workspace, " too\n hot\t", "bob", NOW)
    assert workspace.halt_file.read_text().startswith("too hot\nby bob")


def test_empty_reason_says_that_none_was_given(workspace):
    assert write_halt(workspace, "  ", "bob", NOW).reason == "no reason given"


def test_reason_that_nobody_can_read_at_a_glance_is_refused(workspace):
    with pytest.raises(UsageError, match="at most 300 characters, got 301"):
        write_halt(workspace, "x" * (REASON_CHARACTERS + 1), "bob", NOW)
    assert not workspace.halt_file.exists()


def test_flag_that_cannot_be_written_is_an_error_with_its_path(workspace):
    workspace.halt_file.mkdir()
    with pytest.raises(WorkspaceError, match=r"watcher_halt\.flag: cannot be read"):
        write_halt(workspace, "too hot", "bob", NOW)


def test_clearing_gives_the_reason_and_frees_the_workspace(workspace):
    write_halt(workspace, "too hot", "bob", NOW)
    cleared = clear_halt(workspace, Policy)
    assert cleared.before == "too hot by bob at 2026-11-22T02:03:18+00:00"
    assert cleared.still is None
    assert not workspace.halt_file.exists()


def test_clearing_nothing_is_no_error(workspace):
    assert clear_halt(workspace, Policy).before is None


def test_clearing_says_that_the_policy_still_halts(workspace):
    workspace.halt_file.touch()
    cleared = clear_halt(workspace, lambda: Policy(halt=True, halt_reason="audit"))
    assert cleared.still == "watcher_policies.json says halt: audit"


def test_clearing_says_that_the_policy_cannot_be_read(workspace):
    def broken():
        raise PolicyError("watcher_policies.json: no")

    write_halt(workspace, "too hot", "bob", NOW)
    assert clear_halt(workspace, broken).still == (
        "the policy cannot be read: watcher_policies.json: no"
    )
    assert not workspace.halt_file.exists()


def test_person_is_the_systems_word_not_the_environments(monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody_else")
    monkeypatch.setenv("USER", "somebody_else")
    assert "somebody_else" not in person()
