"""The watcher as a process of its own: signals, death, a second one, live files."""

import fcntl
import json
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.lock import Holder
from steps.contract import ExitCode

POLITE = ("--run-pipeline", "--json", "--params", '{"act": "polite"}')


def test_ctrl_c_lets_the_step_stop_in_good_order(spawn, folder, is_alive):
    watcher = spawn(*POLITE)
    step = folder.pid()
    watcher.send_signal(signal.SIGINT)
    out, err = watcher.communicate(timeout=10)
    assert watcher.returncode == ExitCode.INTERRUPTED
    document = json.loads(out)
    assert document["steps"][0]["result"]["status"] == "halted"
    assert "again to kill it" in err
    assert not is_alive(step)


def test_ctrl_c_twice_kills_the_tree_at_once(spawn, folder, is_alive):
    watcher = spawn("--run-pipeline", "--params", '{"act": "deaf"}')
    grandchild = folder.pid("grandchild")
    watcher.send_signal(signal.SIGINT)
    _read_until(watcher, "again to kill it")
    watcher.send_signal(signal.SIGINT)
    watcher.communicate(timeout=10)
    assert watcher.returncode == ExitCode.INTERRUPTED
    assert not is_alive(folder.pid())
    assert not is_alive(grandchild)


def test_terminal_that_goes_stops_the_step_in_good_order(spawn, folder, watcher, is_alive):
    first = spawn(*POLITE)
    step = folder.pid()
    for _ in range(3):  # shells and session managers send it again
        first.send_signal(signal.SIGHUP)
    out, _ = first.communicate(timeout=10)
    assert first.returncode == ExitCode.INTERRUPTED
    assert json.loads(out)["steps"][0]["result"]["status"] == "halted"
    assert watcher("--status", "--json").document["status"] == "interrupted"
    assert not is_alive(step)


@pytest.mark.parametrize(
    ("command", "code"), [(("--run-pipeline",), 130), (("--daemon", "--every", "1h"), 0)]
)
def test_real_terminal_that_closes_ends_the_watcher_as_it_should(folder, watcher, command, code):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fake_steps.watcher", *command, "--params", '{"act": "polite"}'],
        cwd=folder.root,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "dumb"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
    )
    os.close(theirs)
    folder.pid()
    os.close(ours)
    assert process.wait(timeout=10) == code
    assert watcher("--status", "--json").document["status"] == "interrupted"


def test_run_under_nohup_survives_the_terminal(spawn, folder, wait_until):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        first = spawn("--run-pipeline", "--json", "--params", '{"act": "stubborn"}')
    finally:
        signal.signal(signal.SIGHUP, before)
    folder.pid("ready")
    first.send_signal(signal.SIGHUP)
    (folder.root / "go").touch()
    out, _ = first.communicate(timeout=10)
    assert json.loads(out)["status"] == "complete"


@pytest.mark.parametrize("by", ["halt", "interrupt"])
def test_step_that_does_not_stop_when_asked_is_killed_after_the_grace(
    spawn, folder, watcher, is_alive, by
):
    folder.policy(steps={"halt_grace_s": 0.5})
    first = spawn("--run-pipeline", "--json", "--params", '{"act": "deaf"}')
    grandchild = folder.pid("grandchild")
    if by == "halt":
        assert watcher("--halt", "the GPU is needed").code == ExitCode.DONE
    else:
        first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=15)
    assert first.returncode == {"halt": ExitCode.HALTED, "interrupt": ExitCode.INTERRUPTED}[by]
    assert json.loads(out)["status"] == {"halt": "halted", "interrupt": "interrupted"}[by]
    assert "did not stop within 0.5 s (steps.halt_grace_s)" in err
    assert not is_alive(grandchild)


def test_stopped_step_is_woken_by_a_halt(spawn, folder, watcher):
    first = spawn(*POLITE)
    os.kill(folder.pid(), signal.SIGSTOP)
    assert watcher("--halt").code == ExitCode.DONE
    out, _ = first.communicate(timeout=10)
    assert first.returncode == ExitCode.HALTED
    assert json.loads(out)["steps"][0]["result"]["status"] == "halted"


def test_sigkill_of_the_watcher_leaves_no_descendants(spawn, folder, is_alive, wait_until):
    watcher = spawn("--run-pipeline", "--params", '{"act": "descend"}')
    step, grandchild = folder.pid(), folder.pid("grandchild")
    watcher.kill()
    watcher.wait()
    wait_until(lambda: not is_alive(step) and not is_alive(grandchild), timeout_s=10)


def test_run_whose_watcher_died_is_called_interrupted_and_the_next_one_starts(
    spawn, folder, watcher, is_alive, wait_until
):
    first = spawn("--run-pipeline", "--params", '{"act": "descend"}')
    step = folder.pid("grandchild")
    first.kill()
    first.wait()
    wait_until(lambda: not is_alive(step))
    status = watcher("--status", "--json").document
    assert status["status"] == "interrupted"
    assert str(first.pid) in status["run"]["message"]
    assert watcher("--run-pipeline").code == ExitCode.DONE
    assert watcher("--status", "--json").document["status"] == "complete"


