"""The daemon: when it starts a run, what it sits through, and what ends it."""

import itertools
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.daemon import loop as daemon_module
from agents.daemon.ending import Asked, EndOnSignal
from agents.daemon.loop import Daemon
from agents.daemon.schedule import jitters, next_start, parse_every
from agents.daemon.watched_files import WatchedFile, WatchedFiles, watched_path
from agents.errors import Halted, InputMissing, ManifestError, UsageError, WorkspaceBusy
from steps.contract import ExitCode
from steps.policies import PolicyError

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Run:
    exit_code: ExitCode = ExitCode.DONE
    run_id: str = "r"
    message: str = "it ended"
    took_s: float = 1.0


class World:
    """A clock that only sleeping and running move; SIGTERM comes at `until_s`."""

    def __init__(self, until_s, *turns, at=()):
        self.now_s = 0.0
        self.until_s = until_s
        self.turns = iter(turns)
        self.at = sorted(at, key=lambda item: item[0])
        self.starts = []
        self.said = []
        self.halt = None
        self.asked = None
        self.told = []

    def clock(self):
        return self.now_s

    def sleep(self, seconds):
        assert seconds >= 0
        goal_s = self.now_s + seconds
        while self.at and self.at[0][0] <= goal_s:
            when_s, happen = self.at.pop(0)
            self.now_s = max(self.now_s, when_s)
            happen()
        if goal_s >= self.until_s:
            self.now_s = self.until_s
            raise Asked(ExitCode.DONE)
        self.now_s = goal_s

    def run(self):
        self.starts.append(self.now_s)
        turn = next(self.turns, Run())
        if isinstance(turn, Exception):
            raise turn
        self.now_s += turn.took_s
        return turn

    def set_halt(self, reason):
        self.halt = reason

    def work(self, every_s=None, changes=None):
        return Daemon(
            self.run,
            lambda: f"halted: {self.halt}; nothing starts" if self.halt else None,
            lambda message, _level: self.said.append(message),
            every_s=every_s,
            jitter=itertools.repeat(0.0),
            changes=changes,
            asked=lambda: self.asked,
            cannot_start=self.told.append,
            clock=self.clock,
            sleep=self.sleep,
        ).work()

    def heard(self, text):
        return [message for message in self.said if text in message]


# The schedule.


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("6h", 21600), ("1d", 86400), (" 1.5m ", 90)]
)
def test_interval_is_a_number_with_a_unit(text, seconds):
    assert parse_every(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30 m", "1h30m", "-5m", "1e3s", "٣m", "nan s"])
def test_interval_that_cannot_be_read_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="such as 30m"):
        parse_every(text)


@pytest.mark.parametrize("text", ["9s", "0m", "367d"])
def test_interval_out_of_bounds_is_refused(text):
    with pytest.raises(UsageError, match=r"must be 10s\.\.366d, got"):
        parse_every(text)


def test_next_start_is_an_interval_and_the_jitter_after_the_last():
    assert next_start(100, 60, 5, 130) == 165


def test_missed_starts_are_not_made_up_for():
    assert next_start(100, 60, 5, 1000) == 1000


@pytest.mark.parametrize(("every_s", "most_s"), [(100, 10), (86400, 300)])
def test_jitter_is_a_tenth_and_five_minutes_at_most(every_s, most_s):
    drawn = list(itertools.islice(jitters(Path("/a"), every_s), 1000))
    assert min(drawn) >= 0
    assert most_s * 0.9 < max(drawn) <= most_s


def test_jitter_is_the_workspaces_own():
    first, again, other = (next(jitters(Path(name), 1000)) for name in ("/a", "/a", "/b"))
    assert first == again != other


# The loop by time.


def test_first_run_is_at_once_then_one_an_interval():
    world = World(250)
    report = world.work(every_s=100)
    assert world.starts == [0, 100, 200]
    assert (report.exit_code, report.turns, report.failed) == (ExitCode.DONE, 3, 0)


