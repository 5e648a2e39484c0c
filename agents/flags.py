"""The command line of `watcher`: flags, help, and what goes with what."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import agents
from agents.errors import UsageError
from agents.flag_texts import DESCRIPTION, EXAMPLES

_COMMANDS = (
    "run_pipeline",
    "predict",
    "status",
    "history",
    "explain",
    "report",
    "evaluate",
    "doctor",
    "policies_check",
    "halt",
    "clear_halt",
    "approve",
    "reject",
    "skip_status",
    "skip_clear",
    "serve",
    "simulate",
    "init",
)
# What goes with what, one or the other; a daemon is a --run-pipeline that comes again.
_GOES_WITH = {
    "start_step": "run_pipeline",
    "end_step": "run_pipeline",
    "params": "run_pipeline or simulate",
    "params_file": "run_pipeline or simulate",
    "dry_run": "run_pipeline",
    "resume": "run_pipeline",
    "force": "run_pipeline or simulate",
    "force_step": "run_pipeline",
    "output": "predict",
    "limit": "history",
    "note": "approve or reject",
    "open": "report",
    "text": "report",
    "host": "serve",
    "port": "serve",
    "every": "daemon",
    "on_change": "daemon",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `watcher --help` shows what there is")


def parse_flags(argv: Sequence[str]) -> argparse.Namespace:
    """Parse and check the command line; raises UsageError.

    `command` is one of _COMMANDS, "daemon", or None for a bare `watcher`.
    """
    flags = _parser().parse_args(argv)
    if flags.daemon:
        flags.run_pipeline = True
    given = [name for name in _COMMANDS if _is_given(flags, name)]
    if len(given) > 1:
        both = " and ".join(_flag(name) for name in given)
        raise UsageError(f"one thing at a time: got {both}")
    flags.command = given[0] if given else None
    for name, command in _GOES_WITH.items():
        commands = command.split(" or ")
        is_on = flags.daemon if command == "daemon" else flags.command in commands
        if _is_given(flags, name) and not is_on:
            wanted = " or ".join(_flag(each) for each in commands)
            raise UsageError(f"{_flag(name)} goes with {wanted}")
    if flags.daemon:
        _check_daemon(flags)
        flags.command = "daemon"
    if _is_given(flags, "resume") and (
        _is_given(flags, "start_step") or _is_given(flags, "end_step")
    ):
        raise UsageError("--resume goes on with the steps of the stopped run: leave the range out")
    if flags.open and flags.text:
        raise UsageError("--open and --text: give one of them")
    if flags.verbose and flags.quiet:
        raise UsageError("--verbose and --quiet: give one of them")
    if flags.command is None and flags.json:
        raise UsageError("--json needs a command; `watcher --help` shows what there is")
    return flags


def _check_daemon(flags: argparse.Namespace) -> None:
    if flags.every is None and flags.on_change is None:
        raise UsageError("--daemon needs --every or --on-change, or both")
    for name in ("dry_run", "resume", "force", "force_step", "json"):
        if _is_given(flags, name):
            raise UsageError(f"{_flag(name)} does not go with --daemon")


def help_text() -> str:
    """What --help prints."""
    return _parser().format_help()


def _is_given(flags: argparse.Namespace, name: str) -> bool:
    value = getattr(flags, name)
    return value is not None and value is not False  # 0 is given, too


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _folder(text: str) -> Path:
    if not text.strip():  # Path("") is the current folder, which nobody asked for
        raise argparse.ArgumentTypeError("must name a folder, got an empty text")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="watcher",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="watcher COMMAND [options]",
        allow_abbrev=False,
        add_help=False,
    )
    what = parser.add_argument_group("commands (one of them)")
    what.add_argument("--run-pipeline", action="store_true", help="run the steps asked for")
    what.add_argument(
        "--predict", metavar="TABLE", help="score the rows of a table with the published winner"
    )
    what.add_argument("--status", action="store_true", help="what runs, or what ran last")
    what.add_argument("--history", action="store_true", help="the runs there were, newest first")
    what.add_argument(
        "--explain",
        metavar="RUN",
        help="why each step ran, was skipped, retried or stopped (RUN: an id, its start, or last)",
    )
    what.add_argument(
        "--report",
        metavar="RUN",
        nargs="?",
        const="last",
        help="write the report of a run's training as a page (RUN as above; default: last)",
    )
    what.add_argument(
        "--evaluate",
        metavar="FILE",
        type=Path,
        help="judge a result or diagnostics file; run nothing",
    )
    what.add_argument(
        "--doctor", action="store_true", help="could a run start here; what will run where"
    )
    what.add_argument(
        "--policies-check", action="store_true", help="check the policy file; show what is in force"
    )
    what.add_argument(
        "--halt",
        metavar="REASON",
        nargs="?",
        const="",
        help="stop what runs at its next safe point; start nothing",
    )
    what.add_argument("--clear-halt", action="store_true", help="take the halt back")
    what.add_argument(
        "--approve", metavar="RUN", help="let a run go on that waits for a person's approval"
    )
    what.add_argument(
        "--reject", metavar="RUN", help="refuse what a run waits for; the models in force stay"
    )
    what.add_argument(
        "--skip-status",
        action="store_true",
        help="which families are left out for critical results, and until when",
    )
    what.add_argument(
        "--skip-clear", metavar="FAMILY", help="forget a family's critical results; it may train"
    )
    what.add_argument(
        "--daemon",
        action="store_true",
        help="stay, and run the pipeline again and again (with --every, --on-change)",
    )
    what.add_argument(
        "--serve",
        action="store_true",
        help="stay, and show what runs, runs, reports and studies in the browser; changes nothing",
    )
    what.add_argument(
        "--simulate",
        metavar="FILE",
        help="make a draw history whose truth is known (--params: what to make)",
    )
    what.add_argument(
        "--init", metavar="DIR", type=_folder, help="lay out a workspace; keeps what is there"
    )
    run = parser.add_argument_group("with --run-pipeline")
    run.add_argument("--start-step", metavar="N", type=int, help="first step (default: the lowest)")
    run.add_argument("--end-step", metavar="N", type=int, help="last step (default: the highest)")
    run.add_argument(
        "--params", metavar="JSON", help="parameters, as one JSON object; over those of the file"
    )
    run.add_argument(
        "--params-file", metavar="FILE", type=Path, help="parameters from a .json, .yaml, .yml file"
    )
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="show each step, its inputs, and every parameter with its origin; start nothing",
    )
    run.add_argument(
        "--resume",
        metavar="RUN",
        nargs="?",
        const="last",
        help="go on where a run was stopped (RUN: an id or its start; default: the last run)",
    )
    run.add_argument(
        "--force",
        action="store_true",
        help="run every step, also what has not changed; with --simulate: replace FILE",
    )
    run.add_argument(
        "--force-step",
        metavar="N",
        type=int,
        action="append",
        help="run this step, also if nothing has changed (may be given again)",
    )
    daemon = parser.add_argument_group("with --daemon (and what goes with --run-pipeline)")
    daemon.add_argument("--every", metavar="TIME", help="how often: 90s, 30m, 6h, 1d")
    daemon.add_argument(
        "--on-change",
        metavar="FILE",
        type=Path,
        action="append",
        help="run when the content of a file is new (may be given again)",
    )
    predict = parser.add_argument_group("with --predict")
    predict.add_argument(
        "--output",
        metavar="CSV",
        help="where the predictions go (default: predictions/TABLE.predictions.csv)",
    )
    serve = parser.add_argument_group("with --serve")
    serve.add_argument(
        "--host",
        metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1; beyond this machine a token is asked for)",
    )
    serve.add_argument("--port", metavar="N", type=int, help="default: 8765; 0 takes a free one")
    look = parser.add_argument_group("with --history, --approve, --reject")
    look.add_argument("--limit", metavar="N", type=int, help="how many runs (default: 20)")
    look.add_argument("--note", metavar="TEXT", help="kept with the answer")
    report = parser.add_argument_group("with --report")
    report.add_argument("--open", action="store_true", help="open the page in a browser")
    report.add_argument(
        "--text",
        action="store_true",
        help="print a summary instead, as Markdown where it does not go to a terminal",
    )
    general = parser.add_argument_group("with any command")
    general.add_argument(
        "--workspace",
        metavar="DIR",
        type=_folder,
        default=Path(),
        help="the folder to work in (default: the current one)",
    )
    general.add_argument("--json", action="store_true", help="one JSON document on stdout")
    general.add_argument(
        "--verbose", action="store_true", help="show what the step prints, as it prints it"
    )
    general.add_argument("--quiet", action="store_true", help="no progress; only warnings")
    general.add_argument("--version", action="version", version=f"watcher {agents.__version__}")
    general.add_argument("--help", "-h", action="help", help="show this text")
    return parser
