"""Plan, freshness, approvals, runner and ledger together, through random nights, without processes.

Attempts are replaced by what a test says they come to; everything else is the real loop over a real
workspace. A model of a few lines says what must be skipped, what must wait and what must run.
"""

import json
import sqlite3
import tempfile
from collections import defaultdict
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agents.approvals import approve
from agents.attempt import Attempted
from agents.errors import Halted, UsageError
from agents.health import Ending, judge
from agents.manifests import load_manifests
from agents.parameters import Given
from agents.plan import plan_steps
from agents.resume import find_resumable
from agents.run import Surroundings
from agents.runner import Wishes, run_pipeline
from agents.workspace import Workspace
from steps.contract import Output, StepError, StepResult
from steps.files import sha256_file, write_text_atomic
from steps.policies import LivePolicy

STEPS = (3, 6)
HOWS = ("complete", "internal", "out_of_memory", "halted", "bad_input", "killed")


class Killed(BaseException):
    """As SIGKILL: nothing of the watcher runs after it."""


class Unseen:
    """A view that nobody looks at."""

    def say(self, *_):
        pass

    def step(self, _):
        return nullcontext()

    def progress(self, _):
        pass


class Nights(RuleBasedStateMachine):
    """made: attempts by run and step. known: per step what its last success depended on."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "workspace"
        (self.root / "agent_manifests").mkdir(parents=True)
        for step in STEPS:
            self._write_manifest(step)
        self.approvals_before = False
        self._write_policy()
        self.clock = datetime(2026, 1, 1, tzinfo=UTC)
        self.token = 0
        self.queue = []
        self.known = {}
        self.made = defaultdict(int)
        self.ran = []

    def teardown(self):
        self.folder.cleanup()

    # What happens.

    @rule(trials=st.integers(1, 2), hows=st.lists(st.sampled_from(HOWS), max_size=5))
    def night(self, trials, hows):
        self._go(self._plan(Given({"trials": trials})), Wishes(), hows, trials)

    @rule(hows=st.lists(st.sampled_from(HOWS), max_size=5))
    def resumed(self, hows):
        try:
            found = find_resumable(Workspace(self.root), self._now)
        except UsageError:
            last = self._rows("SELECT state FROM runs ORDER BY turn DESC LIMIT 1")
            assert last in ([], [("complete",)]), last
            return
        plan = self._plan(found.given)
        self._go(plan, Wishes(resumption=found), hows, found.given.values["trials"])

    @rule()
    def approved(self):
        try:
            given = approve(Workspace(self.root), "last", "", self._now)
        except UsageError:
            return
        assert given.what

    @rule(step=st.sampled_from(STEPS))
    def output_is_altered(self, step):
        path = self.root / f"out{step}.json"
        if path.exists():
            path.write_text("somebody else")
            self.known.pop(step, None)

    @rule(step=st.sampled_from(STEPS), limit=st.integers(5, 6))
    def manifest_is_edited(self, step, limit):
        path = self.root / "agent_manifests" / f"agent{step}.json"
        before = path.read_text()
        self._write_manifest(step, limit)
        if path.read_text() != before:
            self.known.pop(step, None)

    @rule()
    def approvals_are_switched(self):
        self.approvals_before = not self.approvals_before
        self._write_policy()

    @precondition(lambda self: not (self.root / "watcher_halt.flag").exists())
    @rule()
    def halted(self):
        (self.root / "watcher_halt.flag").touch()

    @precondition(lambda self: (self.root / "watcher_halt.flag").exists())
    @rule()
    def halt_is_cleared(self):
        (self.root / "watcher_halt.flag").unlink()

    # What must hold.

    @invariant()
    def every_attempt_is_numbered_once_and_in_order(self):
        for (run_id, step), made in self.made.items():
            found = self._rows(
                "SELECT attempt FROM attempts WHERE run_id = ? AND step = ? ORDER BY id",
                run_id,
                step,
            )
            assert found == [(number,) for number in range(1, made + 1)]

    @invariant()
    def a_complete_run_has_done_or_skipped_every_step(self):
        for (run_id,) in self._rows("SELECT run_id FROM runs WHERE state = 'complete'"):
            last = dict(
                self._rows(
                    "SELECT step, action FROM decisions WHERE run_id = ? ORDER BY id", run_id
                )
            )
            assert set(last) == set(STEPS), last
            assert set(last.values()) <= {"next", "skip"}, last

    @invariant()
    def retries_stay_inside_their_budget(self):
        counts = self._rows(
            "SELECT count(*) FROM decisions WHERE action = 'retry' GROUP BY run_id, step"
        )
        assert all(count <= 2 for (count,) in counts)

    # How it is done.

    def _go(self, plan, wishes, hows, trials):
        self.queue = list(hows)
        self.ran = []
        around = self._surroundings()
        with self._fake_attempts(trials):
            try:
                report = run_pipeline(plan, around, wishes)
            except Killed:
                self._die()
                return
            except Halted:
                assert (self.root / "watcher_halt.flag").exists()
                return
        skipped = {step.step for step in report.steps if step.decision.action == "skip"}
        for step in skipped:
            assert self.known.get(step) == trials, f"step {step} was skipped without reason"
        for step, fresh in self.ran:
            assert not fresh, f"step {step} ran although nothing had changed"
        if report.state == "complete":
            assert [step.step for step in report.steps] == list(STEPS)

    @contextmanager
    def _fake_attempts(self, trials):
        def attempt(spec, workspace, ledger, watch, **_):
            self.ran.append((spec.step, spec.attempt == 1 and self.known.get(spec.step) == trials))
            if self.approvals_before and spec.step == 6:
                given = ledger.approvals(spec.run_id)
                assert any(row["answer"] == "approved" for row in given), (
                    "started without an approval"
                )
            self.made[spec.run_id, spec.step] += 1
            assert spec.attempt == self.made[spec.run_id, spec.step]
            attempt_id = ledger.attempt_started(
                spec.run_id,
                spec.step,
                spec.attempt,
                agent_name=spec.agent_name,
                title="",
                module=spec.module,
                out_dir=str(self.root),
                limit_s=1.0,
                parameters=spec.parameters,
            )
            how = self.queue.pop(0) if self.queue else "complete"
            if how == "killed":
                raise Killed
            if how == "complete":
                self.known[spec.step] = trials
            return self._attempted(attempt_id, spec, how)

        with (
            mock.patch("agents.run.make_attempt", attempt),
            mock.patch("agents.run._broke_off"),
        ):
            yield

    def _attempted(self, attempt_id, spec, how):
        facts = {"run_id": spec.run_id, "step": spec.step, "attempt": spec.attempt}
        asked = None
        if how == "complete":
            path = self.root / f"out{spec.step}.json"
            write_text_atomic(path, json.dumps(facts))
            output = Output(path=path.name, sha256=sha256_file(path), bytes=path.stat().st_size)
            result = StepResult(**facts, status="complete", headline="done", outputs=(output,))
        elif how == "halted":
            asked = "halt"
            result = StepResult(**facts, status="halted", headline="stopped")
        else:
            error = StepError(kind=how, message=how)
            result = StepResult(**facts, status="failed", headline=how, error=error)
        ending = Ending(1 if result.status == "failed" else 0, None, 0.1, 1.0, asked_to=asked)
        verdict = judge(spec.step, ending, result)
        return Attempted(attempt_id, spec, self.root, ending, result, verdict)

    def _die(self):
        """The holder file names this process, which lives on: let the run's watcher be dead."""
        with closing(sqlite3.connect(self.root / ".watcher" / "ledger.sqlite")) as db:
            db.execute("UPDATE runs SET watcher = replace(watcher, '\"pid\":', '\"pid\":9')")
            db.commit()

    def _plan(self, given):
        policy = LivePolicy(self.root / "watcher_policies.json").current
        return plan_steps(load_manifests(self.root / "agent_manifests"), 3, 6, given, policy)

    def _surroundings(self):
        policy_path = self.root / "watcher_policies.json"
        self.token += 1
        token = f"{self.token:04x}"
        return Surroundings(
            workspace=Workspace(self.root),
            policy_path=policy_path,
            live=LivePolicy(policy_path),
            view=Unseen(),
            cwd=self.root,
            environ={},
            now=self._now,
            token=lambda: token,
        )

    def _now(self):
        self.clock += timedelta(seconds=1)
        return self.clock

    def _write_manifest(self, step, limit=5):
        document = {
            "step": step,
            "agent_name": f"agent{step}",
            "module": "steps.step5_training",
            "outputs": [f"out{step}.json"],
            "parameter_bounds": {
                "trials": {"type": "integer", "min": 1, "max": limit, "default": 1}
            },
        }
        path = self.root / "agent_manifests" / f"agent{step}.json"
        path.write_text(json.dumps(document))

    def _write_policy(self):
        policy = {
            "retries": {
                "max_per_step": 2,
                "backoff_s": 0,
                "remedies": [],
                "budgets": {"bug": 2, "memory": 2},
            },
            "approvals": {"before_steps": [6] if self.approvals_before else []},
        }
        write_text_atomic(self.root / "watcher_policies.json", json.dumps(policy))

    def _rows(self, query, *values):
        if not (self.root / ".watcher" / "ledger.sqlite").exists():
            return []
        with closing(sqlite3.connect(self.root / ".watcher" / "ledger.sqlite")) as db:
            return db.execute(query, values).fetchall()


TestNights = Nights.TestCase
TestNights.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None, derandomize=True
)
