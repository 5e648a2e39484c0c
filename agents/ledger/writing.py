"""Write down a run as it happens: each call is one transaction, kept once it has returned."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from agents.decide import Decision
from agents.health import Ending, Verdict
from agents.ledger.file import BUSY_S, faults, open_to_write
from agents.ledger.placed import placements
from agents.ledger.questions import Answer, answer_open, ask
from agents.ledger.reading import LedgerReader
from agents.parameters import Parameter
from agents.secrets import mask, mask_text, secrets_in
from steps.contract import StepResult

# Events are written between two looks at a running step, whose time limit must not wait for them.
EVENT_BUSY_S = 0.5
WATCHER_DIED = "its watcher died"


class Ledger(LedgerReader):
    """The ledger file, open. Use `Ledger.create` to write (under the lock), `Ledger.read` else."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        now: Callable[[], datetime],
        busy_s: float = BUSY_S,
    ) -> None:
        super().__init__(path, connection, now, busy_s)
        # Secrets among the parameters seen so far: texts that quote one of them are masked too.
        self._secrets: set[str] = set()
        self._in_one = False

    @classmethod
    def create(cls, path: Path, now: Callable[[], datetime], busy_s: float = BUSY_S) -> Self:
        """Open for writing, making the file if need be, migrating an older one.

        busy_s: how long any call may wait for a program that keeps the file locked, seconds.
        Raises LedgerError.
        """
        return cls(path, open_to_write(path, busy_s), now, busy_s)

    def run_started(
        self, run_id: str, kind: str, request: dict[str, Any], watcher: str, version: str
    ) -> None:
        """A run begins. kind: "pipeline" or "predict"; watcher: the lock's holder as JSON."""
        self._secrets |= secrets_in(request)
        with self._writing() as db:
            self._close_what_died(db)
            db.execute(
                "INSERT INTO runs (run_id, kind, state, started_at, request, watcher, "
                "watcher_version, turn) VALUES (?, ?, 'running', ?, ?, ?, ?, "
                "(SELECT coalesce(max(turn), 0) + 1 FROM runs))",
                (run_id, kind, self._stamp(), self._json(request), watcher, version),
            )

    def run_resumed(self, run_id: str, watcher: str, request: dict[str, Any] | None = None) -> None:
        """A run goes on: `running` again, with its started_at; the newest of all runs again.

        request: what is asked for from now on, where that has changed; None: what was.
        """
        self._secrets |= secrets_in(request or {})
        asked = None if request is None else self._json(request)
        with self._writing() as db:
            self._close_what_died(db)
            db.execute(
                "UPDATE runs SET state = 'running', exit_code = NULL, ended_at = NULL, "
                "message = '', watcher = ?, request = coalesce(?, request), "
                "resumed = resumed + 1, turn = (SELECT max(turn) + 1 FROM runs) WHERE run_id = ?",
                (watcher, asked, run_id),
            )

    def attempt_started(
        self,
        run_id: str,
        step: int,
        attempt: int,
        *,
        agent_name: str,
        title: str,
        module: str,
        out_dir: str,
        limit_s: float,
        parameters: Sequence[Parameter],
        inputs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> int:
        """An attempt begins; returns its id. limit_s: seconds; inputs: name -> path, sha256."""
        self._secrets |= secrets_in({p.name: p.value for p in parameters})
        # By its shape only: a secret of four digits may stand in a hash by chance.
        lineage = {name: mask(facts) for name, facts in (inputs or {}).items()}
        with self._writing() as db:
            cursor = db.execute(
                "INSERT INTO attempts (run_id, step, attempt, agent_name, title, module, out_dir, "
                "limit_s, started_at, inputs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    step,
                    attempt,
                    agent_name,
                    title,
                    module,
                    out_dir,
                    limit_s,
                    self._stamp(),
                    json.dumps(lineage),
                ),
            )
            attempt_id = int(cursor.lastrowid or 0)
            db.executemany(
                "INSERT INTO parameters VALUES (?, ?, ?, ?)",
                [
                    (attempt_id, p.name, json.dumps(self._masked(p.value, p.name)), p.origin)
                    for p in parameters
                ],
            )
        return attempt_id

    def attempt_ended(
        self, attempt_id: int, ending: Ending, verdict: Verdict, result: StepResult | None
    ) -> None:
        """An attempt has ended and was judged; keeps its files, winner and placements too."""
        with self._writing() as db:
            db.execute(
                "UPDATE attempts SET ended_at = ?, outcome = ?, severity = ?, message = ?, "
                "duration_s = ?, exit_code = ?, signal = ?, winner = ? WHERE id = ?",
                (
                    self._stamp(),
                    verdict.outcome,
                    verdict.severity,
                    self._text(verdict.message),
                    ending.duration_s,
                    ending.exit_code,
                    ending.signal,
                    result.winner if result else None,
                    attempt_id,
                ),
            )
            if result is None:
                return
            db.executemany(
                "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?)",
                [(attempt_id, file.path, file.sha256, file.bytes) for file in result.outputs],
            )
            db.executemany(
                "INSERT INTO placements (attempt_id, what, device, reason) VALUES (?, ?, ?, ?)",
                [(attempt_id, *map(self._text, placed)) for placed in placements(result)],
            )

    def decided(
        self, run_id: str, step: int, attempt: int, decision: Decision, evidence: Any
    ) -> None:
        """A decision, with the facts it rests on (anything JSON can hold)."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO decisions (run_id, step, attempt, decided_at, action, reason, "
                "changes, evidence, budget, rule) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    step,
                    attempt,
                    self._stamp(),
                    decision.action,
                    self._text(decision.reason),
                    self._json(decision.changes),
                    self._json(evidence),
                    decision.retry.budget if decision.retry else None,
                    decision.retry.rule_key if decision.retry else None,
                ),
            )

    def success_recorded(
        self, step: int, run_id: str, attempt: int, facts: Mapping[str, Any]
    ) -> None:
        """A step has succeeded with these facts, by which a later run judges freshness.

        They are kept as `secrets.mask` makes them: compare that of the present ones with them.
        """
        kept = json.dumps(mask(facts))
        with self._writing() as db:
            db.execute(
                "INSERT INTO successes (step, run_id, attempt, recorded_at, facts) "
                "VALUES (?, ?, ?, ?, ?)",
                (step, run_id, attempt, self._stamp(), kept),
            )

    def approval_asked(self, run_id: str, step: int | None, what: str, digest: str = "") -> int:
        """A run waits for a person; returns the id. Nothing is added while the same is asked.

        step: None for a publication. what: what the person allows, a sentence. digest: of what
        the sentence does not say, such as parameters; the answer holds for nothing else.
        """
        with self._writing() as db:
            return ask(db, run_id, step, mask_text(what), digest, self._stamp())

    def approval_answered(
        self,
        run_id: str,
        answer: Answer,
        by: str,
        note: str = "",
        only: Collection[int] | None = None,
    ) -> list[str]:
        """What a run waits for is answered; returns what that was, in order.

        only: ids of the questions; None: all that are open.
        """
        with self._writing() as db:
            given = (answer, self._stamp(), by, self._text(note))
            return answer_open(db, run_id, given, only)

    def event(self, run_id: str, code: str, message: str) -> None:
        """Something that happened beside the steps: a policy change, a halt."""
        with self._writing(min(self._busy_s, EVENT_BUSY_S)) as db:
            db.execute(
                "INSERT INTO events (run_id, happened_at, code, message) VALUES (?, ?, ?, ?)",
                (run_id, self._stamp(), code, self._text(message)),
            )

    def run_ended(self, run_id: str, state: str, exit_code: int, message: str) -> None:
        """A run has ended. state: complete, failed, halted, interrupted, waiting."""
        with self._writing() as db:
            db.execute(
                "UPDATE runs SET state = ?, exit_code = ?, ended_at = ?, message = ? "
                "WHERE run_id = ?",
                (state, int(exit_code), self._stamp(), self._text(message), run_id),
            )

    def _close_what_died(self, db: sqlite3.Connection) -> None:
        # Whoever holds the lock knows that no other run can be on. When it ended nobody saw.
        db.execute(
            "UPDATE attempts SET outcome = 'interrupted', severity = 'warning', message = ? "
            "WHERE outcome IS NULL AND run_id IN (SELECT run_id FROM runs WHERE state = 'running')",
            (WATCHER_DIED,),
        )
        db.execute(
            "UPDATE runs SET state = 'interrupted', message = ? WHERE state = 'running'",
            (WATCHER_DIED,),
        )

    def _masked(self, value: Any, name: str = "") -> Any:
        return mask(value, name, self._secrets)

    def _json(self, value: Any) -> str:
        return json.dumps(self._masked(value))

    def _text(self, text: str) -> str:
        return mask_text(text, self._secrets)

    def _stamp(self) -> str:
        return self._now().isoformat(timespec="milliseconds")

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is kept whole or not at all, also when the watcher is killed."""
        with self._writing():
            self._in_one = True
            try:
                yield
            finally:
                self._in_one = False

    @contextlib.contextmanager
    def _writing(self, busy_s: float | None = None) -> Iterator[sqlite3.Connection]:
        if self._in_one:
            yield self._db
            return
        wait_s = self._busy_s if busy_s is None else busy_s
        with faults(self._path, wait_s):
            self._db.execute(f"PRAGMA busy_timeout = {round(1000 * wait_s)}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.commit()
            except BaseException:
                self._db.rollback()
                raise
