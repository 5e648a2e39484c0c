"""--history tells the runs there were, newest first, in a few facts each."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime, timedelta

import pytest

from agents.decide import Decision
from agents.errors import UsageError
from agents.health import Ending, Verdict
from agents.ledger import Ledger
from agents.lock import Holder, process_start
from agents.reports.history import gather_history, history_document
from agents.views.history_view import show_history
from agents.views.screen import render
from steps.contract import StepResult

BEGAN = datetime(2026, 11, 22, 2, 0, 0, tzinfo=UTC)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.at = BEGAN

    def __call__(self):
        return self.at

    def pass_s(self, seconds):
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path, clock):
    with Ledger.create(path, clock) as opened:
        yield opened


@pytest.fixture
def history(path, clock):
    return lambda limit=None: gather_history(path, clock, limit)


def holder(alive=True):
    start = process_start(os.getpid()) if alive else "another life of this pid"
    return Holder(
        pid=os.getpid(),
        process_start=start,
        host=socket.gethostname(),
        since=BEGAN,
        doing="step 5",
    ).model_dump_json()


def start(ledger, run_id, kind="pipeline", alive=True):
    ledger.run_started(run_id, kind, {}, holder(alive), "0.1.0")


def attempt(ledger, run_id, step, number=1, winner=None):
    attempt_id = ledger.attempt_started(
        run_id,
        step,
        number,
        agent_name="acting",
        title="Act",
        module="steps.x",
        out_dir="/x",
        limit_s=60,
        parameters=(),
    )
    result = StepResult(
        run_id=run_id, step=step, attempt=1, status="complete", headline="done", winner=winner
    )
    ending = Ending(exit_code=0, signal=None, duration_s=1, limit_s=60)
    ledger.attempt_ended(attempt_id, ending, Verdict("complete", "ok", "done"), result)


def whole_night(ledger, clock):
    """Step 0 skipped, step 5 retried then done, step 6 failed."""
    start(ledger, "r1")
    ledger.decided("r1", 0, 0, Decision("skip", "nothing has changed"), {})
    attempt(ledger, "r1", 5)
    ledger.decided("r1", 5, 1, Decision("retry", "it crashed"), {})
    attempt(ledger, "r1", 5, 2, winner="xgboost")
    ledger.decided("r1", 5, 2, Decision("next", "done"), {})
    attempt(ledger, "r1", 6)
    ledger.decided("r1", 6, 1, Decision("stop", "it failed"), {})
    clock.pass_s(3723)
    ledger.run_ended("r1", "failed", 1, "step 6 failed")


def test_workspace_without_a_ledger_has_no_history(history):
    assert history().runs == ()


def test_run_is_told_by_its_steps_retries_winner_and_length(ledger, clock, history):
    whole_night(ledger, clock)
    (run,) = history().runs
    assert (run.steps_done, run.steps_skipped, run.steps_failed) == ((5,), (0,), (6,))
    assert (run.retries, run.winner, run.duration_s) == (1, "xgboost", 3723.0)
    assert (run.state, run.exit_code, run.message) == ("failed", 1, "step 6 failed")


def test_step_that_was_done_before_the_run_was_resumed_stays_done(ledger, history):
    start(ledger, "r1")
    ledger.decided("r1", 0, 1, Decision("next", "done"), {})
    ledger.decided("r1", 5, 1, Decision("stop", "halted"), {})
    ledger.run_ended("r1", "halted", 10, "halted")
    ledger.run_resumed("r1", holder())
    ledger.decided("r1", 0, 1, Decision("skip", "nothing has changed"), {})
    ledger.decided("r1", 5, 2, Decision("next", "done"), {})
    (run,) = history().runs
    assert (run.steps_done, run.steps_skipped, run.steps_failed) == ((0, 5), (), ())


def test_newest_runs_come_first_up_to_the_limit(ledger, history):
    for number in range(25):
        start(ledger, f"r{number}")
        ledger.run_ended(f"r{number}", "complete", 0, "")
    assert [run.run_id for run in history().runs] == [f"r{n}" for n in range(24, 4, -1)]
    assert history().more
    assert [run.run_id for run in history(2).runs] == ["r24", "r23"]
    assert len(history(25).runs) == 25
    assert not history(25).more


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_under_one_is_refused(ledger, history, limit):
    with pytest.raises(UsageError, match=f"--limit must be at least 1, got {limit}"):
        history(limit)


def test_run_that_is_on_lasts_until_now(ledger, clock, history):
    start(ledger, "r1")
    clock.pass_s(90)
    (run,) = history().runs
    assert (run.state, run.duration_s) == ("running", 90.0)


def test_run_whose_watcher_died_has_no_length(ledger, clock, history):
    start(ledger, "r1", alive=False)
    clock.pass_s(90)
    assert (history().runs[0].state, history().runs[0].duration_s) == ("interrupted", None)
    start(ledger, "r2")
    old = history().runs[1]
    assert (old.run_id, old.state, old.duration_s) == ("r1", "interrupted", None)


def test_clock_that_was_set_back_gives_no_negative_length(ledger, clock, history):
    start(ledger, "r1")
    clock.pass_s(-3600)
    ledger.run_ended("r1", "complete", 0, "")
    assert history().runs[0].duration_s == 0.0


def test_document_can_be_written_as_json(ledger, clock, history):
    whole_night(ledger, clock)
    document = json.loads(json.dumps(history_document(history())))
    assert document["more"] is False
    (run,) = document["runs"]
    assert run["started_at"] == BEGAN.isoformat()
    assert run["steps_failed"] == [6]


def screen(history, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    return render(lambda console: show_history(console, history))


@pytest.mark.parametrize("columns", [80, 120])
def test_history_fits_the_screen_and_keeps_its_words_whole(
    ledger, clock, history, monkeypatch, columns
):
    whole_night(ledger, clock)
    start(ledger, "20261122-020318-ab12")
    long = "xgboost wins with R2 0.712 on the holdout, " + "and so it goes on and on, " * 20
    ledger.run_ended("20261122-020318-ab12", "interrupted", 130, f"{long}\nsecond line")
    text = screen(history(), monkeypatch, columns)
    assert max(map(len, text.splitlines())) <= columns
    for wanted in ("20261122-020318-ab12", "interrupted", "1 h 2 min"):
        assert any(wanted in line for line in text.splitlines()), wanted
    told = " ".join(text.split())
    for wanted in ("step 5 done", "step 0", "1 retry", "winner xgboost", "step 6 failed"):
        assert wanted in told, wanted
    assert "second line" not in told


def test_older_runs_are_offered_where_there_are_some(ledger, history, monkeypatch):
    for number in range(3):
        start(ledger, f"r{number}")
        ledger.run_ended(f"r{number}", "complete", 0, "")
    assert "--history --limit 10" in screen(history(2), monkeypatch, 80)
    assert "--limit" not in screen(history(3), monkeypatch, 80)
