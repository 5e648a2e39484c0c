"""--explain: why a run went as it did, from the ledger alone."""

import json
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from agents.decide import Decision, Retry
from agents.errors import UsageError
from agents.health import Ending, Issue, Verdict
from agents.ledger import Ledger
from agents.lock import Holder
from agents.parameters import Parameter
from agents.remedies import Change
from agents.reports.explain import explain, find_run
from agents.views.explain_view import explanation_document, show_explanation
from steps.contract import ExitCode, Note, Output, StepResult

HOLDER = Holder(
    pid=1, process_start="x", host="box", since=datetime(2026, 11, 22, tzinfo=UTC), doing="step 5"
).model_dump_json()
SHA_TABLE, SHA_MODEL = "a" * 64, "b" * 64
CHANGE = Change(rule_key="k", parameter="trials", before=20, after=10, because="trials halved")


class Story:
    """A ledger that a run is written into, a second passing with each line."""

    def __init__(self, path):
        self.path = path
        self.now_at = datetime(2026, 11, 22, 2, 0, 0, tzinfo=UTC)
        self.ledger = Ledger.create(path, self.now)

    def now(self):
        self.now_at += timedelta(seconds=1)
        return self.now_at

    def run(self, run_id="20261122-020000-aaaa", kind="pipeline", **request):
        self.run_id = run_id
        asked = {"start_step": 1, "end_step": 5, **request}
        self.ledger.run_started(run_id, kind, asked, HOLDER, "0.1.0")

    def attempt(self, step=5, number=1, outcome="complete", outputs=(), inputs=(), **more):
        attempt_id = self.ledger.attempt_started(
            self.run_id,
            step,
            number,
            agent_name="training",
            title="Train",
            module="m",
            out_dir=f".watcher/runs/{self.run_id}/step{step}-attempt{number}",
            limit_s=60.0,
            parameters=more.get(
                "parameters", (Parameter("trials", 20, "params"), Parameter("rate", 1, "default"))
            ),
            inputs={name: {"path": f"/w/{name}", "sha256": sha} for name, sha in inputs},
        )
        timed_out = outcome == "timeout"
        ending = Ending(0, None, 12.5, 60.0, timed_out=timed_out)
        verdict = Verdict(outcome, "ok", f"it is {outcome}", more.get("issues", ()))
        result = StepResult(
            run_id=self.run_id,
            step=step,
            attempt=number,
            status="complete",
            headline="done",
            outputs=tuple(Output(path=path, sha256=sha, bytes=1) for path, sha in outputs),
            notes=more.get("notes", ()),
        )
        self.ledger.attempt_ended(attempt_id, ending, verdict, result)
        return {
            "outcome": outcome,
            "severity": "critical" if timed_out else "ok",
            "issues": [{"code": i.code, "message": i.message} for i in verdict.issues],
            "exit_code": 0,
            "duration_s": 12.5,
            "limit_s": 60.0,
            "timed_out": timed_out,
        }

    def decide(self, decision, evidence=None, step=5, number=1):
        self.ledger.decided(
            self.run_id, step, number, decision, (evidence or {}) | decision.evidence()
        )

    def end(self, state="complete", code=0, message="it is done"):
        self.ledger.run_ended(self.run_id, state, code, message)

    def explain(self, named="last"):
        with Ledger.read(self.path, self.now) as ledger:
            return explain(ledger, named)


@pytest.fixture
def story(tmp_path):
    told = Story(tmp_path / "ledger.sqlite")
    with told.ledger:
        yield told


def shown(found, width=80):
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        show_explanation(console, found)
    return capture.get()


def flat(text):
    return " ".join(text.split())


def retry(reason="it is timeout; retry 1 of 3 with trials halved"):
    return Decision(
        "retry",
        reason,
        changes={"trials": 10},
        retry=Retry(step=5, outcome="timeout", budget="timeout", change=CHANGE),
        passed_over=("timeout -> slots * 0.5: slots is not set",),
    )


def test_retry_tells_what_was_found_which_rule_answered_and_what_it_changed(story):
    story.run()
    issue = Issue("late", "it was late")
    facts = story.attempt(outcome="timeout", issues=(issue,))
    story.decide(retry(), facts)
    story.decide(Decision("next", "it is complete"), story.attempt(number=2), number=2)
    story.end()
    (step,) = story.explain().steps
    first, second = step.decisions
    assert first.found == (
        "timeout (critical)",
        "ran 12 s, limit 1 min, over it",
        "exit code 0",
        "late: it was late",
    )
    assert first.changed == "trials: 20 -> 10 (trials halved)"
    assert first.budget == "timeout"
    assert first.passed_over == ("timeout -> slots * 0.5: slots is not set",)
    assert (second.action, second.changed) == ("next", None)


def test_step_tells_why_it_ran(story):
    story.run()
    story.ledger.event(story.run_id, "runs", "step 5 runs: input table has other content")
    story.ledger.event(story.run_id, "runs", "step 50 runs: something else")
    story.attempt()
    (step,) = story.explain().steps
    assert step.why == ("input table has other content",)
    assert "ran because input table has other content" in flat(shown(story.explain()))


