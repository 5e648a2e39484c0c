"""The `watcher` command: flags in, one answer out, an exit code."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from agents.documents import run_document, status_document
from agents.errors import WatcherError
from agents.flags import help_text, parse_flags
from agents.manifests import STEP_PACKAGES, Manifest, load_manifests
from agents.plan import Plan, plan_steps
from agents.runner import Surroundings, run_pipeline
from agents.views.run_view import PlainView, QuietView, RunView, say
from agents.views.screen import message_console, render
from agents.workspace import Workspace
from steps.contract import ExitCode
from steps.policies import LivePolicy, Policy, PolicyError, load_policy


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found: for programs (document), for people (show), for the shell."""

    exit_code: ExitCode
    document: dict[str, Any]
    show: Callable[[Console], None]


def main(argv: Sequence[str] | None = None, packages: Sequence[str] = STEP_PACKAGES) -> int:
    """Run the command; returns its exit code.

    packages: top packages whose modules a manifest may name.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _make_streams_safe()
    as_json = "--json" in arguments
    try:
        flags = parse_flags(arguments)
        if flags.command is None:
            _write(help_text())
            return ExitCode.USAGE
        answer = _COMMANDS[flags.command](flags, packages)
    except SystemExit:  # --help and --version: argparse has printed them
        _write("")
        return ExitCode.DONE
    except (WatcherError, PolicyError, OSError) as error:
        code = error.exit_code if isinstance(error, WatcherError) else _code_of(error)
        return _report_error(str(error), code, as_json)
    except KeyboardInterrupt:
        return _report_error("interrupted", ExitCode.INTERRUPTED, as_json)
    _write(_as_json(answer.document) if as_json else render(answer.show))
    return answer.exit_code


def _run_pipeline(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    from agents.parameters import given_params
    from agents.views.result import show_run

    workspace = Workspace.open(flags.workspace)
    given = given_params(flags.params, flags.params_file)
    around = _surroundings(flags, workspace)
    policy = around.live.current
    manifests = load_manifests(workspace.manifests_folder, packages)
    plan = plan_steps(manifests, flags.start_step, flags.end_step, given, policy)
    if flags.dry_run:
        return _dry_run(plan, workspace, policy)
    report = run_pipeline(plan, around)
    return Answer(
        report.exit_code,
        run_document(report, workspace),
        lambda console: show_run(console, report, workspace),
    )


def _dry_run(plan: Plan, workspace: Workspace, policy: Policy) -> Answer:
    from agents.inputs import find_inputs
    from agents.obstacles import obstacles
    from agents.views.dry_run import plan_document, show_plan

    found = [find_inputs(step.manifest, step.values, workspace, Path.cwd()) for step in plan.steps]
    problems = obstacles(plan, workspace, policy, Path.cwd())
    worst = problems[0].exit_code if problems else ExitCode.DONE
    sentences = [str(problem) for problem in problems]
    document = {"status": "cannot_start" if problems else "ok", "exit_code": int(worst)}
    return Answer(
        worst,
        document | plan_document(plan, found, sentences),
        lambda console: show_plan(console, plan, found, sentences),
    )


def _predict(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    from agents.predict import run_predict
    from agents.views.result import show_run

    workspace = Workspace.open(flags.workspace)
    manifests = load_manifests(workspace.manifests_folder, packages)
    around = _surroundings(flags, workspace)
    report = run_predict(flags.predict, flags.output, manifests, around)
    return Answer(
        report.exit_code,
        run_document(report, workspace),
        lambda console: show_run(console, report, workspace),
    )


def _status(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    from agents.status import gather_status
    from agents.views.status_view import show_status

    workspace = Workspace.open(flags.workspace)
    status = gather_status(
        workspace,
        lambda: load_policy(workspace.policy_file),
        _manifest_reader(workspace, packages),
        _now,
    )
    return Answer(
        ExitCode.DONE, status_document(status), lambda console: show_status(console, status)
    )


def _doctor(flags: argparse.Namespace, packages: Sequence[str]) -> Answer:
    from agents.doctor import examine
    from agents.views.doctor_view import show_examination

    workspace = Workspace.open(flags.workspace)
    found = examine(
        workspace,
        lambda: load_policy(workspace.policy_file),
        _manifest_reader(workspace, packages),
        os.environ,
    )
    code = ExitCode.STEP_FAILED if found.reasons else ExitCode.DONE
    document = {"status": "cannot_start" if found.reasons else "ok", "exit_code": int(code)}
    document |= asdict(found) | {
        "holder": found.holder.model_dump(mode="json") if found.holder else None
    }
    return Answer(code, document, lambda console: show_examination(console, found))


def _init(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    from agents.init import lay_out
    from agents.views.init_view import show_laid_out

    laid_out = lay_out(flags.init)
    document = {
        "status": "ok",
        "exit_code": int(ExitCode.DONE),
        "workspace": str(laid_out.folder),
        "created": list(laid_out.created),
        "kept": list(laid_out.kept),
    }
    return Answer(ExitCode.DONE, document, lambda console: show_laid_out(console, laid_out))


_COMMANDS: dict[str, Callable[[argparse.Namespace, Sequence[str]], Answer]] = {
    "run_pipeline": _run_pipeline,
    "predict": _predict,
    "status": _status,
    "doctor": _doctor,
    "init": _init,
}


def _surroundings(flags: argparse.Namespace, workspace: Workspace) -> Surroundings:
    # One path for the whole run: a policy that appears or vanishes must not swap it half-way.
    policy_path = workspace.policy_file
    return Surroundings(
        workspace=workspace,
        policy_path=policy_path,
        live=LivePolicy(policy_path),
        view=_view(flags),
        cwd=Path.cwd(),
        environ=dict(os.environ),
        now=_now,
        echo=sys.stderr.buffer if flags.verbose else None,
    )


def _view(flags: argparse.Namespace) -> RunView:
    console = message_console()
    if flags.quiet:
        return QuietView(console)
    # The panel and the step's own lines would fight for the same screen.
    if flags.verbose or not console.is_terminal or console.is_dumb_terminal:
        return PlainView(console)
    from agents.views.live import LiveView

    return LiveView(console)


def _manifest_reader(
    workspace: Workspace, packages: Sequence[str]
) -> Callable[[], tuple[Manifest, ...]]:
    return lambda: load_manifests(workspace.manifests_folder, packages)


def _report_error(message: str, code: ExitCode, as_json: bool) -> int:
    with contextlib.suppress(OSError):
        say(message_console(), message, "critical")
    if as_json:
        _write(_as_json({"status": "error", "exit_code": int(code), "message": message}))
    return code


def _code_of(error: Exception) -> ExitCode:
    return ExitCode.USAGE if isinstance(error, PolicyError) else ExitCode.STEP_FAILED


def _as_json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"


def _write(text: str) -> None:
    """Write the answer; a reader that has gone (`| head -1`) is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _make_streams_safe() -> None:
    """A stream that is closed, or cannot say a character, must not end a run."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _now() -> datetime:
    return datetime.now().astimezone()
