"""Skips, retries with changes, approvals, resuming: the loop around attempts, with fake steps."""

import json
import sqlite3
from contextlib import closing

import pytest

from steps.contract import ExitCode

RETRIES = {
    "max_per_step": 3,
    "max_per_run": 10,
    "backoff_s": 0,
    "budgets": {"bug": 3, "memory": 3, "timeout": 3, "health": 3},
}


def rows(folder, query):
    with closing(sqlite3.connect(folder.root / ".watcher" / "ledger.sqlite")) as db:
        return db.execute(query).fetchall()


def params_of(attempt):
    return json.loads((attempt / "request.json").read_text())["params"]


# --- freshness --------------------------------------------------------------------------------


def test_a_step_that_nothing_has_changed_for_is_skipped_and_says_since_when(act, folder):
    first = act("complete").document
    second = act("complete")
    assert second.code == ExitCode.DONE
    (step,) = second.document["steps"]
    assert step["outcome"] == "skipped"
    assert f"nothing has changed since run {first['run_id']}" in step["decision"]["reason"]
    assert step["result"]["winner"] == "catboost"
    assert len(folder.attempts) == 1
    actions = rows(folder, "SELECT action FROM decisions ORDER BY id")
    assert actions == [("next",), ("skip",)]


def test_a_skipped_step_shows_what_it_found_and_how_to_run_it_again(watcher):
    arguments = ("--run-pipeline", "--params", '{"act": "complete"}')
    watcher(*arguments)
    out = watcher(*arguments).out
    for wanted in (
        "skipped, as it was",
        "catboost explains",
        "nothing has changed",
        "--force-step 5",
    ):
        assert wanted in out, wanted


@pytest.mark.parametrize("flags", [("--force",), ("--force-step", "5")])
def test_force_runs_what_is_fresh(act, folder, flags):
    act("complete")
    assert act("complete", *flags).document["steps"][0]["outcome"] == "complete"
    assert len(folder.attempts) == 2


def test_a_changed_parameter_and_an_altered_output_make_a_step_run(act, watcher, folder):
    act("complete")
    changed = watcher("--run-pipeline", "--json", "--params", '{"act": "complete", "trials": 7}')
    assert changed.document["steps"][0]["outcome"] == "complete"
    (folder.root / "out" / "winner.txt").write_text("somebody else")
    again = watcher("--run-pipeline", "--json", "--params", '{"act": "complete", "trials": 7}')
    assert again.document["steps"][0]["outcome"] == "complete"
    reasons = [row[0] for row in rows(folder, "SELECT message FROM events WHERE code = 'runs'")]
    assert "trials" in reasons[1]
    assert "out/winner.txt" in reasons[2]


def test_a_retry_runs_although_the_output_is_there(act, folder):
    act("fresh_then_fail")
    answer = act("fresh_then_fail", "--force")
    assert answer.code == ExitCode.DONE
    assert [a["outcome"] for a in answer.document["steps"][0]["attempts"]] == [
        "internal",
        "complete",
    ]


def test_dry_run_says_what_would_be_skipped_and_changes_nothing(act, watcher, folder):
    act("complete")

    def stamps():
        # A reader of SQLite's write-ahead log leaves two files of its own.
        files = (path for path in folder.root.rglob("*") if path.is_file())
        return {p: p.stat().st_mtime_ns for p in files if "ledger.sqlite-" not in p.name}

    before = stamps()
    answer = watcher("--run-pipeline", "--dry-run", "--json", "--params", '{"act": "complete"}')
    assert answer.document["steps"][0]["would"].startswith("be skipped: nothing has changed")
    assert stamps() == before


# --- retries with changes ---------------------------------------------------------------------


def test_memory_that_runs_out_halves_a_parameter_once_for_each_rule(act, folder):
    rules = [
        {"finding": "out_of_memory", "parameter": "trials", "multiply": 0.5},
        {"finding": "out_of_memory", "parameter": "rate", "multiply": 0.1},
    ]
    folder.policy(retries={**RETRIES, "remedies": rules})
    answer = act("memory")
    assert answer.code == ExitCode.STEP_FAILED
    seen = [(p["trials"], p["rate"]) for p in map(params_of, folder.attempts)]
    assert seen == [(20, 0.5), (10, 0.5), (10, 0.05), (10, 0.05)]
    message = answer.document["message"]
    assert "retries.budgets.memory is 3" in message
    assert "trials" in message
    origins = rows(
        folder, "SELECT origin FROM parameters WHERE name = 'trials' ORDER BY attempt_id"
    )
    assert origins == [("manifest",), ("retry",), ("retry",), ("retry",)]