def test_run_longer_than_the_interval_delays_the_next_and_this_is_said_once():
    world = World(800, Run(took_s=250), Run(took_s=250), Run(took_s=10))
    world.work(every_s=100)
    assert world.starts == [0, 250, 500, 600, 700]
    assert len(world.heard("longer than the 1 min 40 s between starts")) == 1


def test_failed_run_does_not_end_the_daemon():
    world = World(150, Run(ExitCode.STEP_FAILED, message="step 5 failed"))
    report = world.work(every_s=100)
    assert (report.turns, report.failed) == (2, 1)
    assert world.heard("ended with 1: step 5 failed; the next run starts in 1 min 39 s")


@pytest.mark.parametrize(
    "fault", [UsageError("no step 9"), ManifestError("m.json: bad"), PolicyError("policy: bad")]
)
def test_fault_of_the_command_line_ends_it_at_the_start(fault):
    with pytest.raises(type(fault)):
        World(150, fault).work(every_s=100)


def test_fault_of_the_policy_later_on_is_said_and_sat_through():
    world = World(250, Run(), PolicyError("policy: bad"))
    assert world.work(every_s=100).exit_code == ExitCode.DONE
    assert world.starts == [0, 100, 200]
    assert len(world.heard("policy: bad")) == 1


def test_busy_workspace_is_tried_again_at_the_next_turn_and_said_once():
    busy = WorkspaceBusy("another watcher works in /w")
    world = World(350, busy, busy, Run())
    world.work(every_s=100)
    assert world.starts == [0, 100, 200, 300]
    assert len(world.heard("another watcher works in /w")) == 1


def test_missing_input_at_the_start_is_waited_for():
    world = World(150, InputMissing("no table"))
    world.work(every_s=100)
    assert world.starts == [0, 100]
    assert world.heard("no table; the next run starts in 1 min 40 s")


def test_ctrl_c_during_a_run_ends_the_daemon_with_130():
    world = World(1000, Run(), Run(ExitCode.INTERRUPTED))
    report = world.work(every_s=100)
    assert (report.exit_code, report.turns) == (ExitCode.INTERRUPTED, 2)
    assert world.now_s < 150


@pytest.mark.parametrize("ended", [ExitCode.DONE, ExitCode.INTERRUPTED, ExitCode.STEP_FAILED])
def test_sigterm_during_a_run_ends_the_daemon_with_0_however_the_run_ends(ended):
    world = World(1000, Run(), Run(ended))
    run = world.run

    def signalled():
        ended_run = run()
        world.asked = ExitCode.DONE if len(world.starts) == 2 else None
        return ended_run

    world.run = signalled
    report = world.work(every_s=100)
    assert (report.exit_code, report.turns) == (ExitCode.DONE, 2)
    assert not [said for said in world.said[-1:] if "next run starts" in said]


def test_sigterm_during_a_turn_that_comes_to_nothing_ends_the_daemon():
    world = World(1000, InputMissing("no table"))
    world.asked = ExitCode.DONE
    assert world.work(every_s=100).turns == 1


def test_plain_keyboard_interrupt_is_ctrl_c():
    world = World(1000)

    def sleep(_seconds):
        raise KeyboardInterrupt

    world.sleep = sleep
    assert world.work(every_s=100).exit_code == ExitCode.INTERRUPTED


def test_daemon_without_a_reason_to_run_is_refused():
    with pytest.raises(UsageError, match="--every or --on-change"):
        World(1).work()


# Halts.


def test_halted_daemon_stays_says_so_once_and_goes_on_when_cleared():
    world = World(500)
    world.at = [(150, lambda: world.set_halt("too hot")), (390, lambda: world.set_halt(None))]
    report = world.work(every_s=100)
    assert world.starts == [0, 100, 390, 490]
    assert len(world.heard("halted: too hot")) == 1
    assert len(world.heard("going on")) == 1
    assert report.exit_code == ExitCode.DONE


def test_new_reason_of_a_halt_is_said_too():
    world = World(300)
    world.at = [(50, lambda: world.set_halt("too hot")), (150, lambda: world.set_halt("audit"))]
    world.work(every_s=100)
    assert [len(world.heard(f"halted: {why}")) for why in ("too hot", "audit")] == [1, 1]


