"""What a turn of the daemon does with the run before it, and whom it tells when it cannot start."""

import json
import sqlite3
from contextlib import closing

import pytest

from agents.approvals import reject
from agents.commands.surroundings import local_now, manifest_reader, surroundings
from agents.daemon import turns as turns_module
from agents.daemon.ending import EndOnSignal
from agents.daemon.loop import NothingToDo
from agents.daemon.turns import Turns
from agents.errors import InputMissing
from agents.flags import parse_flags
from agents.parameters import given_params
from agents.plan import plan_steps
from agents.runner import Wishes
from agents.workspace import Workspace
from steps.contract import ExitCode

PACKAGES = ("steps", "fake_steps")
BOUNDS = {
    "act": {"type": "string", "default": "complete"},
    "trials": {"type": "integer", "min": 1, "max": 200, "default": 10},
    "api_key": {"type": "string", "nullable": True, "default": None},
}


@pytest.fixture
def turns(folder):
    """The turns of a daemon with these parameters."""

    def make(**params):
        arguments = ["--daemon", "--every", "1h", "--quiet", "--params", json.dumps(params)]
        flags = parse_flags(arguments)
        workspace = Workspace.open(folder.root)

        def plan(here):
            manifests = manifest_reader(workspace, PACKAGES)()
            given = given_params(flags.params, flags.params_file)
            return plan_steps(manifests, None, None, given, here.live.current), Wishes()

        return Turns(lambda: surroundings(flags, workspace), plan, EndOnSignal())

    return make


@pytest.fixture
def ask_before_starting(folder):
    folder.policy(approvals={"before_steps": [5]})


def lift_halt(folder):
    (folder.root / "watcher_halt.flag").unlink()


def set_state(folder, state):
    with closing(sqlite3.connect(folder.root / ".watcher" / "ledger.sqlite")) as db:
        db.execute("UPDATE runs SET state = ?", (state,))
        db.commit()


# Going on.


def test_halted_run_holds_the_daemon_and_is_gone_on_with_when_the_halt_is_gone(folder, turns):
    daemon = turns(act="halting_first")
    halted = daemon.run()
    assert halted.exit_code == ExitCode.HALTED
    assert "halted: watcher_halt.flag exists: the room is too hot" in daemon.held()
    lift_halt(folder)
    assert daemon.held() is None
    resumed = daemon.run()
    assert (resumed.run_id, resumed.exit_code) == (halted.run_id, ExitCode.DONE)
    assert resumed.steps[0].last.spec.attempt == 2


@pytest.mark.parametrize("state", ["interrupted", "running"])
def test_daemon_that_is_restarted_goes_on_with_what_was_on(folder, turns, state):
    first = turns(act="complete").run()
    set_state(folder, state)
    assert turns(act="complete").run().run_id == first.run_id


@pytest.mark.parametrize("state", ["failed", "complete"])
def test_run_that_failed_or_is_complete_is_not_gone_on_with(folder, turns, state):
    first = turns(act="complete").run()
    set_state(folder, state)
    assert turns(act="complete").run().run_id != first.run_id


def test_run_with_other_parameters_is_left_alone(folder, turns):
    halted = turns(act="halting_first").run()
    lift_halt(folder)
    assert turns(act="halting_first", trials=7).run().run_id != halted.run_id


def test_run_of_other_steps_is_left_alone(folder, turns):
    halted = turns(act="halting_first").run()
    lift_halt(folder)
    folder.manifest("second", step=6, agent_name="second", actions={}, outputs=[])
    assert turns(act="halting_first").run().run_id != halted.run_id


def test_run_with_a_secret_is_gone_on_with_and_gets_it_again(folder, turns):
    folder.manifest(parameter_bounds=BOUNDS, default_params={})
    halted = turns(act="halting_first", api_key="hunter22").run()
    lift_halt(folder)
    resumed = turns(act="halting_first", api_key="hunter22").run()
    assert resumed.run_id == halted.run_id
    values = {p.name: p.value for p in resumed.steps[0].last.spec.parameters}
    assert values["api_key"] == "hunter22"