def test_skipped_step_tells_why_and_since_which_run(story):
    story.run()
    skip = Decision("skip", "step 5 is skipped: nothing has changed")
    story.decide(skip, {"since": "20261121-010000-bbbb", "attempt": 1}, number=0)
    story.end()
    (step,) = story.explain().steps
    assert (step.attempts, step.why) == ((), ("step 5 is skipped: nothing has changed",))
    assert step.decisions[0].since == "20261121-010000-bbbb"
    text = flat(shown(story.explain()))
    assert "decided: skip" in text
    assert "since run 20261121-010000-bbbb" in text


def test_stop_before_a_step_is_told_although_there_was_no_attempt(story):
    story.run()
    story.decide(Decision("stop", "step 5 was not started: halt", ExitCode.HALTED))
    story.end("halted", 10, "step 5 was not started: halt")
    found = story.explain()
    assert found.steps[0].why == ("step 5 was not started: halt",)
    assert (found.state, found.exit_code) == ("halted", 10)


def test_run_that_waits_names_the_command_that_approves_it(story):
    story.run()
    story.ledger.approval_asked(story.run_id, 5, "start step 5 (training)")
    story.decide(Decision("stop", "waits for approval", ExitCode.WAITING_FOR_APPROVAL))
    story.end("waiting", 11, "waits for approval")
    (asked,) = story.explain().approvals
    assert (asked.step, asked.what, asked.answered_at) == (5, "start step 5 (training)", None)
    assert f"`watcher --approve {story.run_id}`" in flat(shown(story.explain()))


def test_approval_tells_who_and_when_and_the_note(story):
    story.run()
    story.ledger.approval_asked(story.run_id, 5, "start step 5 (training)")
    story.ledger.approval_answered(story.run_id, "approved", "ann on box", "looked at it")
    (given,) = story.explain().approvals
    assert (given.by, given.note) == ("ann on box", "looked at it")
    assert given.answered_at > given.asked_at
    assert "given by ann on box, 2026-11-22 02:00:" in flat(shown(story.explain()))


def test_policy_changes_and_decisions_stand_in_order_of_time(story):
    story.run()
    facts = story.attempt(outcome="timeout")
    story.ledger.event(story.run_id, "policy_changed", "policy changed: halt: False -> True")
    story.decide(retry(), facts)
    story.ledger.event(story.run_id, "retry", "told by the decision already")
    story.attempt(number=2)
    story.end()
    found = story.explain()
    assert [moment.kind for moment in found.timeline] == [
        "run", "attempt", "attempt", "policy_changed", "decision", "attempt", "attempt", "run",
    ]  # fmt: skip
    times = [moment.at for moment in found.timeline]
    assert times == sorted(times)
    assert found.timeline[3].text == "policy changed: halt: False -> True"


def test_only_parameters_that_are_not_the_default_are_told(story):
    story.run()
    story.attempt()
    (attempt,) = story.explain().steps[0].attempts
    assert attempt.parameters == (Parameter("trials", 20, "params"),)


def test_input_names_the_run_that_made_it(story):
    story.run("20261121-010000-bbbb")
    story.attempt(step=4, outputs=[("table.csv", SHA_TABLE)])
    story.end()
    story.run("20261122-020000-aaaa")
    story.attempt(
        inputs=[("table", SHA_TABLE), ("other", "c" * 64)], outputs=[("m.txt", SHA_MODEL)]
    )
    (attempt,) = story.explain().steps[0].attempts
    table, other = attempt.inputs
    assert (table.run_id, table.step, table.attempt) == ("20261121-010000-bbbb", 4, 1)
    assert other.run_id is None
    assert [file.path for file in attempt.outputs] == ["m.txt"]
    text = flat(shown(story.explain()))
    assert "made by run 20261121-010000-bbbb, step 4, attempt 1" in text
    assert "not made by a run here" in text


def test_lineage_is_the_latest_maker_before_the_attempt_never_a_later_one(story):
    for run_id in ("r1", "r2"):
        story.run(run_id)
        story.attempt(step=4, outputs=[("table.csv", SHA_TABLE)])
        story.end()
    story.run("r3")
    story.attempt(inputs=[("table", SHA_TABLE)])
    story.end()
    story.run("r4")
    story.attempt(step=4, outputs=[("table.csv", SHA_TABLE)])
    assert story.explain("r3").steps[0].attempts[0].inputs[0].run_id == "r2"


def test_placements_tell_where_and_why(story):
    story.run()
    note = Note(
        level="info", code="placement", message="catboost on GPU-1: 20 GiB free, 8 GiB a trial"
    )
    story.attempt(notes=(note,))
    (placed,) = story.explain().steps[0].attempts[0].placements
    assert (placed.what, placed.device) == ("catboost", "GPU-1")
    assert "placed catboost on GPU-1: 20 GiB free, 8 GiB a trial" in flat(shown(story.explain()))


