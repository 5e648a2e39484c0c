"""The command line of `watcher`: flags, help, and what goes with what."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import agents
from agents.errors import UsageError

_DESCRIPTION = """\
Run machine-learning pipelines unattended: numbered steps under time limits and a policy,
each attempt judged, retried or stopped, every decision kept. Step 5 trains and compares four
model families on one table and says honestly whether there is anything to predict.
"""

_EXAMPLES = """\
examples:
  A new folder, and a look at the machine:
    watcher --init my_workspace && cd my_workspace && watcher --doctor

  Compare four families on a table of your own, 20 trials each (first see what it would do):
    watcher --run-pipeline --start-step 5 --end-step 5 --dry-run \\
        --params '{"survivors": "housing.csv", "target": "price", "trials": 20}'
    (the same line without --dry-run does it)

  How far is it, how did it end (from another terminal too):
    watcher --status

  Score new rows with the winner:
    watcher --predict new_rows.csv --output predictions.csv

exit codes: 0 done; 1 a step failed; 2 usage, manifest or policy error; 10 halted or blocked by
policy; 12 no detectable signal, prediction refused; 124 time limit; 130 interrupted.
Results go to stdout, messages and progress to stderr.
"""

_COMMANDS = ("run_pipeline", "predict", "status", "doctor", "init")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `watcher --help` shows what there is")


def parse_flags(argv: Sequence[str]) -> argparse.Namespace:
    """Parse and check the command line; raises UsageError.

    `command` is one of run_pipeline, predict, status, doctor, init, or None for a bare `watcher`.
    """
    flags = _parser().parse_args(argv)
    given = [name for name in _COMMANDS if getattr(flags, name) not in (None, False)]
    if len(given) > 1:
        both = " and ".join(_flag(name) for name in given)
        raise UsageError(f"one thing at a time: got {both}")
    flags.command = given[0] if given else None
    running = flags.command == "run_pipeline"
    for name in ("start_step", "end_step", "params", "params_file", "dry_run"):
        if getattr(flags, name) not in (None, False) and not running:
            raise UsageError(f"{_flag(name)} goes with --run-pipeline")
    if flags.output is not None and flags.command != "predict":
        raise UsageError("--output goes with --predict")
    if flags.verbose and flags.quiet:
        raise UsageError("--verbose and --quiet: give one of them")
    if flags.command is None and flags.json:
        raise UsageError("--json needs a command; `watcher --help` shows what there is")
    return flags


def help_text() -> str:
    """What --help prints."""
    return _parser().format_help()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _folder(text: str) -> Path:
    if not text.strip():  # Path("") is the current folder, which nobody asked for
        raise argparse.ArgumentTypeError("must name a folder, got an empty text")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="watcher",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
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
    what.add_argument(
        "--doctor", action="store_true", help="could a run start here; what will run where"
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
    predict = parser.add_argument_group("with --predict")
    predict.add_argument(
        "--output",
        metavar="CSV",
        help="where the predictions go (default: predictions/TABLE.predictions.csv)",
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
