"""Write down what a run asks a person for, and the answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Literal

# withdrawn: the watcher asks no more.
Answer = Literal["approved", "rejected", "withdrawn"]


def ask(
    db: sqlite3.Connection, run_id: str, step: int | None, what: str, digest: str, stamp: str
) -> int:
    """Add a question, unless it is open already; its id."""
    key = (run_id, step, what, digest)
    asked = db.execute(
        "SELECT id FROM approvals WHERE run_id = ? AND step IS ? AND what = ? "
        "AND digest = ? AND answer IS NULL LIMIT 1",
        key,
    ).fetchone()
    if asked is not None:
        return int(asked["id"])
    cursor = db.execute(
        "INSERT INTO approvals (run_id, step, what, digest, asked_at) VALUES (?, ?, ?, ?, ?)",
        (*key, stamp),
    )
    return int(cursor.lastrowid or 0)


def answer_open(
    db: sqlite3.Connection,
    run_id: str,
    given: tuple[Answer, str, str, str],
    only: Collection[int] | None,
) -> list[str]:
    """Close a run's open questions, or only those of these ids; their sentences, in order.

    given: the answer, when, by whom, and a note.
    """
    rows = db.execute(
        "SELECT id, what FROM approvals WHERE run_id = ? AND answer IS NULL ORDER BY id", (run_id,)
    ).fetchall()
    closed = [row for row in rows if only is None or row["id"] in only]
    db.executemany(
        "UPDATE approvals SET answer = ?, answered_at = ?, answered_by = ?, note = ? WHERE id = ?",
        [(*given, row["id"]) for row in closed],
    )
    return [str(row["what"]) for row in closed]
