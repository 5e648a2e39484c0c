"""--status tells what runs, what ran last, and advises what helps after this outcome."""

from __future__ import annotations

import os
import shlex
import socket
from datetime import UTC, datetime, timedelta

import pytest

from agents.decide import Decision, Retry
from agents.health import Ending, Verdict
from agents.ledger import Ledger
from agents.lock import Holder, process_start
from agents.remedies import Change
from agents.reports.status import gather_status
from agents.views.screen import render
from agents.views.status_view import show_status
from agents.workspace import Workspace
from steps.policies import Policy

BEGAN = datetime(2026, 11, 22, 2, 3, 18, tzinfo=UTC)
RESUME = "watcher --run-pipeline --resume"


def holder(alive=True):
    pid = os.getpid()
    start = process_start(pid) if alive else "another life of this pid"
    return Holder(
        pid=pid,
        process_start=start,
        host=socket.gethostname(),
        since=BEGAN,
        doing="step 5",
    ).model_dump_json()


def now():
    return BEGAN


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / ".watcher").mkdir()
    return Workspace(tmp_path)


@pytest.fixture
def ledger(workspace):
    with Ledger.create(workspace.ledger_file, now) as opened:
        yield opened


@pytest.fixture
def status(workspace):
    """Gather the status as another process would, an hour after the run began."""

    def gather(**policy):
        return gather_status(
            workspace, lambda: Policy(**policy), lambda: (), lambda: BEGAN + timedelta(hours=1)
        )

    return gather