def test_second_watcher_exits_at_once_naming_the_first(spawn, folder, watcher):
    first = spawn(*POLITE)
    folder.pid()
    answer = watcher("--run-pipeline", "--json")
    assert answer.code == ExitCode.STEP_FAILED
    assert f"pid {first.pid} on {socket.gethostname()}" in answer.document["message"]
    assert first.poll() is None


def test_status_from_another_terminal_shows_the_progress(spawn, folder, watcher, wait_until):
    first = spawn(*POLITE)
    folder.pid()
    wait_until((folder.attempts[0] / "progress.json").exists)
    document = watcher("--status", "--json").document
    assert document["status"] == "running"
    assert document["run"]["attempts"][0]["progress"]["phase"] == "searching"
    text = watcher("--status").out
    for wanted in ("running", f"pid {first.pid}", "1 of 20 trials", "catboost", "0.7500"):
        assert wanted in text, wanted


def test_halt_file_stops_a_running_step_at_its_safe_point(spawn, folder):
    watcher = spawn(*POLITE)
    folder.pid()
    (folder.root / "watcher_halt.flag").write_text("the room is too hot")
    out, err = watcher.communicate(timeout=10)
    assert watcher.returncode == ExitCode.HALTED
    document = json.loads(out)
    assert document["status"] == "halted"
    assert "the room is too hot" in document["message"]
    assert "the room is too hot" in err


def test_halt_in_the_policy_stops_a_running_step(spawn, folder):
    watcher = spawn(*POLITE)
    folder.pid()
    folder.policy(halt=True, halt_reason="enough")
    _, err = watcher.communicate(timeout=10)
    assert watcher.returncode == ExitCode.HALTED
    assert "policy changed: halt: False -> True" in err


def test_a_time_limit_that_is_changed_moves_that_of_the_running_attempt(spawn, folder):
    retries = {"max_per_step": 0, "max_per_run": 0, "backoff_s": 0}
    folder.policy(retries=retries)
    watcher = spawn("--run-pipeline", "--json", "--params", '{"act": "silent"}')
    folder.pid()
    limits = {"kill_grace_s": 0.3, "timeout_minutes": {"5": 0.5 / 60}}
    folder.policy(retries=retries, steps=limits)
    out, err = watcher.communicate(timeout=10)
    assert watcher.returncode == ExitCode.TIMEOUT
    assert "did not finish within its limit of 0.5 s" in json.loads(out)["message"]
    assert "steps.timeout_minutes.5: 360.0 -> 0.008" in err


def test_a_policy_file_that_hangs_moves_no_time_limit(spawn, folder):
    retries = {"max_per_step": 0, "max_per_run": 0, "backoff_s": 0}
    limits = {"kill_grace_s": 0.2, "timeout_minutes": {"5": 2 / 60}}
    folder.policy(retries=retries, steps=limits)
    watcher = spawn("--run-pipeline", "--json", "--params", '{"act": "silent"}')
    folder.pid()
    hanging = folder.root / "policy.tmp"
    os.mkfifo(hanging)  # whoever opens it waits for a writer
    hanging.replace(folder.root / "watcher_policies.json")
    out, _ = watcher.communicate(timeout=10)
    assert watcher.returncode == ExitCode.TIMEOUT
    (attempt,) = json.loads(out)["steps"][0]["attempts"]
    assert 2.0 <= attempt["duration_s"] < 3.2


def test_a_halted_run_is_resumed_under_its_own_id(spawn, folder, watcher):
    arguments = ("--run-pipeline", "--json", "--params", '{"act": "polite_first"}')
    first = spawn(*arguments)
    folder.pid()
    assert watcher("--halt", "lunch").code == ExitCode.DONE
    out, _ = first.communicate(timeout=10)
    assert first.returncode == ExitCode.HALTED
    assert watcher("--run-pipeline", "--resume").code == ExitCode.HALTED
    assert watcher("--clear-halt").code == ExitCode.DONE
    resumed = watcher("--run-pipeline", "--resume", "--json")
    assert resumed.code == ExitCode.DONE
    assert resumed.document["run_id"] == json.loads(out)["run_id"]
    status = watcher("--status", "--json").document["run"]
    assert [a["outcome"] for a in status["attempts"]] == ["halted", "complete"]
    assert [d["action"] for d in status["decisions"]] == ["stop", "next"]


def test_a_killed_watcher_is_resumed_and_its_attempt_is_no_retry(
    spawn, folder, watcher, is_alive, wait_until
):
    folder.policy(retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0})
    first = spawn("--run-pipeline", "--params", '{"act": "silent_first"}')
    step = folder.pid()
    first.kill()
    first.wait()
    wait_until(lambda: not is_alive(step))
    assert "watcher --run-pipeline --resume" in watcher("--status").out
    resumed = watcher("--run-pipeline", "--resume", "--json")
    assert resumed.code == ExitCode.DONE
    status = watcher("--status", "--json").document["run"]
    assert [a["outcome"] for a in status["attempts"]] == ["interrupted", "complete"]
    assert watcher("--run-pipeline", "--resume").code == ExitCode.USAGE


