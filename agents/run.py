"""One run: the workspace locked, the ledger open, interrupts counted, its end recorded."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import agents
from agents.attempt import Attempted, AttemptSpec, make_attempt
from agents.decide import Decision, Tried
from agents.errors import LedgerError, WatcherError
from agents.interrupts import Interrupts
from agents.ledger import Ledger
from agents.lock import Holder, only_watcher
from agents.notify.notifier import (
    Notifier,
    RunFacts,
    family_skipped,
    no_signal,
    run_ended,
    run_started,
    step_retried,
)
from agents.obstacles import refuse_if_halted
from agents.resume import Resumption
from agents.secrets import mask_text, secrets_in
from agents.views.run_view import Level, RunView
from agents.watch import Watch
from agents.workspace import Workspace
from steps.contract import ExitCode, Progress, StepResult
from steps.files import drop_temporaries, sha256_file
from steps.policies import LivePolicy

_STATES = {
    ExitCode.DONE: "complete",
    ExitCode.HALTED: "halted",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.WAITING_FOR_APPROVAL: "waiting",
}


@dataclass(frozen=True, slots=True)
class StepReport:
    """What came of one step: its attempts in order, and the last decision.

    earlier: for a step that was skipped, what it said when it last ran.
    """

    step: int
    agent_name: str
    attempts: tuple[Attempted, ...]
    decision: Decision
    earlier: StepResult | None = None

    @property
    def last(self) -> Attempted | None:
        """The attempt that counts; None for a step that was skipped."""
        return self.attempts[-1] if self.attempts else None

    @property
    def result(self) -> StepResult | None:
        """What the last attempt says of itself; for a skipped step, what it said when it ran."""
        return self.last.result if self.last else self.earlier


@dataclass(frozen=True, slots=True)
class RunReport:
    """What came of a run. state: as in the ledger; message: one sentence."""

    run_id: str
    state: str
    exit_code: ExitCode
    message: str
    steps: tuple[StepReport, ...]
    events: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What a run stands in; passed in, so that nothing deep inside reads clock or environment."""

    workspace: Workspace
    policy_path: Path
    live: LivePolicy
    view: RunView
    cwd: Path
    environ: Mapping[str, str]
    now: Callable[[], datetime]
    echo: IO[bytes] | None = None
    token: Callable[[], str] = field(default=lambda: secrets.token_hex(2))


class Run:
    """One run in progress. resumption: the stopped run that it goes on with, if any."""

    def __init__(
        self,
        around: Surroundings,
        ledger: Ledger,
        interrupts: Interrupts,
        resumption: Resumption | None = None,
    ) -> None:
        self.around = around
        self.ledger = ledger
        self.resumption = resumption
        self.run_id = (
            resumption.run_id
            if resumption is not None
            else f"{around.now():%Y%m%d-%H%M%S}-{around.token()}"
        )
        self.events: list[tuple[str, str]] = []
        self.tried = resumption.tried if resumption is not None else Tried()
        self.watch = Watch(around.workspace, around.live, interrupts, self)
        self.facts = RunFacts.here(self.run_id, around.workspace.root.name)
        self._secrets: set[str] = set()  # grows with each attempt; the notifier reads it too
        self.notifier = Notifier(lambda: self.watch.policy.notify, self.note, secrets=self._secrets)

    def note(self, code: str, message: str, level: Level = "warning") -> None:
        """Say something to the people and to the ledger, without the secrets known so far."""
        message = mask_text(message, self._secrets)
        self.events.append((code, message))
        self.around.view.say(message, level)
        try:
            self.ledger.event(self.run_id, code, message)
        except LedgerError as error:
            # Said to people all the same; hours of training must not die of a missing line.
            self.around.view.say(f"not kept in the ledger: {error}")

    def progress(self, progress: Progress) -> None:
        """Show a snapshot."""
        self.around.view.progress(progress)

    def tell(self, step: int, decision: Decision, result: StepResult | None) -> None:
        """Notify people of what they may want to look at before the run's end."""
        if decision.action == "retry":
            self.notifier.tell(step_retried(self.facts, step, decision.reason))
            return
        if result is None:
            return
        if result.status == "no_signal":
            self.notifier.tell(no_signal(self.facts, result.headline))
        for family, found in result.families.items():
            if found.status in {"failed", "skipped"}:
                self.notifier.tell(family_skipped(self.facts, family, found.error or found.status))

    def attempt(
        self,
        spec: AttemptSpec,
        limit_s: Callable[[], float],
        inputs: Mapping[str, Mapping[str, str]],
        sha256: Callable[[Path], str | None] = sha256_file,
    ) -> Attempted:
        """Make one attempt, shown while it lasts.

        limit_s: the limit in force at any moment. inputs: path and SHA-256 by name. sha256: hashes
        its outputs.
        """
        around = self.around
        self._secrets |= secrets_in({p.name: p.value for p in spec.parameters})
        with around.view.step(spec):
            return make_attempt(
                spec,
                around.workspace,
                self.ledger,
                self.watch,
                limit_s=limit_s,
                lineage=inputs,
                sha256=sha256,
                policy_path=around.policy_path,
                environ=around.environ,
                echo=around.echo,
            )


def in_run(
    kind: str,
    doing: str,
    request: dict[str, Any],
    around: Surroundings,
    body: Callable[[Run], tuple[tuple[StepReport, ...], Decision]],
    resumption: Resumption | None = None,
) -> RunReport:
    """Lock the workspace, open the ledger, record a run around `body`, and report it."""
    refuse_if_halted(around.workspace, around.live.current)
    with (
        only_watcher(around.workspace, doing, around.now()) as holder,
        Ledger.create(around.workspace.ledger_file, around.now) as ledger,
        Interrupts() as interrupts,
    ):
        for folder in around.workspace.written_folders:
            drop_temporaries(folder)  # of a run that was killed: nobody else works here now
        run = Run(around, ledger, interrupts, resumption)
        _start(run, kind, request, holder)
        with run.notifier as notifier:
            notifier.tell(run_started(run.facts, doing))
            try:
                reports, decision = body(run)
            except WatcherError as error:
                ledger.run_ended(run.run_id, "failed", error.exit_code, str(error))
                notifier.tell(run_ended(run.facts, "failed", str(error)))
                raise
            state = _STATES.get(decision.exit_code, "failed")
            ledger.run_ended(run.run_id, state, decision.exit_code, decision.reason)
            step = reports[-1].step if reports else None
            notifier.tell(run_ended(run.facts, state, decision.reason, step))
        return RunReport(
            run.run_id, state, decision.exit_code, decision.reason, reports, tuple(run.events)
        )


def _start(run: Run, kind: str, request: dict[str, Any], holder: Holder) -> None:
    watcher = holder.model_dump_json()
    if run.resumption is not None:
        run.ledger.run_resumed(run.run_id, watcher, request)
        run.note("resumed", f"going on with run {run.run_id}, which {run.resumption.ended}", "info")
    else:
        run.ledger.run_started(run.run_id, kind, request, watcher, agents.__version__)
    if not run.around.workspace.own_policy_file.exists():
        folder = shlex.quote(str(run.around.workspace.root))
        run.around.view.say(
            f"no {run.around.workspace.own_policy_file.name} here: the packaged policy is in force "
            f"(`watcher --init {folder}` lays one out)",
            "info",
        )