def test_run_that_a_halt_ended_goes_on_as_soon_as_it_may():
    world = World(250, Run(ExitCode.HALTED, message="halted"))
    run = world.run

    def halting():
        if not world.starts:
            world.set_halt("too hot")
        return run()

    world.run = halting
    world.at = [(40, lambda: world.set_halt(None))]
    world.work(every_s=100)
    assert world.starts == [0, 40, 140, 240]


def test_run_that_waits_for_approval_goes_on_once_that_is_given_and_no_other_starts():
    world = World(1000, Run(ExitCode.WAITING_FOR_APPROVAL, message="waits"))
    run = world.run

    def waiting():
        if not world.starts:
            world.set_halt("the approval is not given")
        return run()

    world.run = waiting
    world.at = [(550, lambda: world.set_halt(None))]
    world.work(every_s=100)
    assert world.starts == [0, 550, 650, 750, 850, 950]
    assert len(world.heard("halted: the approval is not given")) == 1


def test_halt_that_is_gone_before_the_run_has_ended_loses_no_change(table):
    world = World(200, Run(ExitCode.HALTED), Run())
    world.work(changes=watching(world, table))
    assert world.starts == pytest.approx([0, 61], abs=1)
    assert world.heard("it goes on in 1 min")


def test_run_that_is_halted_again_and_again_is_tried_less_and_less_often(table):
    world = World(4 * 3600, *[Run(ExitCode.HALTED)] * 100)
    world.work(changes=watching(world, table))
    assert len(world.starts) < 12
    assert world.starts[-1] - world.starts[-2] == pytest.approx(3600, abs=10)


# Nobody looks on.


def test_reason_why_no_run_can_start_is_told_once_each_until_one_starts():
    first, second = InputMissing("no table"), InputMissing("no model")
    world = World(950, first, first, second, first, Run(), first)
    world.work(every_s=100)
    assert world.told == ["no table", "no model", "no table"]


def test_fault_that_ends_the_daemon_at_its_start_is_told():
    world = World(150, ManifestError("m.json: bad"))
    with pytest.raises(ManifestError):
        world.work(every_s=100)
    assert world.told == ["m.json: bad"]


def test_halt_and_another_watcher_are_no_news_for_people_who_are_away():
    world = World(350, Run(), WorkspaceBusy("another watcher works here"), Halted("halt"))
    world.work(every_s=100)
    assert world.told == []


def test_refusal_without_a_halt_in_force_waits_for_its_turn():
    world = World(150, Halted("step 5 was not started: the policy names it"))
    world.work(every_s=100)
    assert world.starts == [0, 100]


# Changed files, real ones, with the daemon's clock.


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")
    return path


def watching(world, *paths):
    return WatchedFiles([WatchedFile(path) for path in paths], world.said.append)


def test_file_that_does_not_change_starts_nothing_more(table):
    world = World(100)
    world.work(changes=watching(world, table))
    assert world.starts == [0]


def test_new_content_starts_a_run_once_it_is_at_rest(table):
    world = World(100, at=[(20, lambda: table.write_text("a\n2\n"))])
    world.work(changes=watching(world, table))
    assert len(world.starts) == 2
    assert 22 <= world.starts[1] <= 23
    assert world.heard("starting a run: table.csv is new")


def test_file_that_is_being_written_does_not_start_a_run(table):
    def grow():
        with table.open("a") as file:
            file.write("1\n")

    world = World(100, at=[(20 + second, grow) for second in range(10)])
    world.work(changes=watching(world, table))
    assert len(world.starts) == 2
    assert world.starts[1] >= 31


def test_touch_without_new_content_starts_nothing(table):
    world = World(100, at=[(20, table.touch)])
    world.work(changes=watching(world, table))
    assert world.starts == [0]


