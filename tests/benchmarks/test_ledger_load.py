from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing

from agents.ledger import Ledger
from agents.reports.history import gather_history
from benchmarks import ledger as load
from benchmarks.ledger_rows import STEPS, make_workspace


def input_sha256(attempt):
    """The content of the one input of an attempt."""
    return json.loads(attempt["inputs"])["survivors"]["sha256"]


def test_ledger_that_is_made_is_one_that_a_watcher_reads(tmp_path):
    workspace = make_workspace(tmp_path / "w", 30, 10)
    with closing(sqlite3.connect(workspace.ledger_file)) as db:
        counts = [
            db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("runs", "decisions", "attempts", "parameters", "artifacts", "successes")
        ]
        assert counts == [30, 300, 300, 900, 300, 30]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    with Ledger.read(workspace.ledger_file, load._now) as reader:
        last = reader.last_run()["run_id"]
        assert [row["step"] for row in reader.last_attempts(last)] == list(range(STEPS))
        first, *_ = reader.attempts(last)
        assert (
            reader.maker(input_sha256(first), first["id"])["run_id"] == reader.runs(2)[1]["run_id"]
        )
        assert reader.last_success(1)["run_id"] == reader.runs(1)[0]["run_id"]
    newest, *_ = gather_history(workspace.ledger_file, load._now).runs
    assert (newest.run_id, newest.steps_done, newest.retries) == (last, tuple(range(7)), 3)


def test_every_question_is_asked_of_both_ledgers(capsys, monkeypatch):
    monkeypatch.setattr(load, "REPEATS", 1)
    monkeypatch.setattr(load, "STATUS_GOAL_S", math.inf)  # a busy machine is no fault
    assert load.main(["--runs", "12", "--per-run", "10"]) == 0
    said = capsys.readouterr().out
    assert "12 runs, 120 decisions" in said
    rows = [line.split("|")[1:-1] for line in said.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 12
    assert all(float(row[1]) > 0 and float(row[2]) > 0 for row in rows)


def test_status_that_takes_too_long_is_said_by_the_exit_status(capsys, monkeypatch):
    monkeypatch.setattr(load, "ask", lambda _: [load.Figure("watcher --status", 2.5)])
    assert load.main(["--runs", "2", "--per-run", "10"]) == 1
    assert "watcher --status: wanted under 2 s, got 2.50 s" in capsys.readouterr().out
