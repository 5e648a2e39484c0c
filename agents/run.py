"""One run: the workspace locked, the ledger open, interrupts counted, its end recorded."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import agents
from agents.attempt import Attempted, AttemptSpec, make_attempt
from agents.decide import Decision, Tried
from agents.errors import LedgerBusy, LedgerError, UsageError, WatcherError
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
    ExitCode.NO_SIGNAL: "refused",
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
    interrupts: Interrupts = field(default_factory=Interrupts)


# How long a locked ledger is waited for when an attempt has ended, seconds.
LEDGER_PATIENCE_S = 600.0


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
        self.asked_by = self.run_id  # the run that has asked what this one waits for
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
        self.record(code, message)

    def warn(self, message: str) -> None:
        """Say something to the people alone, without touching the disk."""
        self.around.view.say(mask_text(message, self._secrets))

    def record(self, code: str, message: str) -> None:
        """Say something to the ledger alone."""
        try:
            self.ledger.event(self.run_id, code, message)
        except LedgerError as error:
            # Said to people all the same; hours of training must not die of a missing line.
            self.around.view.say(f"not kept in the ledger: {error}")

    def conclude(
        self,
        attempted: Attempted,
        decision: Decision,
        success: Mapping[str, Any] | None = None,
        ask: Callable[[], object] | None = None,
    ) -> None:
        """Write down, as one, how an attempt ended, what it is remembered by, and what follows.

        success: the facts of a step that need not run again. ask: writes a question for a person.
        A ledger that another program keeps locked is waited for: hours of training are at stake.
        """
        spec = attempted.spec
        evidence = attempted.evidence() | decision.evidence()
        give_up_at = time.monotonic() + LEDGER_PATIENCE_S
        while True:
            try:
                with self.ledger.together():
                    self.ledger.attempt_ended(
                        attempted.id, attempted.ending, attempted.verdict, attempted.result
                    )
                    if success is not None:
                        self.ledger.success_recorded(spec.step, self.run_id, spec.attempt, success)
                    if ask is not None:
                        ask()
                    self.ledger.decided(self.run_id, spec.step, spec.attempt, decision, evidence)
            except LedgerBusy as error:
                if time.monotonic() >= give_up_at or self.watch.interrupted_again:
                    raise
                self.around.view.say(f"{error}; waiting for it, since this must be kept")
            else:
                return

    def progress(self, progress: Progress) -> None:
        """Show a snapshot."""
        said = {k: mask_text(getattr(progress, k), self._secrets) for k in ("phase", "message")}
        self.around.view.progress(progress.model_copy(update=said))

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
        around.interrupts as interrupts,
    ):
        for folder in around.workspace.written_folders:
            drop_temporaries(folder)  # of a run that was killed: nobody else works here now
        run = Run(around, ledger, interrupts, resumption)
        _start(run, kind, request, holder)
        with run.notifier as notifier:
            notifier.tell(run_started(run.facts, doing))
            concluded = False
            try:
                reports, decision = body(run)
                concluded = True
            finally:
                if not concluded:
                    _broke_off(run, sys.exception())
            state = _STATES.get(decision.exit_code, "failed")
            ledger.run_ended(run.run_id, state, decision.exit_code, decision.reason)
            step = reports[-1].step if reports else None
            notifier.tell(run_ended(run.facts, state, decision.reason, step, run.asked_by))
        return RunReport(
            run.run_id, state, decision.exit_code, decision.reason, reports, tuple(run.events)
        )


def _broke_off(run: Run, error: BaseException | None) -> None:
    """The run ends by an error of the watcher's own surroundings, or of the watcher itself."""
    code = error.exit_code if isinstance(error, WatcherError) else ExitCode.STEP_FAILED
    message = str(error) if isinstance(error, WatcherError) else f"the watcher broke off: {error!r}"
    with contextlib.suppress(LedgerError):  # what broke it may be the ledger
        run.ledger.run_ended(run.run_id, "failed", code, message)
    run.notifier.tell(run_ended(run.facts, "failed", message))


def _start(run: Run, kind: str, request: dict[str, Any], holder: Holder) -> None:
    watcher = holder.model_dump_json()
    # For the next run: where this one had a policy of its own, it must not do without.
    own = run.around.policy_path == run.around.workspace.own_policy_file
    request = request | {"policy": "own" if own else "packaged"}
    if run.resumption is not None:
        # Worked out before the lock was held: another watcher may have gone on with it meanwhile.
        if not run.resumption.still_holds(run.ledger):
            raise UsageError(
                f"--resume: run {run.run_id} has gone on meanwhile; `watcher --status` shows it"
            )
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
