"""Run a plan: for each step, attempt, judge, decide; then the next, a retry, or a stop."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import agents
from agents.attempt import Attempted, AttemptSpec, make_attempt
from agents.decide import Decision, decide
from agents.durations import words
from agents.errors import LedgerError, WatcherError
from agents.inputs import find_inputs, require_inputs
from agents.interrupts import Interrupts
from agents.ledger import Ledger
from agents.lock import Holder, only_watcher
from agents.obstacles import obstacles, refuse_if_halted
from agents.plan import Plan, PlannedStep
from agents.step_process import TICK_S
from agents.views.run_view import RunView
from agents.watch import Watch
from agents.workspace import Workspace
from steps.contract import ExitCode, Progress, StepResult
from steps.policies import LivePolicy

_STATES = {
    ExitCode.DONE: "complete",
    ExitCode.HALTED: "halted",
    ExitCode.INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class StepReport:
    """What came of one step: its attempts in order, and the last decision."""

    attempts: tuple[Attempted, ...]
    decision: Decision

    @property
    def last(self) -> Attempted:
        """The attempt that counts."""
        return self.attempts[-1]

    @property
    def result(self) -> StepResult | None:
        """What the last attempt says of itself."""
        return self.last.result


@dataclass(frozen=True, slots=True)
class RunReport:
    """What came of a run. state: complete, failed, halted, interrupted; message: one sentence."""

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
    """One run in progress: the lock held, the ledger open, interrupts counted."""

    def __init__(self, around: Surroundings, ledger: Ledger, interrupts: Interrupts) -> None:
        self.around = around
        self.ledger = ledger
        self.run_id = f"{around.now():%Y%m%d-%H%M%S}-{around.token()}"
        self.events: list[tuple[str, str]] = []
        self.retries = 0
        self.watch = Watch(around.workspace, around.live, interrupts, self)

    def note(self, code: str, message: str) -> None:
        """Say something to the people and to the ledger."""
        self.events.append((code, message))
        self.around.view.say(message)
        try:
            self.ledger.event(self.run_id, code, message)
        except LedgerError as error:
            # Said to people all the same; hours of training must not die of a missing line.
            self.around.view.say(f"not kept in the ledger: {error}")

    def progress(self, progress: Progress) -> None:
        """Show a snapshot."""
        self.around.view.progress(progress)

    def attempt(self, spec: AttemptSpec) -> Attempted:
        """Make one attempt, shown while it lasts."""
        around = self.around
        with around.view.step(spec):
            return make_attempt(
                spec,
                around.workspace,
                self.ledger,
                self.watch,
                policy_path=around.policy_path,
                environ=around.environ,
                echo=around.echo,
            )


def run_pipeline(plan: Plan, around: Surroundings) -> RunReport:
    """Run the plan; raises WatcherError where nothing was started (a halt, an input missing)."""
    doing = f"steps {plan.start}..{plan.end}" if plan.start != plan.end else f"step {plan.start}"
    request = {
        "start_step": plan.start,
        "end_step": plan.end,
        "params": {
            p.name: p.value
            for s in plan.steps
            for p in s.parameters
            if p.origin in {"params", "params-file"}
        },
    }
    for obstacle in obstacles(plan, around.workspace, around.live.current, around.cwd):
        raise obstacle

    def all_steps(run: Run) -> tuple[tuple[StepReport, ...], Decision]:
        reports: list[StepReport] = []
        decision = Decision("next", "nothing to do")
        for planned in plan.steps:
            report, decision = _run_step(run, planned)
            reports += [report] if report else []
            if decision.action == "stop":
                break
        return tuple(reports), decision

    return in_run("pipeline", doing, request, around, all_steps)


def in_run(
    kind: str,
    doing: str,
    request: dict[str, Any],
    around: Surroundings,
    body: Callable[[Run], tuple[tuple[StepReport, ...], Decision]],
) -> RunReport:
    """Lock the workspace, open the ledger, record a run around `body`, and report it."""
    refuse_if_halted(around.workspace, around.live.current)
    with (
        only_watcher(around.workspace, doing, around.now()) as holder,
        Ledger.create(around.workspace.ledger_file, around.now) as ledger,
        Interrupts() as interrupts,
    ):
        run = Run(around, ledger, interrupts)
        _start(run, kind, request, holder)
        try:
            reports, decision = body(run)
        except WatcherError as error:
            ledger.run_ended(run.run_id, "failed", error.exit_code, str(error))
            raise
        state = _STATES.get(decision.exit_code, "failed")
        ledger.run_ended(run.run_id, state, decision.exit_code, decision.reason)
        return RunReport(
            run.run_id, state, decision.exit_code, decision.reason, reports, tuple(run.events)
        )


def _start(run: Run, kind: str, request: dict[str, Any], holder: Holder) -> None:
    watcher = holder.model_dump_json()
    run.ledger.run_started(run.run_id, kind, request, watcher, agents.__version__)
    if not run.around.workspace.own_policy_file.exists():
        folder = shlex.quote(str(run.around.workspace.root))
        run.around.view.say(
            f"no {run.around.workspace.own_policy_file.name} here: the packaged policy is in force "
            f"(`watcher --init {folder}` lays one out)",
            "info",
        )


def _run_step(run: Run, planned: PlannedStep) -> tuple[StepReport | None, Decision]:
    """Attempt one step until it is done or given up."""
    manifest = planned.manifest
    attempts: list[Attempted] = []
    inputs: dict[str, str] = {}
    while True:
        stop = _may_not_start(run, manifest.step)
        if stop is None and not attempts:
            around = run.around
            found = find_inputs(manifest, planned.values, around.workspace, around.cwd)
            inputs = require_inputs(manifest, found)
        if stop is not None:
            run.ledger.decided(run.run_id, manifest.step, len(attempts) + 1, stop, {})
            return (StepReport(tuple(attempts), stop) if attempts else None), stop
        policy = run.watch.policy
        attempted = run.attempt(
            AttemptSpec(
                run_id=run.run_id,
                step=manifest.step,
                attempt=len(attempts) + 1,
                agent_name=manifest.agent_name,
                title=manifest.title,
                module=manifest.module,
                folder_name=f"step{manifest.step}",
                parameters=planned.parameters,
                inputs=inputs,
                limit_s=policy.timeout_s(manifest.step, manifest.timeout_minutes),
                grace_s=policy.steps.kill_grace_s,
            )
        )
        attempts.append(attempted)
        step_retries = len(attempts) - 1
        decision = decide(
            attempted.verdict, manifest.step, step_retries, run.retries, run.watch.policy.retries
        )
        if attempted.verdict.outcome == "halted" and run.watch.halt:
            decision = replace(decision, reason=f"{decision.reason} ({run.watch.halt})")
        run.ledger.decided(run.run_id, manifest.step, len(attempts), decision, attempted.evidence())
        for issue in attempted.verdict.issues:
            run.note(issue.code, f"step {manifest.step}: {issue.message}")
        if decision.action != "retry":
            return StepReport(tuple(attempts), decision), decision
        run.retries += 1
        run.note("retry", f"{decision.reason}, in {words(decision.wait_s)}")
        _pause(run, decision.wait_s)


def _may_not_start(run: Run, step: int) -> Decision | None:
    if run.watch.interrupted:
        return Decision("stop", f"interrupted before step {step}", ExitCode.INTERRUPTED)
    if reason := run.watch.look():
        return Decision("stop", f"step {step} was not started: {reason}", ExitCode.HALTED)
    if step in run.watch.policy.steps.do_not_start:
        reason = f"step {step} was not started: the policy names it in steps.do_not_start"
        return Decision("stop", reason, ExitCode.HALTED)
    return None


def _pause(run: Run, wait_s: float) -> None:
    """Wait before a retry; a halt or Ctrl-C ends the wait."""
    over_at = time.monotonic() + wait_s
    while (left_s := over_at - time.monotonic()) > 0 and run.watch.tick() is None:
        time.sleep(min(TICK_S, left_s))
