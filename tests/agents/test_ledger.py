"""The ledger: what is written can be read, also by an older reader's rules, and faults name it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agents.decide import Decision, Retry
from agents.errors import LedgerError
from agents.health import Ending, Verdict
from agents.ledger import Ledger, schema
from agents.parameters import Parameter
from agents.remedies import Change
from steps.contract import FamilyResult, Note, Output, StepResult

# The file as the first version made it, with one run in it.
VERSION_1 = """
CREATE TABLE runs (
  run_id TEXT PRIMARY KEY, kind TEXT NOT NULL, state TEXT NOT NULL, exit_code INTEGER,
  started_at TEXT NOT NULL, ended_at TEXT, message TEXT NOT NULL DEFAULT '',
  request TEXT NOT NULL, watcher TEXT NOT NULL, watcher_version TEXT NOT NULL);
CREATE TABLE attempts (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL,
  attempt INTEGER NOT NULL, agent_name TEXT NOT NULL, title TEXT NOT NULL, module TEXT NOT NULL,
  out_dir TEXT NOT NULL, limit_s REAL NOT NULL, started_at TEXT NOT NULL, ended_at TEXT,
  outcome TEXT, severity TEXT, message TEXT NOT NULL DEFAULT '', duration_s REAL,
  exit_code INTEGER, signal TEXT, UNIQUE (run_id, step, attempt));
CREATE TABLE parameters (
  attempt_id INTEGER NOT NULL REFERENCES attempts, name TEXT NOT NULL, value TEXT NOT NULL,
  origin TEXT NOT NULL, PRIMARY KEY (attempt_id, name));
CREATE TABLE artifacts (
  attempt_id INTEGER NOT NULL REFERENCES attempts, path TEXT NOT NULL, sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL, PRIMARY KEY (attempt_id, path));
CREATE TABLE decisions (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, step INTEGER NOT NULL,
  attempt INTEGER NOT NULL, decided_at TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL,
  changes TEXT NOT NULL, evidence TEXT NOT NULL);
CREATE TABLE events (
  id INTEGER PRIMARY KEY, run_id TEXT NOT NULL REFERENCES runs, happened_at TEXT NOT NULL,
  code TEXT NOT NULL, message TEXT NOT NULL);
CREATE INDEX decisions_by_run ON decisions (run_id);
INSERT INTO runs VALUES ('old', 'pipeline', 'failed', 1, '2026-11-20T02:00:00+00:00',
  '2026-11-20T03:00:00+00:00', 'it failed', '{}', '{}', '0.1.0');
INSERT INTO attempts (run_id, step, attempt, agent_name, title, module, out_dir, limit_s,
  started_at, outcome) VALUES ('old', 5, 1, 'a', 't', 'm', 'o', 60, '2026-11-20T02:00:00+00:00',
  'internal');
INSERT INTO parameters VALUES (1, 'trials', '20', 'params');
INSERT INTO decisions VALUES (1, 'old', 5, 1, '2026-11-20T03:00:00+00:00', 'stop', 'it failed',
  '{}', '{}');
PRAGMA user_version = 1;
"""

# A run whose watcher is killed in the middle: it says when it has committed, then waits.
KILLED = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from agents.ledger import Ledger
ledger = Ledger.create(Path(sys.argv[1]), lambda: datetime.now(UTC))
ledger.run_started("r1", "pipeline", {}, "{}", "0.1.0")
for number in range(50):
    ledger.event("r1", "seen", str(number))
print("committed", flush=True)
time.sleep(60)
"""