def test_same_size_and_restored_mtime_do_not_hide_new_content(table):
    def rewrite():
        stat = table.stat()
        table.write_text("a\n2\n")
        os.utime(table, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    world = World(100, at=[(20, rewrite)])
    world.work(changes=watching(world, table))
    assert len(world.starts) == 2


def test_rename_over_the_file_counts(table, tmp_path):
    fresh = tmp_path / "fresh"
    fresh.write_text("a\n3\n")
    world = World(100, at=[(20, lambda: fresh.replace(table))])
    world.work(changes=watching(world, table))
    assert len(world.starts) == 2


def test_file_may_appear_later_and_its_end_starts_nothing(tmp_path):
    path = tmp_path / "later.csv"
    world = World(100, at=[(20, lambda: path.write_text("a\n1\n")), (60, path.unlink)])
    world.work(changes=watching(world, path))
    assert len(world.starts) == 2


def test_change_during_a_run_starts_the_next(table):
    world = World(100)
    run = world.run

    def changing():
        if not world.starts:
            table.write_text("a\n9\n")
        return run()

    world.run = changing
    world.work(changes=watching(world, table))
    assert len(world.starts) == 2


def test_change_is_not_lost_while_the_workspace_is_busy(table):
    busy = WorkspaceBusy("another watcher works in /w")
    world = World(200, Run(), busy, Run(), at=[(20, lambda: table.write_text("a\n2\n"))])
    world.work(changes=watching(world, table))
    assert len(world.starts) == 3
    assert world.starts[2] - world.starts[1] == pytest.approx(60, abs=1)


def test_time_and_change_go_together(table):
    world = World(150, at=[(20, lambda: table.write_text("a\n2\n"))])
    world.work(every_s=100, changes=watching(world, table))
    first, second, third = world.starts
    assert (first, 22 <= second <= 23) == (0, True)
    assert third == pytest.approx(second + 100)


def test_halt_keeps_a_change_for_later(table):
    world = World(100)
    world.at = [
        (10, lambda: world.set_halt("too hot")),
        (20, lambda: table.write_text("a\n2\n")),
        (50, lambda: world.set_halt(None)),
    ]
    world.work(changes=watching(world, table))
    assert len(world.starts) == 2
    assert 50 <= world.starts[1] <= 52


def test_content_is_hashed_once_for_each_stamp(table, monkeypatch):
    hashed = []
    real = daemon_files().sha256_file
    monkeypatch.setattr(daemon_files(), "sha256_file", lambda p: hashed.append(p) or real(p))
    world = World(1000, at=[(20, lambda: table.write_text("a\n2\n"))])
    world.work(every_s=100, changes=watching(world, table))
    assert len(hashed) == 2


def daemon_files():
    from agents.daemon import watched_files

    return watched_files


def test_file_that_cannot_be_looked_at_is_named_once_and_hides_no_other(table, tmp_path):
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    world = World(100, at=[(20, lambda: table.write_text("a\n2\n"))])
    world.work(changes=watching(world, loop, table))
    assert len(world.heard("loop.csv: cannot be watched")) == 1
    assert len(world.starts) == 2


def test_folder_cannot_be_watched(tmp_path):
    with pytest.raises(UsageError, match="must name a file, got the folder"):
        WatchedFile(tmp_path)


def test_watched_file_is_looked_for_as_inputs_are(tmp_path):
    root, cwd = tmp_path / "root", tmp_path / "cwd"
    root.mkdir()
    cwd.mkdir()
    assert watched_path(Path("t.csv"), root, cwd) == root / "t.csv"
    (cwd / "t.csv").touch()
    assert watched_path(Path("t.csv"), root, cwd) == cwd / "t.csv"
    (root / "t.csv").touch()
    assert watched_path(Path("t.csv"), root, cwd) == root / "t.csv"


# Signals, real ones.


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, ExitCode.DONE),
        (signal.SIGHUP, ExitCode.DONE),
        (signal.SIGINT, ExitCode.INTERRUPTED),
    ],
)
def test_signal_ends_the_wait_at_once(number, code):
    before = signal.getsignal(number)

    def sleep(seconds):
        os.kill(os.getpid(), number)
        time.sleep(seconds)

    world = World(1e9)
    world.sleep = sleep
    began_s = time.monotonic()
    with EndOnSignal():
        report = world.work(every_s=3600)
    assert report.exit_code == code
    assert time.monotonic() - began_s < 5
    assert signal.getsignal(number) is before


