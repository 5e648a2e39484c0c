"""The ledger: what is written can be read, and faults name the file."""

import sqlite3
from datetime import UTC, datetime

import pytest

from agents import ledger as ledger_module
from agents.decide import Decision
from agents.errors import LedgerError
from agents.ledger import Ledger


def now():
    return datetime(2026, 11, 22, 2, 3, 18, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


def start(ledger, run_id="r1"):
    ledger.run_started(run_id, "pipeline", {"params": {}}, "{}", "0.1.0")


def test_reader_sees_a_run_while_the_writer_is_open(path):
    with Ledger.create(path, now) as writer:
        start(writer)
        with Ledger.read(path, now) as reader:
            assert reader.last_run()["state"] == "running"


def test_decision_keeps_its_evidence(path):
    with Ledger.create(path, now) as ledger:
        start(ledger)
        ledger.decided("r1", 5, 1, Decision("retry", "it crashed"), {"signal": "SIGSEGV"})
        (row,) = ledger.decisions("r1")
    assert (row["action"], row["evidence"]) == ("retry", '{"signal": "SIGSEGV"}')


def test_new_run_marks_the_one_whose_watcher_died(path):
    with Ledger.create(path, now) as ledger:
        start(ledger, "r1")
        start(ledger, "r2")
    db = sqlite3.connect(path)
    states = dict(db.execute("SELECT run_id, state FROM runs"))
    db.close()
    assert states == {"r1": "interrupted", "r2": "running"}


def test_ledger_is_write_ahead_and_carries_its_version(path):
    with Ledger.create(path, now):
        pass
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_ledger_of_a_newer_watcher_is_left_alone(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="at most 1, got 99"):
        Ledger.create(path, now)


def test_garbage_is_no_ledger(path):
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerError, match="move it away"):
        Ledger.create(path, now)


def test_locked_ledger_is_a_clear_error_after_a_bounded_wait(path, monkeypatch):
    monkeypatch.setattr(ledger_module, "BUSY_S", 0.1)
    with Ledger.create(path, now) as ledger:
        start(ledger)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another program kept it locked"):
            ledger.event("r1", "halt", "x")
        other.rollback()
        other.close()
        ledger.event("r1", "halt", "x")
        assert len(ledger.events("r1")) == 1