def test_evidence_in_an_unknown_form_is_shown_as_it_stands(story):
    story.run()
    story.attempt()
    story.decide(Decision("next", "fine"), {"duration_s": "long", "limit_s": 3})
    (decision,) = story.explain().steps[0].decisions
    assert "not known here" in decision.found[0]
    assert '"long"' in decision.found[0]


def test_run_whose_watcher_died_is_told_as_interrupted(story):
    story.run()
    dead = json.loads(HOLDER) | {"host": socket.gethostname(), "process_start": "?"}
    story.ledger._db.execute("UPDATE runs SET watcher = ?", (json.dumps(dead),))
    found = story.explain()
    assert found.state == "interrupted"
    assert "died before the run ended" in found.message


# Which run.


@pytest.fixture
def three(story):
    for run_id in ("20261120-010000-aaaa", "20261121-010000-bbbb", "20261121-020000-cccc"):
        story.run(run_id)
        story.end()
    return story.ledger


@pytest.mark.parametrize(
    ("named", "run_id"),
    [
        ("last", "20261121-020000-cccc"),
        ("20261120", "20261120-010000-aaaa"),
        ("20261121-01", "20261121-010000-bbbb"),
        ("20261121-010000-bbbb", "20261121-010000-bbbb"),
    ],
)
def test_run_is_named_by_its_id_its_beginning_or_last(three, named, run_id):
    assert find_run(three, named) == run_id


def test_beginning_that_fits_several_runs_names_them(three):
    with pytest.raises(UsageError, match="fits several runs: 20261121-010000-bbbb, 20261121-02"):
        find_run(three, "20261121")


def test_unknown_run_names_the_near_and_the_last_ones(three):
    with pytest.raises(UsageError, match="is no run here; near: 20261121-010000-bbbb") as caught:
        find_run(three, "20261121-010000-bbbc")
    assert "the last ones: 20261121-020000-cccc, 20261121-010000-bbbb" in str(caught.value)


@pytest.mark.parametrize("named", ["", "%", "2026112_", "x" * 500])
def test_odd_names_are_unknown_runs(three, named):
    with pytest.raises(UsageError, match="is no run here; the last ones"):
        find_run(three, named)


def test_id_that_begins_another_is_itself(story):
    for run_id in ("r1", "r10"):
        story.run(run_id)
    assert find_run(story.ledger, "r1") == "r1"


def test_empty_ledger_says_that_nothing_has_run(story):
    with pytest.raises(UsageError, match="nothing has run here yet"):
        story.explain()


# What is shown.


def test_everything_fits_80_columns(story):
    story.run(params={"survivors": "a_table_with_a_long_name.csv", "trials": 20})
    facts = story.attempt(outcome="timeout", inputs=[("table", SHA_TABLE)])
    story.decide(retry("a reason " * 30), facts)
    story.ledger.event(story.run_id, "halt", "halt: " + "long " * 40)
    story.end("failed", 1, "it is timeout\nwith a second line")
    text = shown(story.explain())
    assert max(map(len, text.splitlines())) <= 80
    assert "with a second line" not in text
    assert "trials: 20 -> 10" in flat(text)


def test_days_are_told_where_a_run_was_resumed_on_another_one(story):
    story.run()
    story.end("halted", 10, "halted")
    assert "2026-11-22" not in shown(story.explain()).partition("In order of time")[2]
    story.now_at += timedelta(days=1)
    story.ledger.run_resumed(story.run_id, HOLDER)
    story.ledger.event(story.run_id, "resumed", "going on with the run")
    text = shown(story.explain())
    assert "2026-11-23 02:00:03  resumed: going on with the run" in text
    assert "resumed    once" in text


def test_document_is_json_with_times_as_texts(story):
    story.run()
    story.decide(retry(), story.attempt(outcome="timeout"))
    story.end("failed", 1)
    document = json.loads(json.dumps(explanation_document(story.explain())))
    assert (document["status"], document["exit_code"]) == ("ok", 0)
    assert (document["state"], document["run_exit_code"]) == ("failed", 1)
    assert document["steps"][0]["decisions"][0]["changed"].startswith("trials: 20 -> 10")
    assert document["timeline"][0]["at"] == document["started_at"] == "2026-11-22T02:00:01+00:00"


def test_long_history_is_not_read_through(story):
    story.run("target")
    story.attempt(inputs=[("table", SHA_TABLE)])
    story.decide(Decision("next", "fine"))
    story.end()
    db = story.ledger._db
    queries = []
    with Ledger.read(story.path, story.now) as reader:
        reader._db.set_trace_callback(queries.append)
        explain(reader, "tar")
    assert len(queries) < 30
    for query in queries:
        plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "SCAN" not in plan or "INDEX runs_by_turn" in plan, (query, plan)


def test_run_of_thousands_of_events_is_explained_at_once(story):
    story.run()
    with story.ledger._writing() as db:
        db.executemany(
            "INSERT INTO events (run_id, happened_at, code, message) VALUES (?, ?, ?, ?)",
            [(story.run_id, story.now_at.isoformat(), "note", str(n)) for n in range(5000)],
        )
    began_s = time.monotonic()
    assert len(story.explain().timeline) == 5001
    assert time.monotonic() - began_s < 5
