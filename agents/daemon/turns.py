"""One turn of the daemon: go on with the run that was stopped, or begin a new one.

A run that was halted, interrupted, lost its watcher, or waited and has been approved is gone on
with, if it was asked for the same steps and parameters. One that failed is not: a new run tries
what is new. While a run waits for an answer no other starts that would ask the same; after a
rejection the next one starts when it is time, or something is new.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

from agents.daemon.ending import EndOnSignal
from agents.daemon.loop import NothingToDo
from agents.errors import LedgerError, WatcherError
from agents.gates import is_asked_still
from agents.ledger import Ledger
from agents.ledger.reading import LedgerReader, Row
from agents.notify.notifier import Notifier, not_started
from agents.plan import Plan
from agents.resume import Resumption, find_resumable
from agents.run import RunReport, Surroundings
from agents.runner import Wishes, run_pipeline
from agents.secrets import mask, secrets_in
from agents.workspace import halt_reason
from steps.policies import PolicyError

_GOES_ON = frozenset({"running", "halted", "interrupted", "waiting"})


class Turns:
    """What the daemon's loop asks for. look: what a run would stand in now; plan: what it would do.

    Both are asked anew each time, since people edit manifests and policy between runs; they raise
    WatcherError or PolicyError.
    """

    def __init__(
        self,
        look: Callable[[], Surroundings],
        plan: Callable[[Surroundings], tuple[Plan, Wishes]],
        ending: EndOnSignal,
    ) -> None:
        self._look = look
        self._plan = plan
        self._ending = ending
        self._around = look()
        self._secrets: frozenset[str] = frozenset()
        self._runs_before = 0
        self._heard: set[str] = set()

    def run(self) -> RunReport:
        """A whole run, or the rest of one. Raises WatcherError where nothing was started.

        Raises NothingToDo once for each time that people have rejected what a run has asked.
        """
        self._around = replace(self._look(), interrupts=self._ending.of_run())
        plan, wishes = self._plan(self._around)
        self._secrets = secrets_in(plan.given.values)
        self._runs_before = _runs_begun(self._around)
        no = rejected(plan, self._around)
        if no is not None and no not in self._heard:
            self._heard.add(no)
            raise NothingToDo(no)
        resumption = to_go_on_with(plan, self._around)
        return run_pipeline(plan, self._around, replace(wishes, resumption=resumption))

    def held(self) -> str | None:
        """Why nothing may start now, in a sentence; what cannot be read is the run's to refuse."""
        try:
            around = self._look()
            halt = halt_reason(around.workspace, around.live.current)
            if halt is not None:
                return f"halted: {halt}; nothing starts until that is gone"
            plan, _ = self._plan(around)
            return unanswered(plan, around)
        except (WatcherError, PolicyError):
            return None

    def cannot_start(self, reason: str) -> None:
        """Notify people that no run could be started; a run that has begun tells by itself."""
        around = self._around
        if _runs_begun(around) > self._runs_before:
            return
        policy = around.live.current.notify

        def note(_code: str, message: str) -> None:
            around.view.say(message)

        with Notifier(lambda: policy, note, secrets=self._secrets) as notifier:
            notifier.tell(not_started(around.workspace.root.name, reason))


def to_go_on_with(plan: Plan, around: Surroundings) -> Resumption | None:
    """The last pipeline run, if it was stopped and is this plan's; None: a new one begins."""
    with _reading(around) as ledger:
        row = _stopped(ledger, plan) if ledger else None
        if ledger is None or row is None or _rejected(ledger, row):
            return None
    return find_resumable(around.workspace, around.now, row["run_id"])


def unanswered(plan: Plan, around: Surroundings) -> str | None:
    """What the last run waits for, a sentence, if it is this plan's and nobody has answered."""
    with _reading(around) as ledger:
        row = _stopped(ledger, plan) if ledger else None
        if ledger is None or row is None or row["state"] != "waiting":
            return None
        for asked in (*ledger.approvals(row["run_id"]), *_publications(ledger, plan)):
            if asked["answer"] is None and is_asked_still(asked, around.live.current):
                return (
                    f"run {row['run_id']} waits for approval to {asked['what']}; nothing starts "
                    f"before `watcher --approve {asked['run_id']}` gives it (or --reject)"
                )
    return None


def rejected(plan: Plan, around: Surroundings) -> str | None:
    """What people have rejected last, a sentence, if it stopped this plan's last run."""
    with _reading(around) as ledger:
        row = _stopped(ledger, plan) if ledger else None
        question = _rejected(ledger, row) if ledger and row else None
    if question is None or row is None:
        return None
    return f"run {row['run_id']} does not go on: {question['what']} was rejected"


def _rejected(ledger: LedgerReader, row: Row) -> Row | None:
    """The question that has ended a run, answered with no."""
    asked = [q for q in ledger.approvals(row["run_id"]) if q["answer"] != "withdrawn"]
    last = asked[-1] if asked else None
    # Models that nobody wants do not stop the steps after them.
    return last if last and last["answer"] == "rejected" and last["step"] is not None else None


def _stopped(ledger: LedgerReader, plan: Plan) -> Row | None:
    """The last pipeline run, if it was stopped before its end and was asked for the same."""
    row = ledger.resumable_run()
    if row is None or row["state"] not in _GOES_ON:
        return None
    was = json.loads(row["request"])
    asked = {"start_step": plan.start, "end_step": plan.end, "params": plan.given.values}
    kept = json.loads(json.dumps(mask(asked, "", secrets_in(asked))))  # as the ledger keeps it
    return row if all(was.get(name) == value for name, value in kept.items()) else None


def _publications(ledger: LedgerReader, plan: Plan) -> Iterator[Row]:
    """Approvals asked for by runs since which a step is fresh, for models to be published."""
    for step in plan.steps:
        success = ledger.last_success(step.manifest.step)
        if success is not None:
            asked = ledger.approvals(success["run_id"])
            yield from (row for row in asked if row["step"] is None)


def _runs_begun(around: Surroundings) -> int:
    """Counts up with each run that begins or goes on; 0 where that cannot be read."""
    try:
        with _reading(around) as ledger:
            last = ledger.last_run() if ledger else None
    except LedgerError:
        return 0
    return int(last["turn"]) if last else 0


@contextlib.contextmanager
def _reading(around: Surroundings) -> Iterator[LedgerReader | None]:
    """The ledger, open to be read; None where nothing has run yet."""
    path = around.workspace.ledger_file
    if not path.exists():
        yield None
        return
    with Ledger.read(path, around.now) as ledger:
        yield ledger
