"""What a person has approved is done, and nothing else; what was not accepted is not in force."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.approvals import approve, reject
from agents.errors import UsageError, WorkspaceError
from agents.workspace import Workspace
from steps.artifacts import REPLACED_FILE, WAITS_FILE, version_in_force
from steps.contract import ExitCode

RESUME = ("--run-pipeline", "--resume", "--json")


def now():
    return datetime.now(UTC)


def rows(folder, query):
    with closing(sqlite3.connect(folder.root / ".watcher" / "ledger.sqlite")) as db:
        return db.execute(query).fetchall()


@pytest.fixture
def publisher(folder):
    folder.manifest(module="fake_steps.publisher")
    # No retry: one attempt is judged, and that is the end.
    folder.policy(retries={"max_per_step": 0, "backoff_s": 0})
    return folder


def in_force(folder):
    version = version_in_force(folder.root, "acting")
    return None if version is None else version.name


def version(folder, run_id):
    return folder.root / "models" / ".versions" / run_id


def run_id_of(answer):
    return answer.document["run_id"]


def answer_of(give, folder, named="last", note=""):
    return give(Workspace.open(folder.root), named, note, now)


# --- models that the watcher does not accept --------------------------------------------------


@pytest.mark.parametrize("how", ["publish_ill", "publish_lie", "publish_die"])
def test_models_that_are_not_accepted_give_way_to_those_that_were_in_force(act, publisher, how):
    good = run_id_of(act("publish"))
    assert in_force(publisher) == good
    bad = act(how)
    assert bad.code == ExitCode.STEP_FAILED
    assert in_force(publisher) == good
    assert version(publisher, run_id_of(bad)).is_dir()
    (said,) = [e["message"] for e in bad.document["events"] if e["code"] == "turned_back"]
    assert f"models/.versions/{good} is in force again" in said
    assert run_id_of(bad) in said


def test_first_models_that_are_not_accepted_are_not_in_force(act, publisher):
    bad = act("publish_ill")
    assert in_force(publisher) is None
    assert not (publisher.root / "models" / "acting").exists()
    assert version(publisher, run_id_of(bad)).is_dir()


def test_models_of_the_attempt_that_was_accepted_stay_in_force(act, publisher):
    rules = [{"finding": "diverged", "parameter": "rate", "multiply": 0.3}]
    publisher.policy(retries={"backoff_s": 0, "remedies": rules})
    good = run_id_of(act("publish"))
    mended = act("publish_ill")
    assert mended.code == ExitCode.DONE
    assert in_force(publisher) == f"{run_id_of(mended)}-attempt2"
    (said,) = [e["message"] for e in mended.document["events"] if e["code"] == "turned_back"]
    assert good in said


def test_models_of_an_attempt_that_was_not_accepted_wait_for_nobody(act, publisher):
    bad = act("ask_ill")
    assert bad.code == ExitCode.STEP_FAILED
    assert rows(publisher, "SELECT * FROM approvals") == []
    assert not (version(publisher, run_id_of(bad)) / WAITS_FILE).exists()


def watcher_died(folder, run_id):
    """The ledger as a watcher leaves it that is killed when its step has ended."""
    with closing(sqlite3.connect(folder.root / ".watcher" / "ledger.sqlite")) as db:
        where = f"WHERE run_id = '{run_id}'"
        db.execute(f"UPDATE attempts SET outcome = NULL, ended_at = NULL {where}")
        db.execute(f"UPDATE runs SET state = 'running', ended_at = NULL {where}")
        for table in ("decisions", "successes"):
            db.execute(f"DELETE FROM {table} {where}")
        db.commit()


def test_models_that_no_watcher_has_lived_to_judge_give_way_when_the_next_run_starts(
    act, publisher
):
    good = run_id_of(act("publish"))
    killed = run_id_of(act("publish", "--force"))
    watcher_died(publisher, killed)
    failed = act("fail")
    assert in_force(publisher) == good
    (said,) = [e["message"] for e in failed.document["events"] if e["code"] == "turned_back"]
    assert f"the watcher of run {killed} died" in said


def test_models_that_no_watcher_has_judged_stay_where_it_is_not_known_what_they_replaced(
    act, publisher
):
    act("publish")
    killed = run_id_of(act("publish", "--force"))
    watcher_died(publisher, killed)
    (version(publisher, killed) / REPLACED_FILE).unlink()
    told = act("fail").document["events"]
    assert in_force(publisher) == killed
    assert [e["code"] for e in told if "turned_back" in e["code"]] == ["not_turned_back"]


# --- publishing on approval -------------------------------------------------------------------


def test_approval_puts_models_in_force_and_ends_a_run_with_nothing_left_to_do(
    act, watcher, publisher
):
    old = run_id_of(act("publish"))
    waiting = act("ask")
    assert waiting.code == ExitCode.WAITING_FOR_APPROVAL
    assert in_force(publisher) == old
    told = watcher("--status", "--json").document["next"]
    assert not any("--resume" in line for line in told)
    given = watcher("--approve", "last", "--note", "ok")
    assert in_force(publisher) == run_id_of(waiting)
    assert "--resume" not in given.out
    assert "watcher --predict" in given.out
    assert watcher("--status", "--json").document["status"] == "complete"
    again = act("ask")
    assert again.document["steps"][0]["outcome"] == "skipped"
    assert "awaiting" not in {event["code"] for event in again.document["events"]}


def test_approval_names_resume_where_steps_are_left(act, watcher, publisher):
    publisher.manifest("later", step=6, agent_name="later", outputs=[])
    waiting = act("ask")
    given = answer_of(approve, publisher)
    assert given.next_steps == ("to go on: watcher --run-pipeline --resume",)
    done = watcher("--run-pipeline", "--resume", "--json", "--params", '{"act": "complete"}')
    assert run_id_of(done) == run_id_of(waiting)


def test_approval_does_not_put_an_older_model_over_what_was_published_since(act, publisher):
    act("publish")
    waiting = run_id_of(act("ask"))
    newer = run_id_of(act("publish", "--force"))
    with pytest.raises(WorkspaceError) as refused:
        answer_of(approve, publisher, waiting)
    for wanted in (f"models/.versions/{newer} is in force now", "--force-step 5", "--reject"):
        assert wanted in str(refused.value)
    assert in_force(publisher) == newer
    assert rows(publisher, "SELECT answer FROM approvals") == [(None,)]
    answer_of(reject, publisher, waiting)
    assert in_force(publisher) == newer


def test_approval_that_was_killed_after_it_published_can_be_given_again(act, publisher):
    act("publish")
    waiting = run_id_of(act("ask"))
    link = publisher.root / "models" / "acting"
    link.unlink()
    link.symlink_to(Path(".versions") / waiting, target_is_directory=True)
    assert answer_of(approve, publisher).published == "catboost"
    assert rows(publisher, "SELECT answer FROM approvals") == [("approved",)]


def test_models_that_wait_outlive_those_of_newer_runs(act, publisher):
    act("publish")
    waiting = run_id_of(act("ask"))
    for _ in range(7):
        act("ask_ill", "--force")
    assert version(publisher, waiting).is_dir()
    assert answer_of(approve, publisher, waiting).published == "catboost"


def test_approval_finds_the_models_in_a_workspace_that_was_moved(
    act, publisher, tmp_path, monkeypatch
):
    act("publish")
    waiting = run_id_of(act("ask"))
    moved = tmp_path / "moved"
    shutil.move(publisher.root, moved)
    publisher.root = moved
    monkeypatch.chdir(moved)
    assert answer_of(approve, publisher).run_id == waiting
    assert in_force(publisher) == waiting


def test_a_later_attempt_of_the_run_takes_back_what_the_earlier_one_asked(act, watcher, publisher):
    act("publish")
    first = run_id_of(act("ask"))
    more = ("--params", '{"act": "ask", "rate": 0.4}')
    assert watcher(*RESUME, *more).code == ExitCode.WAITING_FOR_APPROVAL
    assert rows(publisher, "SELECT answer FROM approvals") == [("withdrawn",), (None,)]
    assert not (version(publisher, first) / WAITS_FILE).exists()
    given = answer_of(approve, publisher)
    assert len(given.what) == 1
    assert in_force(publisher) == f"{first}-attempt2"
    answers = rows(publisher, "SELECT answer FROM approvals")
    assert answers == [("withdrawn",), ("approved",)]


def test_of_two_models_that_wait_only_the_one_that_is_published_is_marked_as_approved(
    act, watcher, publisher
):
    run_id = run_id_of(act("ask"))
    watcher(*RESUME, "--params", '{"act": "ask", "rate": 0.4}')
    with closing(sqlite3.connect(publisher.root / ".watcher" / "ledger.sqlite")) as db:
        db.execute("UPDATE approvals SET answer = NULL, answered_at = NULL, answered_by = NULL")
        db.commit()
    given = answer_of(approve, publisher)
    assert len(given.what) == 1
    assert in_force(publisher) == f"{run_id}-attempt2"
    answers = rows(publisher, "SELECT answer FROM approvals")
    assert answers == [("withdrawn",), ("approved",)]


# --- saying no --------------------------------------------------------------------------------


def test_rejected_models_are_not_published_and_the_run_is_complete(act, watcher, publisher):
    old = run_id_of(act("publish"))
    waiting = run_id_of(act("ask"))
    said = answer_of(reject, publisher, note="too bad")
    assert (said.run_id, said.answer, said.published) == (waiting, "rejected", None)
    assert in_force(publisher) == old
    assert rows(publisher, "SELECT answer, note FROM approvals") == [("rejected", "too bad")]
    ((state, code),) = rows(
        publisher, f"SELECT state, exit_code FROM runs WHERE run_id = '{waiting}'"
    )
    assert (state, code) == ("complete", 0)
    assert not (version(publisher, waiting) / WAITS_FILE).exists()
    with pytest.raises(UsageError, match="no run waits"):
        answer_of(approve, publisher, waiting)
    # Even without the files of the models nobody wants, nothing is trained again.
    shutil.rmtree(version(publisher, waiting))
    assert act("ask").document["steps"][0]["outcome"] == "skipped"
    assert "refused by" in watcher("--explain", waiting).out


def test_the_command_refuses_with_a_note_and_says_what_is_next(act, watcher, publisher):
    act("publish")
    waiting = run_id_of(act("ask"))
    refused = watcher("--reject", waiting, "--note", "too bad", "--json")
    assert (refused.code, refused.document["status"]) == (ExitCode.DONE, "rejected")
    assert refused.document["next"] == [
        "nothing is left to do in this run; the models in force stay"
    ]
    assert rows(publisher, "SELECT answer, note FROM approvals") == [("rejected", "too bad")]
    odd = watcher("--status", "--note", "x")
    assert odd.code == ExitCode.USAGE
    assert "--note goes with --approve or --reject" in odd.err


def test_a_rejected_start_halts_the_run_and_a_resume_asks_again(act, watcher, folder):
    folder.policy(approvals={"before_steps": [5]})
    run_id = run_id_of(act("complete"))
    said = answer_of(reject, folder)
    assert said.next_steps == ("to be asked again: watcher --run-pipeline --resume",)
    assert rows(folder, "SELECT state FROM runs") == [("halted",)]
    asked = watcher(*RESUME)
    assert (asked.code, run_id_of(asked)) == (ExitCode.WAITING_FOR_APPROVAL, run_id)
    assert rows(folder, "SELECT answer FROM approvals") == [("rejected",), (None,)]
    answer_of(approve, folder)
    assert watcher(*RESUME).code == ExitCode.DONE


# --- which run is meant -----------------------------------------------------------------------


@pytest.mark.parametrize("named", ["", "  ", "2026", "2026112"])
@pytest.mark.parametrize("give", [approve, reject])
def test_an_empty_or_short_name_answers_nothing(act, folder, named, give):
    folder.policy(approvals={"before_steps": [5]})
    act("complete")
    with pytest.raises(UsageError, match="8 or more characters"):
        answer_of(give, folder, named)
    assert rows(folder, "SELECT answer FROM approvals") == [(None,)]


def test_a_run_that_finds_models_waiting_is_complete_and_names_the_run_that_asked(
    act, watcher, publisher
):
    act("publish")
    asked = run_id_of(act("ask"))
    again = act("ask")
    assert (again.code, again.document["status"]) == (ExitCode.DONE, "complete")
    (said,) = [e["message"] for e in again.document["events"] if e["code"] == "awaiting"]
    assert f"watcher --approve {asked}" in said
    assert len(rows(publisher, "SELECT * FROM approvals")) == 1
    told = watcher("--status", "--json").document["next"]
    assert any(f"watcher --approve {asked}" in line for line in told)
    assert answer_of(approve, publisher, "last").run_id == asked
    told = watcher("--status", "--json").document["next"]
    assert not any("--approve" in line for line in told)


def test_steps_after_the_one_whose_models_wait_do_not_start_and_the_run_that_asked_is_named(
    act, watcher, publisher
):
    publisher.manifest("later", step=6, agent_name="later", outputs=[])
    asked = run_id_of(act("ask"))
    other = act("ask")
    assert other.code == ExitCode.WAITING_FOR_APPROVAL
    assert run_id_of(other) != asked
    told = watcher("--status", "--json").document
    assert told["run"]["run_id"] == run_id_of(other)
    assert len(told["run"]["waits_for"]) == 1
    assert f"watcher --approve {asked};" in told["next"][1]
    assert told["next"][-1] == "then go on: watcher --run-pipeline --resume"
    assert answer_of(approve, publisher, "last").run_id == asked
    assert watcher("--status", "--json").document["next"] == [
        "to go on: watcher --run-pipeline --resume"
    ]


def test_an_approval_of_a_run_that_is_not_the_last_names_it_to_resume(act, publisher):
    publisher.manifest("later", step=6, agent_name="later", outputs=[])
    asked = run_id_of(act("ask"))
    act("ask")
    given = answer_of(approve, publisher)
    assert given.next_steps == (f"to go on: watcher --run-pipeline --resume {asked}",)


# --- what an approval holds for ---------------------------------------------------------------


def test_an_approval_does_not_hold_for_other_parameters(act, watcher, folder):
    folder.policy(approvals={"before_steps": [5]})
    act("complete")
    answer_of(approve, folder)
    other = watcher(*RESUME, "--params", json.dumps({"act": "complete", "trials": 99}))
    assert other.code == ExitCode.WAITING_FOR_APPROVAL
    assert folder.attempts == []
    # With what was approved it starts, and the other question is taken back.
    assert watcher(*RESUME, "--params", json.dumps({"trials": 20})).code == ExitCode.DONE
    assert rows(folder, "SELECT answer FROM approvals") == [("approved",), ("withdrawn",)]


def test_an_approval_does_not_hold_for_another_content_of_an_input(act, watcher, folder):
    inputs = [{"name": "table", "param": "table", "candidates": ["table.csv"]}]
    folder.manifest(inputs=inputs)
    table = folder.root / "table.csv"
    table.write_text("a\n1\n")
    folder.policy(approvals={"before_steps": [5]})
    act("complete")
    answer_of(approve, folder)
    table.write_text("a\n2\n")
    assert watcher(*RESUME).code == ExitCode.WAITING_FOR_APPROVAL
    table.write_text("a\n1\n")
    assert watcher(*RESUME).code == ExitCode.DONE


def test_what_the_policy_no_longer_asks_is_not_waited_for(act, watcher, folder):
    folder.policy(approvals={"before_steps": [5]})
    act("complete")
    folder.policy()
    assert watcher(*RESUME).code == ExitCode.DONE
    assert rows(folder, "SELECT answer FROM approvals") == [("withdrawn",)]


RETRIES = {"max_per_step": 0, "backoff_s": 0, "when_used_up": "ask"}


def test_another_try_is_approved_for_the_parameters_that_were_asked_about(act, watcher, folder):
    folder.policy(retries=RETRIES)
    act("fail")
    answer_of(approve, folder)
    other = watcher(*RESUME, "--params", '{"trials": 99}')
    assert other.code == ExitCode.WAITING_FOR_APPROVAL
    assert len(folder.attempts) == 1
    answer_of(approve, folder)
    watcher(*RESUME)
    assert len(folder.attempts) == 2


def test_another_try_that_the_policy_no_longer_asks_about_is_made(act, watcher, folder):
    folder.policy(retries=RETRIES)
    act("fail")
    folder.policy(retries={**RETRIES, "when_used_up": "fail"})
    assert watcher(*RESUME).code == ExitCode.STEP_FAILED
    assert len(folder.attempts) == 2
    assert rows(folder, "SELECT answer FROM approvals") == [("withdrawn",)]
