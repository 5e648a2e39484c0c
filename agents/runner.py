"""Run a plan: for each step, attempt, judge, decide; then the next, a retry, a skip or a stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from agents.afterwards import hand_on
from agents.attempt import Attempted, AttemptSpec
from agents.bounds import check_value
from agents.decide import Decision, decide
from agents.durations import words
from agents.errors import LedgerError, WatcherError
from agents.gates import (
    approval_needed,
    ask_to_retry,
    models_in_force,
    publication_needed,
    publication_waits,
    take_back_models,
    take_back_unjudged,
)
from agents.inputs import find_inputs, require_inputs
from agents.obstacles import obstacles
from agents.parameters import changed
from agents.plan import Plan, PlannedStep
from agents.preflight import cautions, check_inputs, gpu_names
from agents.recall.recall import HashingStopped, Recall
from agents.resume import Resumption
from agents.run import Run, RunReport, StepReport, Surroundings, in_run
from agents.secrets import masked_names
from agents.step_process import TICK_S
from steps.contract import ExitCode


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a person wants the plan run.

    force: every step runs, fresh or not. force_steps: these do. resumption: the stopped run to go
    on with.
    """

    force: bool = False
    force_steps: frozenset[int] = frozenset()
    resumption: Resumption | None = None

    def forced(self, step: int) -> str | None:
        """The flag that makes a step run whatever is fresh, or None."""
        if self.force:
            return "--force"
        return f"--force-step {step}" if step in self.force_steps else None


def run_pipeline(plan: Plan, around: Surroundings, wishes: Wishes = Wishes()) -> RunReport:
    """Run the plan; raises WatcherError where nothing was started (a halt, an input missing)."""
    around = _where_it_began(plan, around, wishes.resumption)
    doing = f"steps {plan.start}..{plan.end}" if plan.start != plan.end else f"step {plan.start}"
    request = {
        "start_step": plan.start,
        "end_step": plan.end,
        "params": plan.given.values,
        "from_file": sorted(plan.given.from_file),
        "masked": masked_names(plan.given.values),
        "cwd": str(around.cwd),
    }
    if wishes.resumption is not None:
        request["over_retries"] = sorted(wishes.resumption.over_retries)
    for obstacle in obstacles(plan, around.workspace, around.live.current, around.cwd):
        raise obstacle

    def all_steps(run: Run) -> tuple[tuple[StepReport, ...], Decision]:
        reports: list[StepReport] = []
        decision = Decision("next", "nothing to do")
        recall = Recall(run)
        take_back_unjudged(run)
        for planned in plan.steps:
            try:
                last = planned is plan.steps[-1]
                report = _run_step(run, planned, wishes, recall, last=last)
            except LedgerError:
                raise
            except WatcherError as error:
                report = _refused(run, planned, error)
            reports.append(report)
            decision = report.decision
            if decision.action == "stop":
                break
        if decision.action == "skip":
            decision = replace(decision, action="next")
        return tuple(reports), decision

    return in_run("pipeline", doing, request, around, all_steps, wishes.resumption)


def _where_it_began(
    plan: Plan, around: Surroundings, resumption: Resumption | None
) -> Surroundings:
    """A resumed run looks for its inputs from where it was started, unless they are given now."""
    if resumption is None or resumption.cwd is None or not resumption.cwd.is_dir():
        return around
    inputs = {s.param for step in plan.steps for s in step.manifest.inputs}
    if inputs & resumption.over_retries:
        return around
    return replace(around, cwd=resumption.cwd)