# Questions.


@pytest.mark.usefixtures("ask_before_starting")
def test_question_that_nobody_has_answered_holds_the_daemon(folder, turns, watcher):
    daemon = turns(act="complete")
    waiting = daemon.run()
    assert waiting.exit_code == ExitCode.WAITING_FOR_APPROVAL
    assert f"`watcher --approve {waiting.run_id}` gives it" in daemon.held()
    assert watcher("--approve", waiting.run_id).code == ExitCode.DONE
    assert daemon.held() is None
    resumed = daemon.run()
    assert (resumed.run_id, resumed.exit_code) == (waiting.run_id, ExitCode.DONE)


@pytest.mark.usefixtures("ask_before_starting")
def test_question_of_a_run_with_other_parameters_holds_nothing(turns):
    turns(act="complete").run()
    assert turns(act="complete", trials=7).held() is None


@pytest.mark.usefixtures("ask_before_starting")
def test_question_that_the_policy_asks_no_longer_holds_nothing(folder, turns):
    daemon = turns(act="complete")
    waiting = daemon.run()
    folder.policy()
    assert daemon.held() is None
    resumed = daemon.run()
    assert (resumed.run_id, resumed.exit_code) == (waiting.run_id, ExitCode.DONE)


@pytest.mark.usefixtures("ask_before_starting")
def test_no_is_taken_until_the_next_turn(folder, turns):
    daemon = turns(act="complete")
    waiting = daemon.run()
    reject(Workspace.open(folder.root), waiting.run_id, "not today", local_now)
    assert daemon.held() is None
    with pytest.raises(NothingToDo, match=r"start step 5 \(acting\) was rejected"):
        daemon.run()
    asked_anew = daemon.run()
    assert asked_anew.run_id != waiting.run_id
    assert asked_anew.exit_code == ExitCode.WAITING_FOR_APPROVAL


def test_question_whether_to_try_again_holds_the_daemon(folder, turns, watcher):
    retries = {"max_per_step": 0, "max_per_run": 0, "backoff_s": 0, "when_used_up": "ask"}
    folder.policy(retries=retries)
    daemon = turns(act="fail")
    waiting = daemon.run()
    assert "try step 5 again" in daemon.held()
    assert watcher("--approve", waiting.run_id).code == ExitCode.DONE
    assert daemon.held() is None
    assert daemon.run().run_id == waiting.run_id


def test_models_that_wait_hold_the_daemon(folder, turns):
    folder.manifest("second", step=6, agent_name="second", actions={}, outputs=[])
    daemon = turns(act="awaiting")
    waiting = daemon.run()
    assert waiting.exit_code == ExitCode.WAITING_FOR_APPROVAL
    assert "publish models/.versions/new" in daemon.held()


# Nobody looks on.


@pytest.fixture
def told(monkeypatch):
    """The messages that people get."""
    messages = []

    class Remembering:
        def __init__(self, *_arguments, **_more):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def tell(self, message):
            messages.append(message)

    monkeypatch.setattr(turns_module, "Notifier", Remembering)
    return messages


def test_people_are_told_of_an_input_that_keeps_runs_from_starting(folder, turns, told):
    folder.manifest(inputs=[{"name": "table", "param": "table", "candidates": ["in.csv"]}])
    daemon = turns(act="complete")
    with pytest.raises(InputMissing) as fault:
        daemon.run()
    daemon.cannot_start(str(fault.value))
    (message,) = told
    assert message.about == "critical"
    assert message.subject == "watcher: no run could be started"
    assert "its input 'table'" in message.body
    assert "workspace: workspace" in message.body


def test_run_that_has_begun_tells_by_itself(turns, told):
    daemon = turns(act="complete")
    daemon.run()
    daemon.cannot_start("the disk is gone")
    assert told == []
