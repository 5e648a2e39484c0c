"""What a run sees while a step is on, and that a file which hangs stalls nothing."""

import threading
from pathlib import Path

import pytest

from agents.interrupts import Interrupts
from agents.watch import SLOW_S, Watch, Wishes
from agents.workspace import Workspace
from steps.contract import StepRequest
from steps.policies import LivePolicy, Policy, PolicyChange

QUIET = Wishes(None, None, own_policy=True)


class Counted(Interrupts):
    """Interrupts that a test makes."""

    said = 0

    @property
    def count(self):
        return self.said


class Told:
    """Who is told; remembers it."""

    def __init__(self):
        self.notes, self.warnings, self.snapshots = [], [], []

    def note(self, code, message):
        self.notes.append((code, message))

    def warn(self, message):
        self.warnings.append(message)

    def progress(self, progress):
        self.snapshots.append(progress)


class Files:
    """What a look reads; `hang` makes the next looks wait until `let_go`."""

    def __init__(self):
        self.wishes = QUIET
        self.looks = 0
        self._free = threading.Event()
        self._free.set()

    def hang(self):
        self._free.clear()

    def let_go(self):
        self._free.set()

    def __call__(self):
        self.looks += 1
        wishes = self.wishes
        assert self._free.wait(30)
        return wishes


class World:
    def __init__(self, root: Path):
        (root / "watcher_policies.json").write_text("{}")
        self.workspace = Workspace(root)
        self.now_s = 100.0
        self.told, self.files, self.counted = Told(), Files(), Counted()
        live = LivePolicy(self.workspace.policy_file)
        self.watch = Watch(
            self.workspace, live, self.counted, self.told, lambda: self.now_s, self.files
        )
        self.request = StepRequest(
            run_id="r",
            step=5,
            attempt=1,
            params={},
            inputs={},
            workspace=str(root),
            policy_path=str(self.workspace.policy_file),
            policy=None,
            out_dir=str(root),
        )

    def tick_at(self, now_s):
        self.now_s = now_s
        return self.watch.tick()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.files.let_go()


def changed(**steps):
    policy = Policy.model_validate({"steps": steps})
    return Wishes(PolicyChange(policy, changed=("a: 1 -> 2",)), None, own_policy=True)


def test_look_reads_what_is_there_now(world):
    assert world.watch.look() is None
    world.files.wishes = Wishes(None, "too hot", own_policy=True)
    assert world.watch.look() == "too hot"
    assert world.watch.tick() == "halt"
    assert [code for code, _ in world.told.notes] == ["halt"]


def test_tick_does_not_wait_for_a_file_that_hangs(world):
    world.files.hang()
    assert [world.tick_at(100 + 0.1 * i) for i in range(50)] == [None] * 50
    assert world.files.looks == 1


def test_policy_that_hangs_is_said_once_after_ten_seconds_and_the_last_one_counts(world):
    world.files.wishes = changed(kill_grace_s=3)
    world.watch.look()
    assert world.watch.policy.steps.kill_grace_s == 3
    world.files.hang()
    world.tick_at(200)
    world.tick_at(200 + SLOW_S - 0.1)
    assert world.told.warnings == []
    world.tick_at(200 + SLOW_S)
    world.tick_at(200 + 2 * SLOW_S)
    (warning,) = world.told.warnings
    assert "watcher_policies.json and watcher_halt.flag" in warning
    assert "have not answered for 10 s" in warning
    assert world.watch.policy.steps.kill_grace_s == 3


def test_file_that_answers_again_is_heeded_and_this_is_said(world):
    world.files.wishes = Wishes(None, "too hot", own_policy=True)
    world.files.hang()
    world.tick_at(200)
    world.tick_at(215)
    world.files.let_go()
    assert world.watch.look() == "too hot"
    assert ("slow_policy", True) in [(code, "answer again" in m) for code, m in world.told.notes]


def test_look_before_a_step_waits_for_a_bounded_time_only(world):
    world.files.wishes = Wishes(None, "too hot", own_policy=True)
    assert world.watch.look() == "too hot"
    world.files.hang()
    assert world.watch.look(limit_s=0.05) == "too hot"


def test_look_does_not_take_the_answer_to_an_older_question(world):
    world.files.hang()
    world.watch.tick()
    world.files.wishes = Wishes(None, "too hot", own_policy=True)
    threading.Timer(0.05, world.files.let_go).start()
    assert world.watch.look() == "too hot"
    assert world.files.looks == 2


@pytest.mark.parametrize("by", ["halt", "interrupt"])
def test_step_that_does_not_stop_when_asked_is_given_up_after_the_grace(world, by):
    world.watch.follow(world.request)
    world.files.wishes = changed(halt_grace_s=300)
    world.watch.look()
    if by == "halt":
        world.files.wishes = Wishes(None, "too hot", own_policy=True)
        world.watch.look()
    else:
        world.counted.said = 1
    assert world.tick_at(1000) == by
    assert world.tick_at(1299.9) == by
    assert world.tick_at(1300) == "give_up"
    assert world.tick_at(1301) == "give_up"
    said = [message for code, message in world.told.notes if code == "not_stopped"]
    assert len(said) == 1
    assert "did not stop within 5 min (steps.halt_grace_s)" in said[0]


def test_halt_that_is_taken_back_does_not_save_a_step_that_was_asked_and_is_deaf(world):
    world.watch.follow(world.request)
    world.files.wishes = Wishes(None, "too hot", own_policy=True)
    world.watch.look()
    assert world.tick_at(1000) == "halt"
    world.files.wishes = QUIET
    world.watch.look()
    assert world.tick_at(1001) is None
    assert world.tick_at(1300) == "give_up"


def test_next_attempt_has_its_own_grace(world):
    world.watch.follow(world.request)
    world.counted.said = 1
    assert world.tick_at(1000) == "interrupt"
    world.watch.follow(world.request)
    assert world.tick_at(1400) == "interrupt"


def test_second_interrupt_kills_whatever_is_read(world):
    world.files.hang()
    world.counted.said = 2
    assert world.watch.tick() == "kill"