def test_daemon_of_the_command_line_runs_waits_and_ends_on_sigterm(folder, spawn, wait_until):
    process = spawn("--daemon", "--every", "1h", "--quiet")
    wait_until(lambda: [p for p in folder.attempts if (p / "result.json").exists()], timeout_s=60)
    # The run is over when its watcher holds the workspace no more.
    wait_until(lambda: not (folder.root / ".watcher" / "watcher.json").exists(), timeout_s=60)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert len(folder.attempts) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signal_during_a_step_that_finishes_all_the_same_ends_the_daemon(
    folder, spawn, number, code
):
    process = spawn("--daemon", "--every", "1h", "--params", '{"act": "stubborn"}')
    folder.pid("ready")
    process.send_signal(number)
    read_until(process, "stops at its next safe point")
    (folder.root / "go").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "ended with 0" in err


def test_sigterm_stops_the_step_at_its_safe_point_and_ends_the_daemon_with_0(folder, spawn):
    process = spawn("--daemon", "--every", "1h", "--params", '{"act": "polite"}')
    folder.pid()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "ended with 130" in err


def test_daemon_goes_on_with_its_halted_run_once_the_halt_is_gone(
    folder, spawn, watcher, wait_until
):
    process = spawn("--daemon", "--every", "1h", "--params", '{"act": "halting_first"}')
    read_until(process, "nothing starts until that is gone")
    assert watcher("--clear-halt").code == 0
    wait_until(lambda: len(folder.attempts) == 2, timeout_s=30)
    read_until(process, "ended with 0")
    (run,) = watcher("--history", "--json").document["runs"]
    assert run["state"] == "complete"


def test_daemon_starts_a_step_once_it_is_approved_and_asks_no_second_time(folder, spawn, watcher):
    folder.policy(approvals={"before_steps": [5]})
    process = spawn("--daemon", "--every", "1h")
    read_until(process, "nothing starts before `watcher --approve")
    assert folder.attempts == []
    assert watcher("--approve", "last").code == 0
    read_until(process, "ended with 0")
    (run,) = watcher("--history", "--json").document["runs"]
    assert run["state"] == "complete"


def test_daemon_of_changes_alone_loses_none_to_a_halt(folder, spawn, watcher):
    table = folder.root / "table.csv"
    table.write_text("a\n1\n")
    params = '{"act": "halting_first"}'
    process = spawn("--daemon", "--on-change", str(table), "--params", params)
    read_until(process, "nothing starts until that is gone")
    assert watcher("--clear-halt").code == 0
    read_until(process, "ended with 0")


def read_until(process, words):
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"the daemon ended without saying {words!r}")


def test_unit_file_is_one_that_systemd_takes(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = (ROOT / "docs" / "watcher.service").read_text()
    unit = tmp_path / "watcher.service"
    unit.write_text(
        text.replace("%h/venv/bin/watcher", "/bin/true").replace("%h/workspace", "/tmp")
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, ExitCode.DONE), (signal.SIGINT, ExitCode.INTERRUPTED)],
)
def test_signal_that_a_run_has_counted_is_not_forgotten(number, code):
    with EndOnSignal() as ending:
        assert ending.exit_code() is None
        with ending.of_run() as counted:
            os.kill(os.getpid(), number)
            assert counted.count == 1
        assert ending.exit_code() == code


def test_second_signal_on_the_way_out_changes_nothing():
    with EndOnSignal():
        with pytest.raises(Asked):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)


def test_interval_is_on_the_monotonic_clock():
    world = World(1)
    made = Daemon(
        world.run,
        lambda: None,
        lambda *_: None,
        every_s=60,
        jitter=iter([]),
        changes=None,
        asked=lambda: None,
        cannot_start=world.told.append,
    )
    assert made._clock is time.monotonic
    assert daemon_module.time.sleep is made._sleep