def test_policy_saved_half_is_reported_once_and_the_last_good_one_kept(
    spawn, folder, watcher, wait_until
):
    first = spawn(*POLITE)
    folder.pid()
    (folder.root / "watcher_policies.json").write_text('{"halt": tr')

    def was_said() -> bool:
        events = watcher("--status", "--json").document["run"]["events"]
        return any(event["code"] == "policy_problem" for event in events)

    wait_until(was_said)
    folder.policy(halt=True)
    _, err = first.communicate(timeout=10)
    assert first.returncode == ExitCode.HALTED
    assert err.count("stays in force") == 1
    assert "not valid JSON at line 1" in err


def test_policy_deleted_while_a_step_runs_is_said(spawn, folder):
    first = spawn(*POLITE)
    folder.pid()
    (folder.root / "watcher_policies.json").unlink()
    _read_until(first, "no such policy file")
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=10)


def test_policy_that_appears_while_a_run_is_on_is_said_and_counts_later(spawn, folder):
    (folder.root / "watcher_policies.json").unlink()
    first = spawn(*POLITE)
    folder.pid()
    folder.policy(halt=True)
    _read_until(first, "counts from the next run")
    assert first.poll() is None
    (folder.root / "watcher_halt.flag").touch()
    first.communicate(timeout=10)
    assert first.returncode == ExitCode.HALTED


def test_lock_of_a_dead_watcher_is_free(folder, watcher):
    state = folder.root / ".watcher"
    state.mkdir()
    (state / "watcher.lock").touch()
    # A foreign process that lives, under the pid of the watcher that is gone.
    stale = Holder(
        pid=os.getppid(),
        process_start="another life",
        host=socket.gethostname(),
        since="2026-01-01T00:00:00Z",
        doing="step 5",
    )
    (state / "watcher.json").write_text(stale.model_dump_json())
    assert not stale.is_alive()
    assert watcher("--run-pipeline").code == ExitCode.DONE


def test_closed_stdout_is_no_traceback(spawn, folder):
    reader, writer = os.pipe()
    os.close(reader)
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for flag in ("--status", "--help"):
        done = subprocess.run(
            [sys.executable, "-m", "agents", flag],
            cwd=folder.root,
            env=environ,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
        )
        assert (done.returncode, done.stderr) == (0, "")
    os.close(writer)


def test_run_goes_on_when_nobody_reads_its_messages(folder):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "fake_steps.watcher", "--run-pipeline", "--json"],
        cwd=folder.root,
        stdout=subprocess.PIPE,
        stderr=writer,
        timeout=20,
    )
    os.close(writer)
    assert json.loads(done.stdout)["status"] == "complete"


def test_the_door_works_from_any_folder(tmp_path, folder):
    door = Path(__file__).resolve().parents[2] / "agents" / "watcher_agent.py"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(door), "--version"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("watcher 0.")


def _read_until(process, words):
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"the watcher ended without saying {words!r}")


@pytest.mark.parametrize("jump_s", [86_400.0, -86_400.0])
def test_a_wall_clock_that_jumps_a_day_moves_no_time_limit(act, folder, monkeypatch, jump_s):
    folder.policy(
        steps={"kill_grace_s": 0.2, "timeout_minutes": {"5": 1 / 60}},
        retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0},
    )
    real, calls = time.time, iter(range(1_000_000))
    # Every second reading of the wall clock is a day off.
    monkeypatch.setattr(time, "time", lambda: real() + jump_s * (next(calls) % 2))
    answer = act("silent")
    assert answer.code == ExitCode.TIMEOUT
    (attempt,) = answer.document["steps"][0]["attempts"]
    assert 1.0 <= attempt["duration_s"] < 2.2


def test_a_pid_that_another_process_has_now_is_not_taken_for_a_watcher(folder, watcher, act):
    act("complete")
    state = folder.root / ".watcher"
    with subprocess.Popen(["sleep", "60"]) as foreign:
        holder = Holder(
            pid=foreign.pid,
            process_start="another life of that pid",
            host=socket.gethostname(),
            since=datetime.now(UTC),
            doing="step 5",
        )
        (state / "watcher.json").write_text(holder.model_dump_json())
        with closing(sqlite3.connect(state / "ledger.sqlite")) as db:
            db.execute(
                "UPDATE runs SET state = 'running', watcher = ?", (holder.model_dump_json(),)
            )
            db.commit()
        status = watcher("--status", "--json").document
        assert status["status"] == "interrupted"
        assert watcher("--run-pipeline", "--force").code == ExitCode.DONE
        assert foreign.poll() is None
        foreign.kill()