def test_a_critical_winner_is_retried_with_a_change_until_it_is_well(act, folder):
    rules = [{"finding": "diverged", "parameter": "rate", "multiply": 0.3}]
    folder.policy(retries={**RETRIES, "remedies": rules})
    answer = act("ill")
    assert answer.code == ExitCode.DONE
    assert [params_of(a)["rate"] for a in folder.attempts] == [0.5, pytest.approx(0.15)]


def test_a_critical_winner_that_no_rule_answers_ends_the_run(act, folder):
    folder.policy(retries={**RETRIES, "remedies": []})
    answer = act("ill")
    assert answer.code == ExitCode.STEP_FAILED
    assert len(folder.attempts) == 1
    assert "no rule of retries.remedies applies" in answer.document["message"]


def test_used_up_budgets_wait_for_a_person_where_the_policy_says_so(act, watcher, folder):
    folder.policy(retries={**RETRIES, "max_per_step": 1, "when_used_up": "ask"})
    answer = act("fail")
    assert answer.code == ExitCode.WAITING_FOR_APPROVAL
    assert answer.document["status"] == "waiting"
    assert "retries.max_per_step is 1" in answer.document["message"]
    again = ("--run-pipeline", "--resume", "--json")
    assert watcher(*again).code == ExitCode.WAITING_FOR_APPROVAL
    assert len(folder.attempts) == 2
    assert watcher("--approve", "last").code == ExitCode.DONE
    assert watcher(*again).code == ExitCode.WAITING_FOR_APPROVAL
    assert len(folder.attempts) == 3


# --- success conditions -----------------------------------------------------------------------


def test_a_diagnostics_file_of_another_run_is_never_read_as_this_runs(act, folder):
    conditions = [{"file": "out/diagnostics.json", "key": "run_id", "of_this_run": True}]
    folder.manifest(success_conditions=conditions)
    folder.policy(retries={**RETRIES, "max_per_step": 0})
    (folder.root / "out").mkdir()
    (folder.root / "out" / "diagnostics.json").write_text('{"run_id": "20200101-000000-aaaa"}')
    stale = act("complete")
    assert stale.code == ExitCode.STEP_FAILED
    assert "it is another run's file" in stale.document["message"]
    assert act("diagnose").code == ExitCode.DONE


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({"key": "score", "min": 0.9}, "must be at least 0.9, got 0.7"),
        ({"key": "score", "max": 0.5}, "must be at most 0.5, got 0.7"),
        ({"key": "run_id", "min": 1}, "must be a number"),
        ({"key": "score", "equals": 1}, "must be 1, got 0.7"),
        ({"key": "deep.score", "min": 0}, "deep.score is not there"),
    ],
)
def test_a_success_condition_that_does_not_hold_is_told(act, folder, condition, told):
    folder.manifest(success_conditions=[{"file": "out/diagnostics.json", **condition}])
    folder.policy(retries={**RETRIES, "max_per_step": 0})
    answer = act("diagnose")
    assert answer.document["steps"][0]["outcome"] == "bad_result"
    assert told in answer.document["message"]


# --- approvals --------------------------------------------------------------------------------


def test_a_step_waits_for_its_approval_and_then_starts(act, watcher, folder):
    folder.policy(approvals={"before_steps": [5]})
    waiting = act("complete")
    run_id = waiting.document["run_id"]
    assert waiting.code == ExitCode.WAITING_FOR_APPROVAL
    assert f"watcher --approve {run_id}" in waiting.document["message"]
    assert folder.attempts == []
    still = watcher("--run-pipeline", "--resume", "--json")
    assert still.code == ExitCode.WAITING_FOR_APPROVAL
    approved = watcher("--approve", run_id, "--note", "looked at it", "--json")
    assert approved.code == ExitCode.DONE
    done = watcher("--run-pipeline", "--resume", "--json")
    assert done.code == ExitCode.DONE
    assert done.document["run_id"] == run_id
    ((by, note),) = rows(folder, "SELECT answered_by, note FROM approvals")
    assert by
    assert note == "looked at it"


def test_models_that_wait_are_said_and_an_approval_that_cannot_publish_changes_nothing(
    act, watcher, folder
):
    waiting = act("awaiting")
    assert waiting.code == ExitCode.WAITING_FOR_APPROVAL
    assert "holdout R2 0.5 is below 0.8" in waiting.document["message"]
    refused = watcher("--approve", "last", "--json")
    assert refused.code == ExitCode.STEP_FAILED
    assert "nothing was published" in refused.document["message"]
    assert rows(folder, "SELECT answered_at FROM approvals") == [(None,)]
    # The run itself, resumed, finds the step fresh and its models waiting still.
    again = watcher("--run-pipeline", "--resume", "--json")
    assert again.code == ExitCode.WAITING_FOR_APPROVAL
    assert f"watcher --approve {waiting.document['run_id']}" in again.document["message"]
    assert len(folder.attempts) == 1


