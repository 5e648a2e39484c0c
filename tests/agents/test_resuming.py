"""Going on with a run: after kills between two writes, from elsewhere, and with other wishes."""

import json
import sqlite3
import threading
from contextlib import closing, contextmanager
from functools import partial

import pytest

from agents.decide import decide
from agents.ledger import Ledger
from agents.resume import find_resumable
from agents.views.run_view import PlainView
from agents.workspace import Workspace
from steps.contract import ExitCode

RESUME = ("--run-pipeline", "--resume", "--json")
RETRIES = {
    "max_per_step": 2,
    "max_per_run": 10,
    "backoff_s": 0,
    "budgets": {"bug": 3, "memory": 3, "timeout": 3, "health": 3},
}
HALVED = [{"finding": "out_of_memory", "parameter": "trials", "multiply": 0.5}]


class Killed(BaseException):
    """As SIGKILL: nothing of the watcher runs after it."""


@contextmanager
def killed_at(method):
    """End the watcher at the first call of a method of the ledger, before it does anything."""

    def call(*_arguments, **_named):
        # A dead process writes nothing more.
        patch.setattr(Ledger, "run_ended", lambda *_: None)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, method, call)
        with pytest.raises(Killed):
            yield


def rows(folder, query):
    with closing(sqlite3.connect(folder.root / ".watcher" / "ledger.sqlite")) as db:
        return db.execute(query).fetchall()


def params_of(attempt):
    return json.loads((attempt / "request.json").read_text())["params"]


def forget_the_holder(folder):
    """The holder file names this test's own process, which lives on."""
    with closing(sqlite3.connect(folder.root / ".watcher" / "ledger.sqlite")) as db:
        db.execute("UPDATE runs SET watcher = replace(watcher, '\"pid\":', '\"pid\":9')")
        db.commit()


@pytest.mark.parametrize(
    "method", ["attempt_ended", "success_recorded", "approval_asked", "decided"]
)
def test_a_kill_while_an_attempt_is_concluded_leaves_all_of_it_or_nothing(
    act, watcher, folder, method
):
    with killed_at(method):
        act("awaiting")
    assert rows(folder, "SELECT outcome FROM attempts") == [(None,)]
    for table in ("decisions", "approvals", "successes"):
        assert rows(folder, f"SELECT count(*) FROM {table}") == [(0,)], table
    forget_the_holder(folder)
    resumed = watcher(*RESUME)
    assert resumed.code == ExitCode.WAITING_FOR_APPROVAL, resumed.err
    assert rows(folder, "SELECT count(*) FROM approvals") == [(1,)]


def test_what_a_person_gave_in_one_resume_holds_in_the_next(act, watcher, folder):
    folder.policy(retries={**RETRIES, "max_per_step": 1, "remedies": HALVED})
    act("memory")
    given = json.dumps({"trials": 60})
    assert watcher(*RESUME, "--params", given).code == ExitCode.STEP_FAILED
    assert watcher(*RESUME).code == ExitCode.STEP_FAILED
    assert [params_of(attempt)["trials"] for attempt in folder.attempts] == [20, 10, 60, 60]


def test_an_earlier_run_is_resumed_by_its_name(act, watcher, folder):
    failed = act("fail").document["run_id"]
    assert act("complete").code == ExitCode.DONE
    refused = watcher(*RESUME)
    assert refused.code == ExitCode.USAGE
    assert f"--resume {failed}" in refused.document["message"]
    found = find_resumable(Workspace(folder.root), lambda: None, failed)
    assert found.run_id == failed


def test_a_name_of_no_run_or_of_several_is_refused(act, watcher, folder):
    act("fail")
    act("fail", "--force")
    for named in ("", "20990101", "2"):
        with pytest.raises(Exception, match=r"is no run|beginning of several"):
            find_resumable(Workspace(folder.root), lambda: None, named)