@pytest.fixture
def screen(status, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def shown():
        text = render(lambda console: show_status(console, status()))
        return " ".join(text.split())

    return shown


def start(ledger, run_id="r1", kind="pipeline", alive=True):
    ledger.run_started(run_id, kind, {}, holder(alive), "0.1.0")


def attempt(ledger, outcome="complete", step=5, number=1):
    attempt_id = ledger.attempt_started(
        "r1",
        step,
        number,
        agent_name="acting",
        title="Act",
        module="steps.x",
        out_dir="/x/step5-attempt1",
        limit_s=60,
        parameters=(),
    )
    if outcome is not None:
        ending = Ending(exit_code=0, signal=None, duration_s=1, limit_s=60)
        ledger.attempt_ended(attempt_id, ending, Verdict(outcome, "ok", "so it went"), None)


def test_run_that_is_on_is_told_while_its_ledger_is_open(ledger, status, screen):
    start(ledger)
    attempt(ledger, outcome=None)
    found = status()
    assert (found.run.state, found.run.attempts[0].outcome) == ("running", None)
    assert 'watcher --halt "WHY"' in found.next_steps[-1]
    assert "for 1 h" in screen()


def test_run_whose_watcher_died_is_told_as_interrupted(ledger, status):
    start(ledger, alive=False)
    attempt(ledger, outcome=None)
    found = status()
    assert found.run.state == "interrupted"
    assert f"pid {os.getpid()}" in found.run.message
    assert found.next_steps[-1] == f"to go on where it stopped: {RESUME}"


def test_waiting_run_says_what_for_and_how_to_approve(ledger, status, screen):
    start(ledger)
    ledger.approval_asked("r1", 6, "start step 6")
    ledger.run_ended("r1", "waiting", 11, "step 6 waits for an approval")
    found = status()
    assert found.run.waits_for == ("start step 6",)
    assert found.next_steps == (
        "it waits for an approval: start step 6",
        "to approve: watcher --approve r1; to refuse: watcher --reject r1",
        f"then go on: {RESUME}",
    )
    assert "waiting, exit code 11" in screen()


def test_approved_run_is_to_be_resumed_and_asks_no_more(ledger, status):
    start(ledger)
    ledger.approval_asked("r1", 6, "start step 6")
    ledger.run_ended("r1", "waiting", 11, "step 6 waits for an approval")
    ledger.approval_answered("r1", "approved", "ann", "")
    found = status()
    assert found.run.waits_for == ()
    assert found.next_steps == (f"to go on: {RESUME}",)


@pytest.mark.parametrize("outcome", ["halted", "interrupted", "timeout", "blocked", "complete"])
def test_stopped_pipeline_is_to_be_resumed(ledger, status, outcome):
    start(ledger)
    attempt(ledger, outcome)
    ledger.run_ended("r1", "halted", 10, "stopped")
    assert RESUME in status().next_steps[-1]


def test_stopped_prediction_is_to_be_asked_for_again(ledger, status):
    start(ledger, kind="predict")
    attempt(ledger, "interrupted")
    ledger.run_ended("r1", "interrupted", 130, "stopped")
    assert "--resume" not in "\n".join(status().next_steps)


def test_halt_is_to_be_taken_back_before_the_run_goes_on(ledger, status, workspace):
    start(ledger)
    attempt(ledger, "halted")
    ledger.run_ended("r1", "halted", 10, "stopped")
    workspace.halt_file.write_text("too hot")
    steps = status().next_steps
    assert "too hot" in steps[0]
    assert steps[1:] == (
        "to take it back: watcher --clear-halt",
        f"then go on where it stopped: {RESUME}",
    )


def test_halt_of_the_policy_is_not_taken_back_with_a_flag(ledger, status):
    start(ledger)
    ledger.run_ended("r1", "complete", 0, "done")
    steps = status(halt=True, halt_reason="maintenance").next_steps
    assert len(steps) == 1
    assert "maintenance" in steps[0]


def test_skipped_steps_and_retries_are_told_once_with_what_was_changed(ledger, screen):
    change = Change(rule_key="{}", parameter="trials", before=20, after=10, because="half of it")
    retry = Retry(step=5, outcome="timeout", budget="timeout", change=change)
    start(ledger)
    ledger.decided("r1", 0, 0, Decision("skip", "nothing it depends on has changed"), {})
    attempt(ledger, "timeout")
    decision = Decision("retry", "too slow", changes={"trials": 10}, retry=retry)
    ledger.decided("r1", 5, 1, decision, {})
    ledger.event("r1", "retry", "too slow, in 5 s")
    ledger.event("r1", "skipped", "nothing it depends on has changed")
    ledger.event("r1", "policy_changed", "policy changed: halt")
    shown = screen()
    assert "step 0 skipped: nothing it depends on has changed" in shown
    assert "step 5 tried again after attempt 1, with trials = 10: too slow" in shown
    assert "policy_changed: policy changed: halt" in shown
    assert shown.count("too slow") == shown.count("nothing it depends on") == 1


def test_resumed_run_says_how_often(ledger, screen):
    start(ledger)
    assert "resumed" not in screen()
    ledger.run_resumed("r1", holder())
    assert "resumed once" in screen()
    ledger.run_resumed("r1", holder())
    assert "resumed 2 times" in screen()


# Through the command.


@pytest.fixture
def advice(watcher, act, folder):
    folder.policy(retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0})

    def after(how):
        act(how)
        return "\n".join(watcher("--status", "--json").document["next"])

    return after


def test_bad_input_is_to_be_mended_before_the_same_line_runs_again(advice):
    said = advice("bad_input")
    assert said.startswith("mend the input first")
    assert "run it again" not in said


def test_failure_inside_a_step_is_to_be_read_up_in_its_log(advice, folder):
    said = advice("fail")
    assert str(folder.attempts[0] / "log.txt") in said
    assert "run it again" in said


def test_out_of_memory_asks_for_less(advice):
    assert '"slots"' in advice("memory")


def test_suggested_command_is_quoted_for_the_shell(watcher, folder):
    (folder.root / "it's mine.csv").write_text("a\n1\n")
    lines = watcher("--status", "--json").document["next"]
    command = next(line for line in lines if "--params" in line)
    assert '"survivors": "it\'s mine.csv"' in shlex.split(command)[-1]


def test_text_of_many_lines_is_told_by_its_first_on_the_screen(advice, watcher, act, folder):
    document = act("traceback").document
    assert "line 39 of the library" in str(document)
    screens = (
        watcher("--run-pipeline", "--params", '{"act": "traceback"}').out,
        watcher("--status").out,
    )
    for screen in screens:
        assert "oops at depth 0 ... (the whole text:" in " ".join(screen.split())
        assert "of the library" not in screen
