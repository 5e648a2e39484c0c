"""Hand a trained step's results on: the page that people read, and the trackers. Costs a sentence.

Nothing here can fail a run or change what was decided. Both are done by processes of their own,
with a time limit, so their libraries and their faults stay out of the watcher.
"""

from __future__ import annotations

import json
import subprocess
import sys

from agents.attempt import Attempted
from agents.run import Run
from agents.step_process import child_environment
from agents.trackers.copying import copy_results
from steps.contract.diagnostics import FOLDER, HISTORY

REPORT_LIMIT_S = 60.0


def hand_on(run: Run, attempted: Attempted) -> None:
    """Write the report of what an attempt has trained, and copy its results where people asked."""
    result = attempted.result
    if result is None or not result.families or result.status not in {"complete", "no_signal"}:
        return
    # Where a step must leave diagnostics, its manifest's success conditions see to it.
    history = run.around.workspace.root / FOLDER / HISTORY
    if (history / f"{run.run_id}.json").is_file():
        fault = _write_report(run)
        if fault is not None:
            run.note("no_report", f"the report was not written: {fault}; try watcher --report")
    for copied in copy_results(
        run.around.workspace,
        run.watch.policy.tracking,
        run.run_id,
        run.around.environ,
        stop=lambda: run.watch.interrupted,
    ):
        run.note(copied.code, copied.message, copied.level)


def _write_report(run: Run) -> str | None:
    """What went wrong, in one line; None if the page is there."""
    command = [sys.executable, "-m", "agents", "--report", run.run_id]
    command += ["--workspace", str(run.around.workspace.root), "--json"]
    try:
        done = subprocess.run(
            command,
            env=child_environment(run.around.environ),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=REPORT_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took over {REPORT_LIMIT_S:.0f} s"
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    return _reason(done.stdout) or f"exit code {done.returncode}, without a reason"


def _reason(answer: str) -> str | None:
    """The message of the command's JSON answer."""
    try:
        message = json.loads(answer)["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return " ".join(str(message).split())[:300]
