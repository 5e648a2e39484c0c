"""The step's process: what it is told, when it is killed, and that its time limit holds."""

import os
import textwrap
import time

import pytest

from agents.step_process import StepCommand, run_step_process

# Says that it is there, then does as a test wants.
HEAD = """
import os, signal, sys, time
from pathlib import Path
here = Path(sys.argv[2]).parent

def leave(*_):
    sys.exit(7)

def ready():
    (here / "ready").touch()
"""
POLITE_BUT_STOPPED = (
    "signal.signal(signal.SIGTERM, leave); ready(); os.kill(os.getpid(), 19); time.sleep(60)"
)
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); time.sleep(60)"
ASKED_LEAVES = "signal.signal(signal.SIGTERM, leave); ready(); time.sleep(60)"


@pytest.fixture
def run_step(tmp_path):
    """Run a step that is these lines of Python; `tick` is asked once the step is ready.

    limit_s: from then on, too, for a machine under load takes its time to start a process.
    """

    def run(lines, tick=lambda: None, limit_s=30.0, grace_s=5.0):
        (tmp_path / "told_step.py").write_text(textwrap.dedent(HEAD) + lines)
        command = StepCommand(
            module="told_step",
            request_path=tmp_path / "request.json",
            log_path=tmp_path / "log.txt",
            cwd=tmp_path,
            grace_s=grace_s,
        )
        environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
        ready = tmp_path / "ready"
        limits = []

        def limit():
            if ready.exists() and not limits:
                limits.append(time.monotonic() - started + limit_s)
            return limits[0] if limits else 60.0

        started = time.monotonic()
        return run_step_process(command, environ, lambda: tick() if ready.exists() else None, limit)

    return run


def orders(*said):
    """A tick that gives one order after the other; the last one stays."""
    left = list(said)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_time_limit_of_a_stopped_step_is_met_within_a_second(run_step):
    ending = run_step(POLITE_BUT_STOPPED, limit_s=0.5)
    assert ending.timed_out
    assert 0.0 <= ending.duration_s - ending.limit_s < 1.0
    # It was woken, so that it could stop in good order.
    assert (ending.exit_code, ending.killed) == (7, False)


def test_time_limit_of_a_deaf_step_ends_with_the_grace(run_step):
    ending = run_step(DEAF, limit_s=0.5, grace_s=0.3)
    assert ending.killed
    assert 0.3 <= ending.duration_s - ending.limit_s < 1.3


@pytest.mark.parametrize("order", ["halt", "interrupt"])
def test_stopped_step_is_woken_to_hear_that_it_must_stop(run_step, order):
    ending = run_step(POLITE_BUT_STOPPED, orders(order))
    assert (ending.exit_code, ending.asked_to, ending.killed) == (7, order, False)


@pytest.mark.parametrize("order", ["halt", "interrupt"])
def test_deaf_step_is_killed_when_given_up_and_it_is_known_what_it_was_asked(run_step, order):
    ending = run_step(DEAF, orders(order, None, "give_up"))
    assert (ending.signal, ending.asked_to, ending.killed) == ("SIGKILL", order, True)
    assert not ending.timed_out


def test_giving_up_cuts_the_grace_after_the_time_limit_short(run_step):
    ending = run_step(DEAF, orders(*["halt"] * 20, "give_up"), limit_s=1.0, grace_s=30.0)
    assert ending.timed_out
    assert ending.asked_to == "halt"
    assert ending.duration_s < 10


def test_kill_after_a_halt_is_an_interrupt(run_step):
    ending = run_step(DEAF, orders("halt", "kill"))
    assert (ending.signal, ending.asked_to) == ("SIGKILL", "interrupt")


def test_step_is_asked_once(run_step):
    ending = run_step(ASKED_LEAVES, orders("halt"))
    assert (ending.exit_code, ending.asked_to) == (7, "halt")
