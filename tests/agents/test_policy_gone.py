"""A policy that was there and is gone: nothing runs under a looser one."""

import threading

import pytest

from steps.contract import ExitCode


@pytest.fixture
def bereft(watcher, folder):
    """A workspace that has run under its own policy, which is gone since."""
    assert watcher("--run-pipeline").code == ExitCode.DONE
    (folder.root / "watcher_policies.json").unlink()
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("--run-pipeline",),
        ("--run-pipeline", "--dry-run"),
        ("--run-pipeline", "--force"),
        ("--run-pipeline", "--resume"),
        ("--daemon", "--every", "1h"),
        ("--policies-check",),
    ],
)
def test_nothing_starts_where_the_own_policy_is_gone(watcher, bereft, command):
    answer = watcher(*command)
    assert answer.code == ExitCode.USAGE
    assert "watcher_policies.json: is gone" in answer.err
    assert f"`watcher --init {bereft.root}`" in answer.err
    assert len(bereft.attempts) == 1


def test_status_says_what_is_gone_and_how_to_go_on(watcher, bereft):
    answer = watcher("--status")
    assert answer.code == ExitCode.DONE
    assert "policy problem" in answer.out
    assert "put it back" in " ".join(answer.out.split())


def test_clearing_a_halt_says_that_nothing_will_start_all_the_same(watcher, bereft):
    watcher("--halt", "why")
    answer = watcher("--clear-halt")
    assert answer.code == ExitCode.HALTED
    assert "is gone" in " ".join(answer.out.split())


def test_laying_out_the_packaged_policy_is_a_way_on(watcher, bereft):
    assert watcher("--init", str(bereft.root)).code == ExitCode.DONE
    for path in (bereft.root / "agent_manifests").glob("*.json"):
        if path.name != "acting.json":  # the real ones
            path.unlink()
    assert watcher("--run-pipeline", "--force").code == ExitCode.DONE


def test_putting_it_back_is_a_way_on(watcher, bereft):
    bereft.policy()
    assert watcher("--run-pipeline", "--force").code == ExitCode.DONE


def test_workspace_that_never_had_a_policy_goes_on_with_the_packaged_one(watcher, folder):
    (folder.root / "watcher_policies.json").unlink()
    assert watcher("--run-pipeline").code == ExitCode.DONE
    assert watcher("--run-pipeline", "--force").code == ExitCode.DONE


def test_link_that_leads_nowhere_is_no_packaged_policy(watcher, folder):
    (folder.root / "watcher_policies.json").unlink()
    (folder.root / "watcher_policies.json").symlink_to(folder.root / "nowhere")
    answer = watcher("--run-pipeline")
    assert answer.code == ExitCode.USAGE
    assert "watcher_policies.json: no such policy file" in answer.err


def test_ledger_that_cannot_tell_is_no_leave_to_run(watcher, bereft):
    (bereft.root / ".watcher" / "ledger.sqlite").write_bytes(b"garbage" * 1000)
    answer = watcher("--run-pipeline")
    assert answer.code == ExitCode.USAGE
    assert "cannot be told" in answer.err


def read_until(process, text):
    killer = threading.Timer(20, process.kill)
    killer.start()
    said = ""
    for line in process.stderr:
        said += line
        if text in line:
            killer.cancel()
            return
    raise AssertionError(f"{text!r} was not said in 20 s, but: {said}")


def test_daemon_does_not_go_on_without_the_policy_of_its_last_run(folder, spawn):
    process = spawn("--daemon", "--on-change", "table.csv")
    read_until(process, "ended with 0")
    (folder.root / "watcher_policies.json").unlink()
    (folder.root / "table.csv").write_text("a\n1\n")
    read_until(process, "watcher_policies.json: is gone")
    process.terminate()
    process.wait(20)
    assert len(folder.attempts) == 1


def test_daemon_that_has_run_nothing_yet_knows_what_it_began_under(folder, spawn):
    flag = folder.root / "watcher_halt.flag"
    flag.touch()
    process = spawn("--daemon", "--every", "1h")
    read_until(process, "halted")
    (folder.root / "watcher_policies.json").unlink()
    flag.unlink()
    read_until(process, "watcher_policies.json: is gone")
    assert process.wait(20) == ExitCode.USAGE
    assert not folder.attempts