def test_a_run_that_another_watcher_has_gone_on_with_is_not_resumed_again(
    act, watcher, folder, monkeypatch
):
    act("fail")
    stale = find_resumable(Workspace(folder.root), lambda: None)
    assert watcher(*RESUME, "--params", json.dumps({"act": "complete"})).code == ExitCode.DONE
    monkeypatch.setattr("agents.commands.running.find_resumable", lambda *_: stale)
    answer = watcher(*RESUME)
    assert answer.code == ExitCode.USAGE
    assert "has gone on meanwhile" in answer.document["message"]
    assert rows(folder, "SELECT state FROM runs") == [("complete",)]


def test_a_resumed_run_reads_the_table_that_it_was_started_with(
    act, watcher, folder, tmp_path, monkeypatch
):
    spec = {"name": "table", "param": "table", "candidates": [], "required": True}
    folder.manifest(inputs=[spec])
    folder.policy(retries={**RETRIES, "max_per_step": 0})
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.csv").write_text(name)
    at = ("--workspace", str(folder.root))
    monkeypatch.chdir(tmp_path / "here")
    params = json.dumps({"act": "fail", "table": "t.csv"})
    assert watcher("--run-pipeline", "--params", params, *at).code == ExitCode.STEP_FAILED
    monkeypatch.chdir(tmp_path / "there")
    assert watcher(*RESUME, *at).code == ExitCode.STEP_FAILED
    asked = [json.loads((a / "request.json").read_text()) for a in folder.attempts]
    assert [a["inputs"]["table"] for a in asked] == [str(tmp_path / "here" / "t.csv")] * 2
    given = json.dumps({"table": "t.csv"})
    assert watcher(*RESUME, *at, "--params", given).code == ExitCode.STEP_FAILED
    last = json.loads((folder.attempts[-1] / "request.json").read_text())
    assert last["inputs"]["table"] == str(tmp_path / "there" / "t.csv")


def test_a_step_that_cannot_be_started_in_the_middle_is_told_with_what_came_before(watcher, folder):
    folder.manifest(outputs=["out/winner.txt", "out/never.csv"])
    spec = {"name": "table", "candidates": ["out/never.csv"], "required": True}
    folder.manifest("later", step=6, agent_name="later", inputs=[spec], outputs=[])
    answer = watcher("--run-pipeline", "--json")
    assert answer.code == ExitCode.STEP_FAILED
    assert [step["outcome"] for step in answer.document["steps"]] == ["complete", "not_started"]
    assert "its input 'table' is not there" in answer.document["message"]
    assert rows(folder, "SELECT step, action FROM decisions") == [(5, "next"), (6, "stop")]


def test_a_fault_of_the_watcher_itself_is_kept_as_the_runs_end(act, folder, monkeypatch):
    def break_off(*_):
        raise RuntimeError("out of luck")

    monkeypatch.setattr("agents.runner.decide", break_off)
    with pytest.raises(RuntimeError, match="out of luck"):
        act("complete")
    ((state, message),) = rows(folder, "SELECT state, message FROM runs")
    assert state == "failed"
    assert "out of luck" in message


def test_a_ledger_that_is_locked_when_the_step_ends_is_waited_for(act, folder, monkeypatch):
    """Longer than one call waits: the attempt is kept all the same."""
    # Half a second, not five: the test waits for a call to give up.
    create = staticmethod(partial(Ledger.create, busy_s=0.5))
    monkeypatch.setattr(Ledger, "create", create)
    ledger = folder.root / ".watcher" / "ledger.sqlite"
    is_held, was_said = threading.Event(), threading.Event()
    real = PlainView.say

    def say(self, message, level="warning"):
        if "waiting for it, since this must be kept" in message:
            was_said.set()
        real(self, message, level)

    def hold():
        with closing(sqlite3.connect(ledger, timeout=30)) as db:
            db.execute("BEGIN IMMEDIATE")
            is_held.set()
            was_said.wait(60)
            db.rollback()

    def decided(*arguments):
        threading.Thread(target=hold).start()
        assert is_held.wait(30)
        return decide(*arguments)

    monkeypatch.setattr(PlainView, "say", say)
    monkeypatch.setattr("agents.runner.decide", decided)
    assert act("complete").code == ExitCode.DONE
    assert was_said.is_set()
    assert rows(folder, "SELECT outcome FROM attempts") == [("complete",)]
