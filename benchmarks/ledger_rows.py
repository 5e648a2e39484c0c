"""Make a ledger with a long history: rows as a watcher writes them, without the runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agents.ledger import Ledger
from agents.lock import Holder
from agents.workspace import Workspace

STEPS = 7
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)

_VALUES = {"trials": 20, "compare_models": True, "survivors": "survivors_with_scores.parquet"}
_REASON = "xgboost predicts holdout_hits with R2 0.712 (0.684 to 0.738) on the holdout"
_EVIDENCE = {
    "outcome": "complete",
    "severity": "ok",
    "message": _REASON,
    "issues": [],
    "exit_code": 0,
    "signal": None,
    "timed_out": False,
    "asked_to": None,
    "duration_s": 183.412,
    "limit_s": 21600.0,
}


def make_workspace(root: Path, runs: int, per_run: int) -> Workspace:
    """A workspace whose ledger holds `runs` complete runs of `per_run` decisions each."""
    workspace = Workspace(root)
    workspace.state_folder.mkdir(parents=True)
    with Ledger.create(workspace.ledger_file, lambda: BEGAN):
        pass
    with contextlib.closing(sqlite3.connect(workspace.ledger_file)) as db:
        # Nothing is lost if this dies half-way: it is begun again.
        db.execute("PRAGMA synchronous = OFF")
        for table, rows in _tables(root, runs, per_run):
            _insert(db, table, rows)
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return workspace


def _tables(root: Path, runs: int, per_run: int) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Rows by table, parents first."""
    numbers = range(runs)
    yield "runs", (_run(number) for number in numbers)
    yield "attempts", (_attempt(root, n, i, per_run) for n in numbers for i in range(per_run))
    yield (
        "parameters",
        (
            {"attempt_id": attempt, "name": name, "value": json.dumps(value), "origin": "params"}
            for attempt in range(1, runs * per_run + 1)
            for name, value in _VALUES.items()
        ),
    )
    yield "artifacts", (_artifact(attempt) for attempt in range(1, runs * per_run + 1))
    yield "decisions", (_decision(number, i, per_run) for number in numbers for i in range(per_run))
    yield "events", (_event(number) for number in numbers)
    yield "successes", (_success(number) for number in numbers)


def _run(number: int) -> dict[str, Any]:
    holder = Holder(pid=1, process_start="x", host="h", since=BEGAN, doing="steps 0..6")
    return {
        "run_id": _run_id(number),
        "kind": "pipeline",
        "state": "failed" if number % 10 == 1 else "complete",
        "exit_code": 1 if number % 10 == 1 else 0,
        "started_at": _at(number),
        "ended_at": _at(number, 50),
        "message": _REASON,
        "request": json.dumps({"start_step": 0, "end_step": 6, "params": _VALUES}),
        "watcher": holder.model_dump_json(),
        "watcher_version": "0.1.0",
        "turn": number + 1,
    }


def _attempt(root: Path, number: int, i: int, per_run: int) -> dict[str, Any]:
    step, attempt = _place(i, per_run)
    made_by = max(1, number * per_run + i)  # the attempt before this one
    return {
        "run_id": _run_id(number),
        "step": step,
        "attempt": attempt,
        "agent_name": "reinforcement",
        "title": "Train and compare four model families",
        "module": "steps.step5_training",
        "out_dir": str(root / ".watcher" / "runs" / _run_id(number) / f"step{step}-{attempt}"),
        "limit_s": 21600.0,
        "started_at": _at(number, i),
        "ended_at": _at(number, i + 1),
        "outcome": "complete",
        "severity": "ok",
        "message": _REASON,
        "duration_s": 183.412,
        "exit_code": 0,
        "inputs": json.dumps({"survivors": {"path": "s.parquet", "sha256": _sha256(made_by)}}),
        "winner": "xgboost",
    }


def _artifact(attempt: int) -> dict[str, Any]:
    path = "models/reinforcement/best_model.json"
    return {"attempt_id": attempt, "path": path, "sha256": _sha256(attempt), "bytes": 812_345}


def _decision(number: int, i: int, per_run: int) -> dict[str, Any]:
    step, attempt = _place(i, per_run)
    is_last = i + 1 == per_run or _place(i + 1, per_run)[0] != step
    return {
        "run_id": _run_id(number),
        "step": step,
        "attempt": attempt,
        "decided_at": _at(number, i + 1),
        "action": "next" if is_last else "retry",
        "reason": _REASON,
        "changes": "{}" if is_last else '{"trials": 10}',
        "evidence": json.dumps(_EVIDENCE),
    }


def _event(number: int) -> dict[str, Any]:
    message = "policy changed: training.n_concurrent_nn: null -> 4"
    return {
        "run_id": _run_id(number),
        "happened_at": _at(number),
        "code": "policy_changed",
        "message": message,
    }


def _success(number: int) -> dict[str, Any]:
    facts = {"manifest": "ab" * 32, "code": "0.1.0", "inputs": {"survivors": "cd" * 32}}
    return {
        "step": number % STEPS,
        "run_id": _run_id(number),
        "attempt": 1,
        "recorded_at": _at(number, 50),
        "facts": json.dumps(facts),
    }


def _place(i: int, per_run: int) -> tuple[int, int]:
    """Step and attempt of a run's decision number i: the steps share the attempts evenly."""
    step = i * STEPS // per_run
    first = -(-step * per_run // STEPS)
    return step, i - first + 1


def _sha256(attempt: int) -> str:
    return hashlib.sha256(str(attempt).encode()).hexdigest()


def _run_id(number: int) -> str:
    return f"{BEGAN + timedelta(hours=number):%Y%m%d-%H%M%S}-{number & 0xFFFF:04x}"


def _at(number: int, minutes: int = 0) -> str:
    at = BEGAN + timedelta(hours=number, minutes=minutes)
    return at.isoformat(timespec="milliseconds")


def _insert(db: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    columns = ", ".join(first)
    marks = ", ".join(f":{column}" for column in first)
    query = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
    db.execute(query, first)
    db.executemany(query, rows)
