"""The command that makes a draw history whose truth is known: --simulate."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from agents.answer import Answer
from agents.errors import UsageError, WatcherError
from agents.parameters import given_params
from agents.step_process import child_environment
from agents.workspace import expanded
from steps.contract import ExitCode

# Generators are the steps' business: started, never imported.
_MODULE = "steps.prng.simulate"
_EXAMPLE = """--params '{"generator": "java", "count": 600}'"""


def simulate(flags: argparse.Namespace, _packages: Sequence[str]) -> Answer:
    """Write FILE and FILE.truth.json; a relative FILE is where the shell would put it.

    Raises UsageError for a scenario or a name that cannot be, WatcherError for any other fault.
    """
    if flags.params is None and flags.params_file is None:
        raise UsageError(f"--simulate needs --params or --params-file, for example {_EXAMPLE}")
    scenario = given_params(flags.params, flags.params_file).values
    path = Path.cwd() / expanded(flags.simulate)
    document = _made(path, scenario, force=flags.force)
    return Answer(ExitCode.DONE, document, lambda console: _show(console, document))


def _made(path: Path, scenario: dict[str, Any], *, force: bool) -> dict[str, Any]:
    """The module's answer."""
    command = [sys.executable, "-m", _MODULE, "--scenario", "-", "--json"]
    command += ["--force"] if force else []
    done = subprocess.run(
        [*command, "--", str(path)],
        # Not in the arguments: a seed is for nobody's list of processes.
        input=json.dumps(scenario, default=str),
        env=child_environment(os.environ),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise WatcherError(
            f"--simulate: {_MODULE} broke off with exit code {done.returncode}: {said[-1]}"
        ) from None
    if done.returncode == ExitCode.DONE:
        return document
    kind = UsageError if done.returncode == ExitCode.USAGE else WatcherError
    raise kind(f"--simulate: {document['message']}")


def _show(console: Console, made: dict[str, Any]) -> None:
    console.print(Text(f"A draw history: {made['made']}."))
    console.print(Text(f"  history  {made['file']} ({made['rows']:,} rows)"), soft_wrap=True)
    console.print(Text(f"  truth    {made['truth']}"), soft_wrap=True)
    seed = "the secret seed, " if made["secret_seed"] else ""
    console.print(f"           ({seed}what went wrong, and the next {made['next_draws']} draws)")
