"""Have a run's results copied to the trackers that the policy names, without being held up by them.

Each tracker gets a process of its own, all at once and with one time limit: a server that hangs, a
library that is missing or broken costs a sentence, and the heavy imports stay out of the watcher.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from agents.secrets import mask_text, secrets_in
from agents.step_process import TICK_S, child_environment, signal_name
from agents.trackers.orders import CopyOrder, Tracker
from agents.views.run_view import Level
from agents.workspace import Workspace
from steps.contract.diagnostics import FOLDER, HISTORY
from steps.policies.model import TrackingPolicy

LIMIT_S = 30.0
EVENTS_FOLDER = f"{FOLDER}/tensorboard"
_INSTALL = "pip install 'watcher-pipeline[{}]'"
_LONGEST_REASON = 300
_STDERR_BYTES = 1 << 14
# The process ends itself a little after the watcher should have ended it.
_ALARM_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of a copy, as it is noted. code: tracked or not_tracked."""

    code: str
    message: str
    level: Level


@dataclass(frozen=True, slots=True)
class _Copying:
    order: CopyOrder
    process: subprocess.Popen[bytes]
    said: IO[bytes]


def copy_results(
    workspace: Workspace,
    tracking: TrackingPolicy,
    run_id: str,
    environ: Mapping[str, str],
    *,
    stop: Callable[[], bool],
    limit_s: float = LIMIT_S,
) -> tuple[Copied, ...]:
    """Copy the diagnostics of a run; returns what is to be noted, nothing where no tracker is on.

    Stays limit_s seconds at most, and less once stop() is true. Raises nothing: what goes wrong is
    among what is returned.
    """
    orders = list(_orders(workspace, tracking, run_id, limit_s))
    if not orders:
        return ()
    source = Path(orders[0].diagnostics)
    try:
        missing = "" if source.is_file() else f"run {run_id} has left no {workspace.shown(source)}"
    except OSError as fault:
        missing = f"{workspace.shown(source)} cannot be looked at: {fault.strerror or fault}"
    if missing:
        return tuple(_failed(order, missing) for order in orders)
    give_up_at = time.monotonic() + limit_s
    outcomes: list[Copied] = []
    with contextlib.ExitStack() as stack:
        begun: list[_Copying] = []
        for order in orders:
            try:
                said = stack.enter_context(tempfile.TemporaryFile())
                process = _start(order, workspace.root, environ, said)
            except OSError as fault:
                outcomes.append(_failed(order, f"it cannot be started: {fault}"))
                continue
            stack.callback(_end, process)
            begun.append(_Copying(order, process, said))
        outcomes += [_outcome(copying, give_up_at, stop, limit_s) for copying in begun]
    return tuple(outcomes)


def _orders(
    workspace: Workspace, tracking: TrackingPolicy, run_id: str, limit_s: float
) -> Iterator[CopyOrder]:
    targets: dict[Tracker, str] = {}
    if tracking.tensorboard:
        targets["tensorboard"] = str(workspace.root / EVENTS_FOLDER)
    if tracking.mlflow_uri:
        targets["mlflow"] = tracking.mlflow_uri
    for tracker, target in targets.items():
        yield CopyOrder(
            tracker=tracker,
            diagnostics=str(workspace.root / FOLDER / HISTORY / f"{run_id}.json"),
            target=target,
            experiment=f"watcher/{workspace.root.name}",
            limit_s=limit_s + _ALARM_AFTER_S,
        )


def _start(
    order: CopyOrder, cwd: Path, environ: Mapping[str, str], said: IO[bytes]
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.trackers"],
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        cwd=cwd,  # an address such as ./mlruns is of the workspace
        env=child_environment(environ),
        process_group=0,  # Ctrl-C is the watcher's to heed
    )
    assert process.stdin is not None  # noqa: S101 - PIPE was asked for
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(order.model_dump_json().encode())
    return process


def _outcome(
    copying: _Copying, give_up_at: float, stop: Callable[[], bool], limit_s: float
) -> Copied:
    """Wait for the process; what it came to."""
    process = copying.process
    while process.poll() is None:
        if stop():
            return _failed(copying.order, "interrupted")
        left_s = give_up_at - time.monotonic()
        if left_s <= 0:
            return _failed(copying.order, f"it was not done within {limit_s:g} s")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(min(TICK_S, left_s))
    if process.returncode == 0:
        where = _shown_target(copying.order)
        return Copied("tracked", f"the results were copied to {where}", "info")
    return _failed(copying.order, _reason(copying))


def _end(process: subprocess.Popen[bytes]) -> None:
    # The group's leader is not reaped while it runs, so its number cannot mean another group.
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _reason(copying: _Copying) -> str:
    """Why it failed: the last line that it said."""
    code = copying.process.returncode
    if code < 0:
        return f"it was ended by {signal_name(-code)}"
    copying.said.seek(0, os.SEEK_END)
    copying.said.seek(max(0, copying.said.tell() - _STDERR_BYTES))
    lines = copying.said.read().decode("utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    tracker = copying.order.tracker
    if last == f"ModuleNotFoundError: No module named '{tracker}'":
        return f"{tracker} is not installed: {_INSTALL.format(tracker)}"
    return last or f"it ended with code {code}"


def _failed(order: CopyOrder, reason: str) -> Copied:
    # Masked before it is cut: half a secret no longer looks like one.
    said = mask_text(reason, _secrets(order.target))
    said = said if len(said) <= _LONGEST_REASON else said[: _LONGEST_REASON - 4] + " ..."
    where = _shown_target(order)
    return Copied("not_tracked", f"the results were not copied to {where}: {said}", "warning")


def _shown_target(order: CopyOrder) -> str:
    if order.tracker == "tensorboard":
        return f"{EVENTS_FOLDER}/"
    return f"MLflow at {mask_text(order.target, _secrets(order.target))}"


def _secrets(target: str) -> Collection[str]:
    """What of an address nobody may see: also a token that stands alone before the @."""
    secrets = set(secrets_in({"target": target}))
    host = re.split(r"[/?#]", target.partition("://")[2], maxsplit=1)[0]
    user, _, password = host.rpartition("@")[0].partition(":")
    token = user if not password else ""
    return secrets | {text for text in (token, unquote(token), unquote(password)) if len(text) >= 4}