def now():
    return datetime(2026, 11, 22, 2, 3, 18, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    with Ledger.create(path, now) as opened:
        yield opened


@pytest.fixture
def old(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(VERSION_1)
    return path


def start(ledger, run_id="r1", kind="pipeline", request=None):
    ledger.run_started(run_id, kind, request or {"params": {}}, "{}", "0.1.0")


def attempt(ledger, number=1, step=5, run_id="r1", parameters=(), **more):
    return ledger.attempt_started(
        run_id,
        step,
        number,
        agent_name="acting",
        title="Act",
        module="steps.x",
        out_dir="/x",
        limit_s=60,
        parameters=parameters,
        **more,
    )


def end(ledger, attempt_id, outcome="complete", result=None):
    ending = Ending(exit_code=0, signal=None, duration_s=1.5, limit_s=60)
    ledger.attempt_ended(attempt_id, ending, Verdict(outcome, "ok", "it is done"), result)


@contextlib.contextmanager
def read_only(folder: Path):
    """The folder may not be written to, not even by root: the thread gives up that right."""
    folder.chmod(0o555)
    libc = ctypes.CDLL(None)
    mine = os.geteuid()
    if mine == 0:
        libc.setfsuid(65534)
    try:
        yield
    finally:
        if mine == 0:
            libc.setfsuid(0)
        folder.chmod(0o755)


@pytest.fixture
def open_folder():
    """A folder that everybody may enter; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


# Reading while writing, killed writers, read-only folders.


def test_reader_sees_a_run_while_the_writer_is_open(path):
    with Ledger.create(path, now) as writer:
        start(writer)
        with Ledger.read(path, now) as reader:
            assert reader.last_run()["state"] == "running"


def test_reader_is_not_held_up_by_a_writer_in_the_middle_of_a_transaction(path, ledger):
    start(ledger)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE runs SET state = 'complete'")
        with Ledger.read(path, now, busy_s=0) as reader:
            assert reader.last_run()["state"] == "running"
        writer.execute("ROLLBACK")


def test_ledger_that_was_closed_is_read_in_a_read_only_folder(open_folder):
    path = open_folder / "ledger.sqlite"
    with Ledger.create(path, now) as ledger:
        start(ledger)
    with read_only(open_folder), Ledger.read(path, now) as reader:
        assert reader.last_run()["run_id"] == "r1"
    assert [file.name for file in open_folder.iterdir()] == ["ledger.sqlite"]


def test_run_that_is_on_is_seen_by_a_reader_that_may_not_write(open_folder):
    path = open_folder / "ledger.sqlite"
    with Ledger.create(path, now) as ledger:
        start(ledger)
        with read_only(open_folder), Ledger.read(path, now) as reader:
            assert reader.last_run()["state"] == "running"


def test_log_that_waits_in_a_read_only_folder_is_never_passed_over(open_folder):
    path = open_folder / "ledger.sqlite"
    with Ledger.create(path, now) as ledger:
        start(ledger)
        wal = Path(f"{path}-wal").read_bytes()
        main = path.read_bytes()
    copy = open_folder / "copy.sqlite"
    copy.write_bytes(main)
    Path(f"{copy}-wal").write_bytes(wal)
    with (
        read_only(open_folder),
        pytest.raises(LedgerError, match=r"copy\.sqlite.*may write in its folder"),
    ):
        Ledger.read(copy, now)


def test_nothing_committed_is_lost_when_the_watcher_is_killed(path):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "committed\n"
        child.send_signal(signal.SIGKILL)
    with Ledger.read(path, now) as reader:
        assert len(reader.events("r1")) == 50
        assert reader.last_run()["state"] == "running"


# Runs.


def test_new_run_marks_the_one_whose_watcher_died(ledger):
    start(ledger, "r1")
    attempt(ledger)
    start(ledger, "r2")
    assert [(run["run_id"], run["state"]) for run in ledger.runs(9)] == [
        ("r2", "running"),
        ("r1", "interrupted"),
    ]
    (row,) = ledger.attempts("r1")
    assert (row["outcome"], row["message"]) == ("interrupted", "its watcher died")
    assert ledger.run("r1")["ended_at"] is None


def test_resumed_run_is_running_again_and_keeps_its_start(path):
    with Ledger.create(path, now) as ledger:
        start(ledger)
        ledger.run_ended("r1", "halted", 10, "halted")
    with Ledger.create(path, lambda: now().replace(hour=9)) as ledger:
        ledger.run_resumed("r1", '{"pid": 2}')
        row = ledger.run("r1")
    assert (row["state"], row["exit_code"], row["ended_at"]) == ("running", None, None)
    assert row["started_at"] == now().isoformat(timespec="milliseconds")
    assert (row["resumed"], row["watcher"]) == (1, '{"pid": 2}')


def test_what_a_resumed_run_is_asked_for_is_kept_for_the_next_time(ledger):
    start(ledger, request={"params": {"trials": 20}})
    ledger.run_resumed("r1", "{}")
    assert ledger.run("r1")["request"] == '{"params": {"trials": 20}}'
    ledger.run_resumed("r1", "{}", {"params": {"trials": 5, "token": "t0ken"}})
    assert ledger.run("r1")["request"] == '{"params": {"trials": 5, "token": "***"}}'
    ledger.event("r1", "note", "it said t0ken")
    assert ledger.events("r1")[0]["message"] == "it said ***"


def test_resumed_run_is_the_last_run_although_another_began_after_it(ledger):
    start(ledger, "r1")
    ledger.run_ended("r1", "halted", 10, "halted")
    start(ledger, "r2", kind="predict")
    ledger.run_ended("r2", "complete", 0, "done")
    ledger.run_resumed("r1", "{}")
    assert ledger.last_run()["run_id"] == "r1"
    assert [run["run_id"] for run in ledger.runs(9)] == ["r1", "r2"]


def test_attempt_that_lost_its_watcher_does_not_run_again_with_the_resumed_run(ledger):
    start(ledger)
    attempt(ledger, 1)
    ledger.run_resumed("r1", "{}")
    attempt(ledger, 2)
    assert [row["outcome"] for row in ledger.attempts("r1")] == ["interrupted", None]


@pytest.mark.parametrize("state", ["halted", "interrupted", "failed", "waiting", "running"])
def test_run_that_did_not_come_to_its_end_can_be_resumed(ledger, state):
    start(ledger)
    if state != "running":
        ledger.run_ended("r1", state, 1, "")
    start(ledger, "p1", kind="predict")
    assert ledger.resumable_run()["run_id"] == "r1"


def test_there_is_nothing_to_resume_after_a_complete_run(ledger):
    assert ledger.resumable_run() is None
    start(ledger, "r1")
    ledger.run_ended("r1", "failed", 1, "")
    start(ledger, "r2")
    ledger.run_ended("r2", "complete", 0, "")
    assert ledger.resumable_run() is None
    assert ledger.resumable_run("r1")["run_id"] == "r1"
    assert ledger.resumable_run("r2") is None


class Runs(RuleBasedStateMachine):
    """Runs begin, end, lose their watcher and are resumed, in any order; a list is the model."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.sqlite"
        self.ledger = Ledger.create(self.path, now)
        self.states = {}  # in the order in which runs were last on

    def teardown(self):
        self.ledger.__exit__()
        self.folder.cleanup()

    def _lose_watcher(self):
        for run_id, state in self.states.items():
            if state == "running":
                self.states[run_id] = "interrupted"

    @rule()
    def begin(self):
        self._lose_watcher()
        run_id = f"r{len(self.states)}"
        start(self.ledger, run_id)
        self.states[run_id] = "running"

    @precondition(lambda self: "running" in self.states.values())
    @rule(state=st.sampled_from(["complete", "failed", "halted", "interrupted", "waiting"]))
    def end(self, state):
        run_id = list(self.states)[-1]
        self.ledger.run_ended(run_id, state, 0, "")
        self.states[run_id] = state

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def resume(self, data):
        run_id = data.draw(st.sampled_from(list(self.states)))
        found = self.ledger.resumable_run(run_id)
        assert (found is None) == (self.states[run_id] == "complete")
        if found:
            self._lose_watcher()
            self.ledger.run_resumed(run_id, "{}")
            self.states[run_id] = self.states.pop(run_id) and "running"

    @rule()
    def open_again(self):
        self.ledger.__exit__()
        self.ledger = Ledger.create(self.path, now)

    @invariant()
    def ledger_tells_what_happened(self):
        with Ledger.read(self.path, now) as reader:
            told = [(row["run_id"], row["state"]) for row in reader.runs(99)]
            last = reader.resumable_run()
        wanted = list(reversed(self.states.items()))
        assert told == wanted
        resumable = wanted and wanted[0][1] != "complete"
        assert (last["run_id"] if last else None) == (wanted[0][0] if resumable else None)


Runs.TestCase.settings = settings(
    derandomize=True, deadline=None, max_examples=25, stateful_step_count=15
)
test_runs_are_told_in_the_order_in_which_they_were_on = Runs.TestCase


# Attempts, decisions, successes, approvals.


def test_attempt_keeps_lineage_winner_and_files(ledger):
    start(ledger)
    attempt_id = attempt(ledger, inputs={"table": {"path": "/t.csv", "sha256": "ab"}})
    result = StepResult(
        run_id="r1",
        step=5,
        attempt=1,
        status="complete",
        headline="done",
        winner="xgboost",
        outputs=(Output(path="out.txt", sha256="cd", bytes=8),),
    )
    end(ledger, attempt_id, result=result)
    (row,) = ledger.attempts("r1")
    assert row["inputs"] == '{"table": {"path": "/t.csv", "sha256": "ab"}}'
    assert (row["winner"], row["outcome"]) == ("xgboost", "complete")
    assert [file["sha256"] for file in ledger.artifacts(attempt_id)] == ["cd"]
    assert [row["winner"] for row in ledger.winners(["r1", "r2"])] == ["xgboost"]


def test_placement_notes_say_what_lay_where_and_why(ledger):
    def note(message, code="placement"):
        return Note(level="info", code=code, message=message)

    start(ledger)
    attempt_id = attempt(ledger)
    result = StepResult(
        run_id="r1",
        step=5,
        attempt=1,
        status="complete",
        headline="done",
        notes=(note("trials on cuda:0: it has the most memory"), note("x on y: z", "other")),
        families={
            "xgboost": FamilyResult(status="complete", notes=(note("no GPU has room: all busy"),))
        },
    )
    end(ledger, attempt_id, result=result)
    found = [(row["what"], row["device"], row["reason"]) for row in ledger.placements(attempt_id)]
    assert found == [
        ("trials", "cuda:0", "it has the most memory"),
        ("xgboost", "", "no GPU has room: all busy"),
    ]


def test_last_attempts_are_one_a_step(ledger):
    start(ledger)
    for step, number in ((5, 1), (1, 1), (5, 2), (1, 2), (5, 10)):
        attempt(ledger, number, step)
    attempt_ids = [(row["step"], row["attempt"]) for row in ledger.last_attempts("r1")]
    assert attempt_ids == [(1, 2), (5, 10)]


def test_parameters_of_the_last_attempt_come_back_as_they_were(ledger):
    start(ledger)
    first = (Parameter("trials", 20, "params"), Parameter("rate", 0.1, "default"))
    second = (Parameter("trials", 10, "retry"), Parameter("rate", 0.1, "default"))
    attempt(ledger, 1, parameters=first)
    attempt(ledger, 2, parameters=second)
    attempt(ledger, 1, step=6, parameters=first)
    assert ledger.parameters_of_last_attempt("r1", 5) == second
    assert ledger.parameters_of_last_attempt("r1", 4) == ()


def test_decision_keeps_its_evidence(ledger):
    start(ledger)
    ledger.decided("r1", 5, 1, Decision("stop", "it crashed"), {"signal": "SIGSEGV"})
    (row,) = ledger.decisions("r1")
    assert (row["action"], row["evidence"]) == ("stop", '{"signal": "SIGSEGV"}')
    assert (row["budget"], row["rule"]) == (None, None)


def test_retry_keeps_the_budget_that_paid_and_the_rule_that_was_used(ledger):
    change = Change(rule_key="{k}", parameter="trials", before=20, after=10, because="half")
    retry = Retry(step=5, outcome="timeout", budget="timeout", change=change)
    start(ledger)
    ledger.decided("r1", 5, 1, Decision("retry", "x", changes={"trials": 10}, retry=retry), {})
    (row,) = ledger.decisions("r1")
    assert (row["budget"], row["rule"], row["changes"]) == ("timeout", "{k}", '{"trials": 10}')
    assert [row["action"] for row in ledger.actions(["r1"])] == ["retry"]


def test_last_success_is_the_latest_of_that_step(ledger):
    assert ledger.last_success(5) is None
    for run_id in ("r1", "r2"):
        start(ledger, run_id)
        ledger.success_recorded(5, run_id, 1, {"digest": run_id})
    ledger.success_recorded(6, "r2", 1, {})
    row = ledger.last_success(5)
    assert (row["run_id"], row["facts"]) == ("r2", '{"digest": "r2"}')


def test_approval_counts_for_exactly_what_was_asked(ledger):
    start(ledger, "r1")
    start(ledger, "r2")
    first = ledger.approval_asked("r1", 6, "start step 6")
    assert ledger.approval_asked("r1", 6, "start step 6") == first
    ledger.approval_asked("r1", None, "publish a model that scores lower")
    assert not ledger.is_approved("r1", 6, "start step 6")

    approved = ledger.approval_answered("r1", "approved", "ann", "looked at it")
    assert approved == ["start step 6", "publish a model that scores lower"]
    assert ledger.approval_answered("r1", "approved", "bob", "") == []
    assert ledger.is_approved("r1", 6, "start step 6")
    assert ledger.is_approved("r1", None, "publish a model that scores lower")
    assert not ledger.is_approved("r1", 5, "start step 6")
    assert not ledger.is_approved("r1", None, "start step 6")
    assert not ledger.is_approved("r2", 6, "start step 6")
    row = ledger.approvals("r1")[0]
    assert (row["answered_by"], row["note"]) == ("ann", "looked at it")
    assert row["answered_at"] == now().isoformat(timespec="milliseconds")


# The file: versions, indexes, secrets, faults.


def test_ledger_is_write_ahead_and_carries_its_version(path):
    with Ledger.create(path, now):
        pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA user_version").fetchone() == (3,)


def test_version_1_is_migrated_when_it_is_opened_to_write(old):
    with Ledger.create(old, now) as ledger:
        start(ledger, "new")
        assert [run["run_id"] for run in ledger.runs(9)] == ["new", "old"]
        assert ledger.run("old")["message"] == "it failed"
        assert ledger.attempts("old")[0]["inputs"] == "{}"
        assert ledger.last_success(5) is None
    with contextlib.closing(sqlite3.connect(old)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_migrated_ledger_has_the_tables_of_a_new_one(old, tmp_path):
    def shape(path):
        with contextlib.closing(sqlite3.connect(path)) as db:
            names = "SELECT type, name FROM sqlite_master ORDER BY name"
            found = db.execute(names).fetchall()
            columns = {
                name: db.execute(f"PRAGMA table_info({name})").fetchall()
                for kind, name in found
                if kind == "table"
            }
        return found, columns

    new = tmp_path / "new.sqlite"
    for path in (old, new):
        with Ledger.create(path, now):
            pass
    assert shape(old) == shape(new)


def test_version_1_is_read_without_being_changed(old):
    before = old.read_bytes()
    with Ledger.read(old, now) as reader:
        assert reader.last_run()["run_id"] == "old"
        assert reader.runs(9)[0]["resumed"] == 0
        assert reader.resumable_run()["run_id"] == "old"
        assert reader.attempts("old")[0]["winner"] is None
        assert reader.last_attempts("old")[0]["attempt"] == 1
        assert reader.parameters_of_last_attempt("old", 5) == (Parameter("trials", 20, "params"),)
        assert reader.decisions("old")[0]["rule"] is None
        assert reader.actions(["old"])[0]["action"] == "stop"
        assert reader.approvals("old") == []
        assert reader.placements(1) == []
        assert reader.winners(["old"]) == []
        assert reader.last_success(5) is None
    assert old.read_bytes() == before


@pytest.fixture
def version_2(path):
    """A ledger with one approval given and one still asked for."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for statement in (*schema._VERSION_1, *schema._VERSION_2):
            db.execute(statement)
        db.executescript("""
            INSERT INTO runs (run_id, kind, state, started_at, request, watcher, watcher_version,
              turn) VALUES ('r1', 'pipeline', 'waiting', '2026-11-22T02:00:00.000+00:00', '{}',
              '{}', '0.1.0', 1);
            INSERT INTO approvals (run_id, step, what, asked_at, approved_at, approved_by, note)
              VALUES ('r1', 5, 'start step 5', 'then', 'later', 'ann', 'well'),
                     ('r1', 6, 'start step 6', 'then', NULL, NULL, '');
            PRAGMA user_version = 2;
        """)
    return path


@pytest.mark.parametrize("opened", [Ledger.create, Ledger.read])
def test_approvals_of_version_2_keep_their_answers(version_2, opened):
    before = version_2.read_bytes()
    with opened(version_2, now) as ledger:
        given, asked = ledger.approvals("r1")
        assert (given["answer"], given["answered_by"], given["note"]) == ("approved", "ann", "well")
        assert (asked["answer"], asked["answered_at"]) == (None, None)
        assert [row["what"] for row in ledger.open_questions()] == ["start step 6"]
        assert ledger.is_approved("r1", 5, "start step 5")
    if opened == Ledger.read:
        assert version_2.read_bytes() == before


def test_migration_that_cannot_be_finished_leaves_the_old_ledger(old):
    with contextlib.closing(sqlite3.connect(old)) as db:
        # Its second half meets a table that stands in its way.
        db.execute("CREATE TABLE approvals (x)")
    with pytest.raises(LedgerError, match="approvals already exists"):
        Ledger.create(old, now)
    with contextlib.closing(sqlite3.connect(old)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        columns = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
    assert "turn" not in columns


def test_ledger_of_a_newer_watcher_is_left_alone(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    for opened in (Ledger.create, Ledger.read):
        with pytest.raises(LedgerError, match="at most 3, got 99"):
            opened(path, now)
    assert path.read_bytes() == before


def test_garbage_is_no_ledger(path):
    path.write_bytes(b"not a database" * 100)
    for opened in (Ledger.create, Ledger.read):
        with pytest.raises(LedgerError, match="move it away"):
            opened(path, now)


def test_database_of_another_program_is_left_alone(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (title)")
    with pytest.raises(LedgerError, match="another program's tables"):
        Ledger.create(path, now)


def test_a_rejected_or_withdrawn_question_is_closed_and_can_be_asked_again(ledger):
    start(ledger)
    first = ledger.approval_asked("r1", 5, "start step 5", "digest")
    assert ledger.approval_asked("r1", 5, "start step 5", "digest") == first
    assert ledger.approval_answered("r1", "rejected", "ann", "no") == ["start step 5"]
    assert ledger.open_questions() == []
    assert not ledger.is_approved("r1", 5, "start step 5", "digest")
    second = ledger.approval_asked("r1", 5, "start step 5", "digest")
    assert second != first
    ledger.approval_answered("r1", "withdrawn", "the watcher", only=[second])
    assert [row["answer"] for row in ledger.approvals("r1")] == ["rejected", "withdrawn"]


def test_an_answer_may_be_to_some_of_the_questions_only(ledger):
    start(ledger)
    start(ledger, "r2")
    one = ledger.approval_asked("r1", 5, "one")
    ledger.approval_asked("r1", 5, "two")
    ledger.approval_asked("r2", 5, "three")
    assert ledger.approval_answered("r1", "approved", "ann", only=[one]) == ["one"]
    assert [row["what"] for row in ledger.open_questions()] == ["three", "two"]


def test_an_approval_holds_for_its_digest_only(ledger):
    start(ledger)
    ledger.approval_asked("r1", 5, "start", "of these parameters")
    ledger.approval_answered("r1", "approved", "ann")
    assert ledger.is_approved("r1", 5, "start", "of these parameters")
    assert not ledger.is_approved("r1", 5, "start", "of others")
    assert not ledger.is_approved("r1", 5, "start")


# Walked in its order until the LIMIT; or as short as the list of open questions.
_SHORT = ("USING INDEX runs_by_turn", "USING INDEX approvals_open")


def test_every_query_of_a_reader_goes_by_an_index(ledger):
    asked = []
    ledger._db.set_trace_callback(asked.append)
    start(ledger)
    attempt_id = attempt(ledger, parameters=(Parameter("a", 1, "params"),))
    end(ledger, attempt_id)
    ledger.run_resumed("r1", "{}")
    ledger.approval_asked("r1", 6, "x")
    ledger.approval_answered("r1", "approved", "me", "")
    ledger.run_ended("r1", "complete", 0, "")
    for read in (
        ledger.attempts,
        ledger.last_attempts,
        ledger.decisions,
        ledger.events,
        ledger.approvals,
        ledger.run,
        ledger.resumable_run,
    ):
        read("r1")
    ledger.last_run()
    ledger.runs(20)
    ledger.resumable_run()
    ledger.actions(["r1"])
    ledger.winners(["r1"])
    ledger.is_approved("r1", None, "x")
    ledger.open_questions()
    ledger.run_ids_from("r", 5)
    ledger.maker("ab", 9)
    ledger.last_success(5)
    ledger.parameters_of_last_attempt("r1", 5)
    for read in (ledger.parameters, ledger.artifacts, ledger.placements):
        read(attempt_id)
    ledger._db.set_trace_callback(None)

    plans = {
        query: [row["detail"] for row in ledger._db.execute(f"EXPLAIN QUERY PLAN {query}")]
        for query in asked
        if query.startswith(("SELECT", "UPDATE", "INSERT"))
    }
    assert len(plans) > 25
    scans = {
        query: plan
        for query, plan in plans.items()
        if any(line.startswith("SCAN") and not line.endswith(_SHORT) for line in plan)
    }
    assert scans == {}


def test_no_secret_reaches_the_file_or_its_log(path):
    secrets = ("hunter2", "s3cr3t-key", "tok-abcdef", "p@ss/word")
    url = "postgresql://ann:hunter2@db.example/studies"
    parameters = (
        Parameter("study_storage", url, "params"),
        Parameter("api_key", "s3cr3t-key", "params-file"),
        Parameter("source", "https://example.org/t.csv?token=tok-abcdef&x=1", "params"),
        Parameter("mirror", {"urls": ["redis://:p@ss/word@cache:6379/0"]}, "params"),
    )
    with Ledger.create(path, now) as ledger:
        start(ledger, request={"params": {p.name: p.value for p in parameters}})
        attempt_id = attempt(ledger, parameters=parameters, inputs={"t": {"path": url}})
        said = f"cannot reach {url} with s3cr3t-key and tok-abcdef"
        ending = Ending(exit_code=1, signal=None, duration_s=1, limit_s=60)
        ledger.attempt_ended(attempt_id, ending, Verdict("internal", "critical", said), None)
        decision = Decision("retry", said, changes={"study_storage": url})
        ledger.decided("r1", 5, 1, decision, {"message": said})
        ledger.event("r1", "note", said)
        ledger.success_recorded(5, "r1", 1, {"params": {p.name: p.value for p in parameters}})
        ledger.approval_asked("r1", 6, f"publish {url}")
        assert not ledger.is_approved("r1", 6, f"publish {url}")
        ledger.approval_answered("r1", "approved", "ann", said)
        assert ledger.is_approved("r1", 6, f"publish {url}")
        ledger.run_ended("r1", "failed", 1, said)
        wal = Path(f"{path}-wal").read_bytes()
    for content in (wal, path.read_bytes()):
        assert b"postgresql://ann:***@db.example/studies" in content
        for secret in secrets:
            assert secret.encode() not in content, secret


def test_locked_ledger_is_a_clear_error_after_a_bounded_wait(path):
    with Ledger.create(path, now, busy_s=0.1) as ledger:
        start(ledger)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LedgerError, match=r"ledger\.sqlite: another program kept it lock"):
                ledger.event("r1", "halt", "x")
            with pytest.raises(LedgerError, match=r"locked for 0\.1 s"):
                ledger.run_ended("r1", "complete", 0, "")
            other.rollback()
        ledger.event("r1", "halt", "x")
        assert len(ledger.events("r1")) == 1
        assert ledger.run("r1")["state"] == "running"


def test_event_keeps_a_running_step_waiting_for_half_a_second_at_most(path, ledger):
    start(ledger)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerError, match=r"locked for 0\.5 s"):
            ledger.event("r1", "halt", "x")


def test_full_disk_is_a_clear_error_and_keeps_what_was_recorded(path):
    with Ledger.create(path, now) as ledger:
        start(ledger)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size, hard))
        try:
            with pytest.raises(LedgerError, match=r"ledger\.sqlite: .*is the disk full\?"):
                ledger.event("r1", "halt", "x" * 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ledger.events("r1") == []
        ledger.event("r1", "halt", "y")
        assert [row["message"] for row in ledger.events("r1")] == ["y"]
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