def _run_step(
    run: Run, planned: PlannedStep, wishes: Wishes, recall: Recall, *, last: bool
) -> StepReport:
    """Attempt one step until it is done or given up; or skip it, or do not start it."""
    step = planned.manifest.step
    earlier = run.resumption
    made = earlier.attempts.get(step, 0) if earlier else 0
    asked = planned
    planned = _changed(planned, earlier.changes(step) if earlier else {})
    attempts: list[Attempted] = []

    def report(decision: Decision, **more: Any) -> StepReport:
        return StepReport(step, planned.manifest.agent_name, tuple(attempts), decision, **more)

    while True:
        stop = _may_not_start(run, step)
        if stop is not None:
            run.ledger.decided(run.run_id, step, made + 1, stop, {})
            return report(stop)
        inputs = _inputs(run, planned)
        try:
            if attempts:
                recall.look_again(asked, inputs)
                fresh = None
            else:
                fresh = recall.fresh(asked, inputs, wishes.forced(step))
        except HashingStopped:
            continue  # what stopped it is found at the top
        if not attempts:
            if fresh is not None:
                stop = publication_waits(run, fresh.since, last=last)
                if stop is not None:
                    run.ledger.decided(run.run_id, step, made, stop, fresh.evidence)
                    return report(stop, earlier=fresh.result)
                run.ledger.decided(run.run_id, step, made, fresh.decision, fresh.evidence)
                run.note("skipped", f"step {step} is skipped: {fresh.decision.reason}", "info")
                return report(fresh.decision, earlier=fresh.result)
            stop = approval_needed(run, asked, recall.inputs(step), made)
            if stop is not None:
                run.ledger.decided(run.run_id, step, made + 1, stop, {})
                return report(stop)
            _preflight(run, planned, inputs)
        made += 1
        spec, limit_s = _attempt(run, planned, inputs, made)
        before = models_in_force(run)
        attempted = run.attempt(spec, limit_s, recall.inputs(step), recall.sha256)
        attempts.append(attempted)
        decision = decide(
            attempted.verdict,
            step,
            run.tried,
            run.watch.policy.retries,
            planned.values,
            planned.manifest.parameter_bounds,
        )
        if attempted.verdict.outcome == "halted" and run.watch.halt:
            decision = replace(decision, reason=f"{decision.reason} ({run.watch.halt})")
        question = success = None
        if decision.exit_code == ExitCode.WAITING_FOR_APPROVAL:
            question = ask_to_retry(run, asked, recall.inputs(step), made, decision)
        elif decision.action == "next":
            success = recall.success(planned, attempted)
            question = publication_needed(run, attempted)
        if decision.action != "next":
            take_back_models(run, attempted, before)
        if question is not None:
            decision = question.decision
        facts = success.model_dump(mode="json") if success is not None else None
        run.conclude(attempted, decision, facts, question.write if question is not None else None)
        for issue in attempted.verdict.issues:
            run.note(issue.code, f"step {step}: {issue.message}")
        run.tell(step, decision, attempted.result)
        if decision.action != "retry":
            hand_on(run, attempted)
            return report(decision)
        run.tried = run.tried.after(decision)
        planned = _changed(planned, decision.changes)
        run.note("retry", f"{decision.reason}, in {words(decision.wait_s)}")
        _pause(run, decision.wait_s)


def _refused(run: Run, planned: PlannedStep, error: WatcherError) -> StepReport:
    """The stop at a step that cannot be started or judged; what came before it stays told."""
    decision = Decision("stop", str(error), error.exit_code)
    step = planned.manifest.step
    run.ledger.decided(run.run_id, step, 0, decision, {"refused": type(error).__name__})
    run.note("refused", str(error), "critical")
    return StepReport(step, planned.manifest.agent_name, (), decision)


def _changed(planned: PlannedStep, changes: Mapping[str, Any]) -> PlannedStep:
    """The step with what retries have changed; raises ParameterError for a bound that has moved."""
    bounds = planned.manifest.parameter_bounds
    for name, value in changes.items():
        if name in bounds:
            where = f"{planned.manifest.file_name}: {name}, as an earlier retry has changed it"
            check_value(where, bounds[name], value, name)
    return replace(planned, parameters=changed(planned.parameters, changes))


def _preflight(run: Run, planned: PlannedStep, inputs: Mapping[str, str]) -> None:
    """Refuse what is sure to fail; warn of what may."""
    check_inputs(planned.manifest, inputs)
    around = run.around
    for caution in cautions(
        inputs, around.workspace, run.watch.policy, partial(gpu_names, around.environ)
    ):
        run.note("preflight", f"step {planned.manifest.step}: {caution}")


def _inputs(run: Run, planned: PlannedStep) -> dict[str, str]:
    around = run.around
    found = find_inputs(
        planned.manifest, planned.values, around.workspace, around.cwd, run.watch.policy.paths
    )
    return require_inputs(planned.manifest, found)


def _attempt(
    run: Run, planned: PlannedStep, inputs: dict[str, str], number: int
) -> tuple[AttemptSpec, Callable[[], float]]:
    """What to attempt, and its time limit as the policy has it at any moment."""
    manifest = planned.manifest

    def limit_s() -> float:
        return run.watch.policy.timeout_s(manifest.step, manifest.timeout_minutes)

    spec = AttemptSpec(
        run_id=run.run_id,
        step=manifest.step,
        attempt=number,
        agent_name=manifest.agent_name,
        title=manifest.title,
        module=manifest.module,
        folder_name=f"step{manifest.step}",
        parameters=planned.parameters,
        inputs=inputs,
        limit_s=limit_s(),
        grace_s=run.watch.policy.steps.kill_grace_s,
        conditions=manifest.success_conditions,
    )
    return spec, limit_s


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
