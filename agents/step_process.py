"""Run a step in its own process group: log kept, deadline held, and nothing left behind.

The deadline is on the monotonic clock and holds while the step is silent, hung or stopped. At the
end, however it came, no descendant of the step is alive.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from agents.descendants import Descendants
from agents.health import AskedTo, Ending
from agents.log_pump import LogPump
from agents.workspace import IMPORT_ROOT

TICK_S = 0.1
# steps.entry reads it; a test holds the two spellings together.
PARENT_PID_VARIABLE = "WATCHER_PARENT_PID"
_SETTLE_S = 1.0

# From a tick: leave it alone; ask it to stop at its safe point (halt, interrupt); kill the tree
# now, as a person wants it (kill), or since it did not stop when asked (give_up).
Order = Literal["halt", "interrupt", "kill", "give_up"] | None


@dataclass(frozen=True, slots=True)
class StepCommand:
    """What to start. grace_s: seconds between asking and killing; the log lies at log_path.

    secrets: texts that must not get into the log.
    """

    module: str
    request_path: Path
    log_path: Path
    cwd: Path
    grace_s: float
    log_limit_bytes: int = 50_000_000
    secrets: frozenset[str] = frozenset()


def run_step_process(
    command: StepCommand,
    environ: Mapping[str, str],
    tick: Callable[[], Order],
    limit_s: Callable[[], float],
    echo: IO[bytes] | None = None,
) -> Ending:
    """Start the step and stay until it and all its descendants have ended.

    tick: called about every TICK_S; "halt" and "interrupt" send SIGTERM to the step once, and wake
    it where it was stopped; "kill" and "give_up" kill the whole tree at once. limit_s: the time
    limit in seconds, asked again at every tick, since people may change it meanwhile. echo: gets
    the step's output too.
    """
    started = time.monotonic()
    limit = limit_s()
    with Descendants() as descendants:
        process = subprocess.Popen(
            [sys.executable, "-m", command.module, "--request", str(command.request_path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=command.cwd,
            env=child_environment(environ),
            process_group=0,
        )
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        try:
            pump = LogPump(
                process.stdout, command.log_path, command.log_limit_bytes, echo, command.secrets
            )
        except OSError:
            process.kill()
            process.communicate()
            raise
        asked_to: AskedTo | None = None
        timed_out = killed = False
        try:
            while not _ended(process, TICK_S):
                descendants.look()
                limit = limit_s()
                if time.monotonic() - started >= limit:
                    timed_out = True
                    killed = _stop_tree(process, descendants, command.grace_s, tick)
                    break
                order = tick()
                if order == "give_up":
                    killed = True
                    break
                if order == "kill":
                    killed, asked_to = True, "interrupt"
                    break
                if order is not None and asked_to is None:
                    # The step alone: its workers would die of it, and their trials with them.
                    process.send_signal(signal.SIGTERM)
                    _signal_group(process, signal.SIGCONT)  # what is stopped cannot obey
                asked_to = order or asked_to
        finally:
            # On an exception from tick() too: first end the tree, then let it rise.
            stragglers = _kill_tree(process, descendants)
            cut_bytes = pump.close()
    code = process.returncode
    return Ending(
        exit_code=code if code >= 0 else None,
        signal=signal_name(-code) if code < 0 else None,
        duration_s=time.monotonic() - started,
        limit_s=limit,
        timed_out=timed_out,
        asked_to=asked_to,
        killed=killed,
        log_cut_bytes=cut_bytes,
        stragglers=0 if killed or timed_out else stragglers,
    )


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a step: inherited, and able to import agents, steps and gpu."""
    child = dict(environ)
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if str(IMPORT_ROOT) not in installed:  # a checkout, which may not be installed
        child["PYTHONPATH"] = os.pathsep.join(
            part for part in (str(IMPORT_ROOT), environ.get("PYTHONPATH", "")) if part
        )
    # `-m` would look for modules in the workspace first: a json.py there must not be imported.
    child["PYTHONSAFEPATH"] = "1"
    child["PYTHONUNBUFFERED"] = "1"
    child["PYTHONFAULTHANDLER"] = "1"
    child[PARENT_PID_VARIABLE] = str(os.getpid())
    return child


def signal_name(number: int) -> str:
    """SIGSEGV for 11; "signal 77" where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _ended(process: subprocess.Popen[bytes], wait_s: float) -> bool:
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop_tree(
    process: subprocess.Popen[bytes],
    descendants: Descendants,
    grace_s: float,
    tick: Callable[[], Order],
) -> bool:
    """TERM to the group, then wait the grace. True: it had to be killed."""
    _signal_group(process, signal.SIGTERM)
    _signal_group(process, signal.SIGCONT)  # a stopped process takes no other signal but KILL
    give_up_at = time.monotonic() + grace_s
    while (left_s := give_up_at - time.monotonic()) > 0:
        if _ended(process, min(TICK_S, left_s)):
            return False
        descendants.look()
        if tick() in {"kill", "give_up"}:
            break
    return True


def _kill_tree(process: subprocess.Popen[bytes], descendants: Descendants) -> int:
    """Kill whatever is left of the step; returns how many descendants had outlived it."""
    if process.poll() is None:
        descendants.look()
        # The group's leader is not reaped yet, so its number cannot mean another group.
        _signal_group(process, signal.SIGKILL)
        process.wait()
    else:
        descendants.settle(_SETTLE_S)
    return descendants.kill()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