@pytest.mark.parametrize("named", ["last", "20200101-000000-aaaa"])
def test_approving_what_does_not_wait_is_a_usage_error(act, watcher, named):
    act("complete")
    answer = watcher("--approve", named, "--json")
    assert answer.code == ExitCode.USAGE
    assert "no run waits" in answer.document["message"]


# --- resuming ---------------------------------------------------------------------------------


def test_resume_without_a_stopped_run_is_a_usage_error(act, watcher):
    assert watcher("--run-pipeline", "--resume").code == ExitCode.USAGE
    act("complete")
    answer = watcher("--run-pipeline", "--resume", "--json")
    assert answer.code == ExitCode.USAGE
    assert "leave --resume out" in answer.document["message"]


def test_resume_after_used_up_retries_goes_on_with_what_they_had_changed(act, watcher, folder):
    rules = [{"finding": "out_of_memory", "parameter": "trials", "multiply": 0.5}]
    folder.policy(retries={**RETRIES, "max_per_step": 1, "remedies": rules})
    failed = act("memory")
    resumed = watcher("--run-pipeline", "--resume", "--json", "--params", '{"act": "complete"}')
    assert resumed.code == ExitCode.DONE
    assert resumed.document["run_id"] == failed.document["run_id"]
    assert [path.name for path in folder.attempts][-1] == "step5-attempt3"
    assert params_of(folder.attempts[-1])["trials"] == 10


def test_what_a_person_gives_now_goes_over_what_retries_had_changed(act, watcher, folder):
    rules = [{"finding": "out_of_memory", "parameter": "trials", "multiply": 0.5}]
    folder.policy(retries={**RETRIES, "max_per_step": 1, "remedies": rules})
    act("memory")
    params = '{"act": "complete", "trials": 15}'
    assert watcher("--run-pipeline", "--resume", "--params", params).code == ExitCode.DONE
    assert params_of(folder.attempts[-1])["trials"] == 15


def test_a_change_that_the_manifest_no_longer_allows_is_a_usage_error(act, watcher, folder):
    rules = [{"finding": "out_of_memory", "parameter": "trials", "multiply": 0.5}]
    folder.policy(retries={**RETRIES, "max_per_step": 1, "remedies": rules})
    act("memory")
    bounds = {"act": {"type": "string", "default": "complete"}}
    bounds["trials"] = {"type": "integer", "min": 15, "default": 20}
    folder.manifest(parameter_bounds=bounds)
    answer = watcher("--run-pipeline", "--resume", "--json")
    assert answer.code == ExitCode.USAGE
    assert "as an earlier retry has changed it" in answer.document["message"]


def test_resume_skips_the_steps_that_are_done(act, watcher, folder):
    folder.manifest("later", step=6, agent_name="later", default_params={"act": "bad_input"})
    folder.manifest()
    failed = watcher("--run-pipeline", "--json", "--params", '{"trials": 3}')
    assert failed.code == ExitCode.STEP_FAILED
    folder.manifest("later", step=6, agent_name="later", outputs=[])
    resumed = watcher("--run-pipeline", "--resume", "--json")
    assert resumed.code == ExitCode.DONE
    assert [s["outcome"] for s in resumed.document["steps"]] == ["skipped", "complete"]


def test_a_secret_is_kept_nowhere_and_must_be_given_again(watcher, folder):
    folder.manifest(
        parameter_bounds={
            "act": {"type": "string", "default": "complete"},
            "trials": {"type": "integer", "default": 1},
            "api_token": {"type": "string", "default": ""},
        }
    )
    folder.policy(retries={**RETRIES, "max_per_step": 0})
    params = json.dumps({"act": "fail", "api_token": "hunter2hunter2"})
    watcher("--run-pipeline", "--params", params)
    assert params_of(folder.attempts[0])["api_token"] == "hunter2hunter2"
    assert (folder.attempts[0] / "request.json").stat().st_mode & 0o077 == 0
    for path in (folder.root / ".watcher").glob("ledger.sqlite*"):
        assert b"hunter2" not in path.read_bytes()
    refused = watcher("--run-pipeline", "--resume", "--json")
    assert refused.code == ExitCode.USAGE
    assert "api_token held a secret" in refused.document["message"]
    given = json.dumps({"act": "complete", "api_token": "hunter2hunter2"})
    assert watcher("--run-pipeline", "--resume", "--params", given).code == ExitCode.DONE


