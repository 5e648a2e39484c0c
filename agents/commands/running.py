"""--run-pipeline, --daemon and --predict."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from agents.answer import Answer
from agents.commands.surroundings import manifest_reader, surroundings
from agents.errors import UsageError
from agents.inputs import FoundInput
from agents.ledger import Ledger
from agents.parameters import given_params
from agents.plan import Plan, PlannedStep, plan_steps
from agents.reports.documents import run_document
from agents.reports.masking import masked_report
from agents.resume import find_resumable
from agents.run import RunReport, Surroundings
from agents.runner import Wishes, run_pipeline
from agents.secrets import mask_text
from agents.workspace import Workspace
from steps.contract import ExitCode


def run(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    """Run the steps asked for, or go on with the run that was stopped."""
    workspace = Workspace.open(flags.workspace)
    around = surroundings(flags, workspace)
    plan, wishes = _plan(flags, packages, around)
    if flags.dry_run:
        return _dry_run(plan, around, wishes)
    return _run_answer(run_pipeline(plan, around, wishes), workspace)


def predict(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    """Score the rows of a table with the published winner."""
    from agents.predict import run_predict

    workspace = Workspace.open(flags.workspace)
    around = surroundings(flags, workspace)
    report = run_predict(
        flags.predict, flags.output, manifest_reader(workspace, packages)(), around
    )
    return _run_answer(report, workspace)


def daemon(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    """Stay, and run the pipeline again and again."""
    from agents.daemon.ending import EndOnSignal
    from agents.daemon.loop import Daemon
    from agents.daemon.schedule import jitters, parse_every
    from agents.daemon.turns import Turns
    from agents.daemon.watched_files import WatchedFile, WatchedFiles, watched_path

    workspace = Workspace.open(flags.workspace)
    around = surroundings(flags, workspace)
    every_s = parse_every(flags.every) if flags.every is not None else None
    files = [
        WatchedFile(watched_path(file, workspace.root, around.cwd))
        for file in flags.on_change or ()
    ]
    ending = EndOnSignal()
    had_own = around.policy_path == workspace.own_policy_file
    turns = Turns(
        lambda: surroundings(flags, workspace, had_own=had_own),
        lambda here: _plan(flags, packages, here),
        ending,
    )
    with ending:
        report = Daemon(
            lambda: masked_report(turns.run()),
            turns.held,
            around.view.say,
            every_s=every_s,
            jitter=jitters(workspace.root, every_s or 0.0),
            changes=WatchedFiles(files, around.view.say) if files else None,
            asked=ending.exit_code,
            cannot_start=turns.cannot_start,
        ).work()
    said = f"The daemon has ended: {report.turns} runs tried, {report.failed} came to grief."
    document = {
        "status": "ended",
        "exit_code": int(report.exit_code),
        "turns": report.turns,
        "failed": report.failed,
    }
    return Answer(report.exit_code, document, lambda console: console.print(said))


def _plan(
    flags: argparse.Namespace, packages: Sequence[str], around: Surroundings
) -> tuple[Plan, Wishes]:
    given = given_params(flags.params, flags.params_file)
    start, end = flags.start_step, flags.end_step
    resumption = None
    if flags.resume is not None:
        resumption = find_resumable(around.workspace, around.now, flags.resume)
        resumption = resumption.with_given(given)
        given = resumption.given
        start, end = resumption.start, resumption.end
    manifests = manifest_reader(around.workspace, packages)()
    plan = plan_steps(manifests, start, end, given, around.live.current)
    _refuse_to_force_others(flags.force_step or (), plan)
    return plan, Wishes(
        force=flags.force,
        force_steps=frozenset(flags.force_step or ()),
        resumption=resumption,
    )


def _refuse_to_force_others(forced: Sequence[int], plan: Plan) -> None:
    planned = [step.manifest.step for step in plan.steps]
    for step in forced:
        if step not in planned:
            have = ", ".join(map(str, planned))
            raise UsageError(f"--force-step must be a step of this run: {have}; got {step}")


def _dry_run(plan: Plan, around: Surroundings, wishes: Wishes) -> Answer:
    from agents.inputs import find_inputs
    from agents.obstacles import obstacles
    from agents.views.dry_run import plan_document, show_plan

    policy = around.live.current
    found = [
        find_inputs(step.manifest, step.values, around.workspace, around.cwd, policy.paths)
        for step in plan.steps
    ]
    would = [
        _would(step, inputs, around, wishes) for step, inputs in zip(plan.steps, found, strict=True)
    ]
    problems = obstacles(plan, around.workspace, policy, around.cwd)
    worst = problems[0].exit_code if problems else ExitCode.DONE
    sentences = [mask_text(str(problem)) for problem in problems]
    document = {"status": "cannot_start" if problems else "ok", "exit_code": int(worst)}
    return Answer(
        worst,
        document | plan_document(plan, found, would, sentences),
        lambda console: show_plan(console, plan, found, would, sentences),
    )


def _would(
    step: PlannedStep, found: Sequence[FoundInput], around: Surroundings, wishes: Wishes
) -> str:
    """Whether a run would run the step or skip it, and why; changes nothing on the disk."""
    from agents.recall.fingerprints import CACHE_FILE, Fingerprints
    from agents.recall.recall import depended_on
    from agents.recall.step_facts import ask_freshness

    ledger_file = around.workspace.ledger_file
    missing = [item.spec.name for item in found if item.path is None and item.spec.required]
    if missing or not ledger_file.exists():
        return "run"
    with Ledger.read(ledger_file, around.now) as ledger:
        last = ledger.last_success(step.manifest.step)
    cache = around.workspace.state_folder / CACHE_FILE
    _, freshness = ask_freshness(
        step.manifest,
        depended_on(step, around.live.current),
        {item.spec.name: str(item.path) for item in found if item.path is not None},
        last,
        around.workspace,
        Fingerprints(cache, note=around.view.say, keep=False),
        forced=wishes.forced(step.manifest.step),
    )
    return f"{'run' if freshness.run else 'be skipped'}: {freshness.sentence}"


def _run_answer(report: RunReport, workspace: Workspace) -> Answer:
    from agents.views.result import show_run

    told = masked_report(report)
    return Answer(
        told.exit_code,
        run_document(told, workspace),
        lambda console: show_run(console, told, workspace),
    )