# --- halts and the policy ---------------------------------------------------------------------


def test_halt_and_clear_halt(act, watcher, folder):
    assert watcher("--halt", "the GPU is needed").code == ExitCode.DONE
    refused = act("complete")
    assert refused.code == ExitCode.HALTED
    assert "the GPU is needed" in refused.document["message"]
    assert watcher("--clear-halt").code == ExitCode.DONE
    assert act("complete").code == ExitCode.DONE


def test_clear_halt_says_that_the_policy_halts_all_the_same(watcher, folder):
    folder.policy(halt=True, halt_reason="closed")
    answer = watcher("--clear-halt", "--json")
    assert answer.code == ExitCode.HALTED
    assert "closed" in answer.document["still"]


def test_policies_check_prints_what_is_in_force(watcher, folder):
    folder.policy(halt_reason="later")
    answer = watcher("--policies-check", "--json")
    assert answer.code == ExitCode.DONE
    assert answer.document["values"]["halt_reason"] == "later"
    assert "halt_reason" in answer.document["changed"]
    assert "halt_reason" in watcher("--policies-check").out


def test_policies_check_refuses_a_broken_file_with_2(watcher, folder):
    (folder.root / "watcher_policies.json").write_text('{"hatl": true}')
    answer = watcher("--policies-check", "--json")
    assert answer.code == ExitCode.USAGE
    assert "hatl: unknown key" in answer.document["message"]


# --- paths ------------------------------------------------------------------------------------

INPUT = [{"name": "table", "param": "table", "candidates": ["data.csv"], "required": True}]


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "outside" / "secret.csv"
    path.parent.mkdir()
    path.write_text("a,b\n1,2\n")
    return path


def run_with(watcher, **params):
    return watcher("--run-pipeline", "--json", "--params", json.dumps(params))


def test_a_relative_path_that_leaves_the_workspace_is_refused(watcher, folder, outside):
    folder.manifest(inputs=INPUT)
    answer = run_with(watcher, table="../outside/secret.csv")
    assert answer.code == ExitCode.USAGE
    assert "paths.allowed_roots" in answer.document["message"]
    assert not (folder.root / ".watcher").exists()


def test_a_symlink_that_leaves_the_workspace_is_refused(watcher, folder, outside):
    folder.manifest(inputs=INPUT)
    (folder.root / "data.csv").symlink_to(outside)
    answer = run_with(watcher)
    assert answer.code == ExitCode.USAGE
    assert str(outside) in answer.document["message"]


def test_a_root_of_the_policy_may_be_read_and_an_absolute_path_unless_it_says_no(
    watcher, folder, outside
):
    folder.manifest(inputs=INPUT)
    assert run_with(watcher, table=str(outside)).code == ExitCode.DONE
    folder.policy(paths={"inputs_by_absolute_path": False})
    assert run_with(watcher, table=str(outside), trials=3).code == ExitCode.USAGE
    roots = {"allowed_roots": [str(outside.parent)], "inputs_by_absolute_path": False}
    folder.policy(paths=roots)
    assert run_with(watcher, table=str(outside), trials=3).code == ExitCode.DONE
    assert run_with(watcher, table="../outside/secret.csv", trials=4).code == ExitCode.DONE


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("data.csv", b"", "is empty"),
        ("data.parquet", b"a,b\n1,2\n", "is not a .parquet file"),
        ("data.json", b"<html>", "is not JSON"),
        ("data.npz", b"a,b\n1,2\n", "is not a .npz file"),
    ],
)
def test_an_input_that_is_not_what_its_name_says_is_refused(watcher, folder, name, content, told):
    folder.manifest(inputs=INPUT)
    (folder.root / name).write_bytes(content)
    answer = run_with(watcher, table=name)
    assert answer.code == ExitCode.STEP_FAILED
    assert told in answer.document["message"]
    assert folder.attempts == []


def test_a_gpu_that_is_switched_off_and_not_there_is_a_warning(watcher, folder):
    folder.policy(training={"gpus_off": ["GPU-of-somewhere-else"]})
    answer = run_with(watcher)
    assert answer.code == ExitCode.DONE
    assert any("GPU-of-somewhere-else" in e["message"] for e in answer.document["events"])


def test_a_package_of_the_policy_may_be_named_by_a_manifest(folder, capfd):
    from agents.cli import main

    assert main(["--run-pipeline"], packages=("steps",)) == ExitCode.USAGE
    folder.policy(steps={"allowed_packages": ["fake_steps"]})
    assert main(["--run-pipeline"], packages=("steps",)) == ExitCode.DONE
    capfd.readouterr()
