"""Whole runs in this process, with fake steps."""

import json
import sqlite3
import time
from pathlib import Path

from steps.contract import ExitCode


def test_complete_step_ends_with_code_0_and_its_result(act, folder):
    answer = act("complete")
    assert answer.code == ExitCode.DONE
    document = answer.document
    assert document["status"] == "complete"
    (step,) = document["steps"]
    assert step["outcome"] == "complete"
    assert step["result"]["winner"] == "catboost"
    assert (folder.attempts[0] / "log.txt").read_text() == "acting complete\n"


def test_a_step_is_told_which_parameters_somebody_gave(act, folder):
    act("complete")
    request = json.loads((folder.attempts[0] / "request.json").read_text())
    assert request["given"] == ["act"]
    assert {"trials", "rate", "table"} < set(request["params"])


def test_result_screen_names_verdict_winner_failure_and_files(watcher):
    answer = watcher("--run-pipeline", "--params", '{"act": "complete"}')
    for wanted in (
        "Signal: strong",
        "* catboost",
        "0.8123",
        "[0.790, 0.830]",
        "20",
        "2 pruned",
        "every trial diverged",
        "column c is constant",
        "out/winner.txt",
        "watcher --predict new.csv --output predictions.csv",
    ):
        assert wanted in answer.out, wanted
    assert "Signal" not in answer.err
    assert max(map(len, answer.out.splitlines())) <= 100


def test_ledger_keeps_run_attempt_parameters_decision_and_artifact(act, folder):
    run_id = act("complete").document["run_id"]
    db = sqlite3.connect(folder.root / ".watcher" / "ledger.sqlite")
    try:
        assert db.execute("SELECT run_id, state, exit_code FROM runs").fetchall() == [
            (run_id, "complete", 0)
        ]
        assert db.execute("SELECT step, attempt, outcome FROM attempts").fetchall() == [
            (5, 1, "complete")
        ]
        origins = dict(db.execute("SELECT name, origin FROM parameters").fetchall())
        assert origins == {
            "act": "params",
            "trials": "manifest",
            "rate": "default",
            "table": "default",
        }
        assert db.execute("SELECT action FROM decisions").fetchall() == [("next",)]
        ((path, size),) = db.execute("SELECT path, bytes FROM artifacts").fetchall()
        assert (path, size) == ("out/winner.txt", 8)
    finally:
        db.close()


def test_no_signal_of_training_is_code_0_and_said(watcher):
    answer = watcher("--run-pipeline", "--params", '{"act": "no_signal"}')
    assert answer.code == ExitCode.DONE
    assert "Signal: none" in answer.out


def test_failing_step_is_retried_up_to_its_limit(act):
    answer = act("fail")
    assert answer.code == ExitCode.STEP_FAILED
    (step,) = answer.document["steps"]
    assert [attempt["attempt"] for attempt in step["attempts"]] == [1, 2, 3]
    assert "the moon is in the wrong place" in answer.document["message"]
    assert "retries.max_per_step is 2" in answer.document["message"]


def test_limit_of_a_run_ends_the_retries_too(act, folder):
    folder.policy(retries={"max_per_step": 5, "max_per_run": 1, "backoff_s": 0})
    answer = act("fail")
    assert len(answer.document["steps"][0]["attempts"]) == 2
    assert "retries.max_per_run is 1" in answer.document["message"]


def test_step_that_fails_twice_completes_on_the_third_attempt(act, folder):
    answer = act("flaky")
    assert answer.code == ExitCode.DONE
    assert [path.name for path in folder.attempts] == [
        "step5-attempt1",
        "step5-attempt2",
        "step5-attempt3",
    ]


def test_bad_input_is_never_retried(act):
    answer = act("bad_input")
    assert answer.code == ExitCode.STEP_FAILED
    (step,) = answer.document["steps"]
    assert len(step["attempts"]) == 1
    assert "column price must be numeric" in answer.document["message"]


def test_memory_error_is_told_apart_from_a_bug(act, folder):
    folder.policy(retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0})
    assert act("memory").document["steps"][0]["outcome"] == "out_of_memory"


def test_silent_step_is_stopped_within_a_second_of_its_limit(act, folder):
    folder.policy(
        steps={"kill_grace_s": 0.2, "timeout_minutes": {"5": 1 / 60}},
        retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0},
    )
    answer = act("silent")
    assert answer.code == ExitCode.TIMEOUT
    assert "did not finish within its limit of 1 s" in answer.document["message"]
    (attempt,) = answer.document["steps"][0]["attempts"]
    assert 1.0 <= attempt["duration_s"] < 1.0 + 1.0 + 0.2


def test_step_that_ignores_term_is_killed_with_processes_of_other_groups(act, folder, is_alive):
    folder.policy(
        steps={"kill_grace_s": 0.2, "timeout_minutes": {"5": 1.2 / 60}},
        retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0},
    )
    assert act("deaf").code == ExitCode.TIMEOUT
    assert not is_alive(folder.pid())
    assert not is_alive(folder.pid("grandchild"))


def test_grandchild_that_holds_stdout_neither_delays_nor_survives(act, folder, is_alive):
    started = time.monotonic()
    answer = act("grandchild")
    assert answer.code == ExitCode.DONE
    assert time.monotonic() - started < 10
    assert not is_alive(folder.pid("grandchild"))
    assert "outlived it" in str(answer.document["events"])


def test_spew_of_60_mb_neither_blocks_nor_fills_the_disk(act, folder):
    answer = act("spew")
    assert answer.code == ExitCode.DONE
    log: Path = folder.attempts[0] / "log.txt"
    assert log.stat().st_size < 51_000_000
    end = log.read_bytes()[-400_000:]
    assert b"bytes were left out here" in end
    assert end.endswith(b"the last line\n")
    assert "log is cut" in str(answer.document["events"])


def test_crash_names_its_signal(act, folder):
    folder.policy(retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0})
    answer = act("segfault")
    assert answer.code == ExitCode.STEP_FAILED
    assert "SIGSEGV" in answer.document["message"]


def test_result_of_another_run_is_refused(act, folder):
    folder.policy(retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0})
    answer = act("foreign")
    assert answer.code == ExitCode.STEP_FAILED
    assert "got run 20200101-000000-aaaa" in answer.document["message"]


def test_output_that_is_not_there_is_not_believed(act, folder):
    folder.policy(retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0})
    answer = act("liar")
    assert answer.code == ExitCode.STEP_FAILED
    assert "out/never.txt is not there" in answer.document["message"]


def test_step_named_in_do_not_start_stops_the_run_with_10(act, folder):
    folder.policy(steps={"do_not_start": [5]})
    answer = act("complete")
    assert answer.code == ExitCode.HALTED
    assert not folder.attempts


def test_halt_file_keeps_anything_from_starting(act, folder):
    (folder.root / "watcher_halt.flag").write_text("maintenance")
    answer = act("complete")
    assert answer.code == ExitCode.HALTED
    assert "maintenance" in answer.document["message"]
    assert answer.document["status"] == "error"


def test_modules_in_the_workspace_do_not_shadow_those_of_the_step(act, folder):
    (folder.root / "json.py").write_text("raise SystemExit('shadowed')")
    (folder.root / "steps").mkdir()
    assert act("complete").code == ExitCode.DONE


def test_verbose_shows_what_the_step_prints_on_stderr(watcher):
    answer = watcher("--run-pipeline", "--verbose")
    assert "acting complete" in answer.err
    assert "acting complete" not in answer.out


def test_quiet_run_says_nothing_on_stderr(watcher):
    answer = watcher("--run-pipeline", "--quiet")
    assert answer.err == ""
    assert "Signal: strong" in answer.out


def test_progress_off_a_terminal_is_a_plain_line_for_each_phase(watcher):
    answer = watcher("--run-pipeline", "--params", '{"act": "complete"}')
    assert "\x1b" not in answer.err
    assert "step 5 (acting): Act as told" in answer.err


def test_predict_runs_the_action_once_and_keeps_its_folder(watcher, folder):
    sidecar = folder.root / "models" / "reinforcement" / "best_model.meta.json"
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text("{}")
    (folder.root / "new.csv").write_text("a\n1\n")
    answer = watcher("--predict", "new.csv", "--json")
    assert answer.code == ExitCode.DONE
    assert (folder.root / "predictions" / "new.predictions.csv").exists()
    assert folder.attempts[0].name == "predict-attempt1"


def test_predict_may_write_where_a_person_says_also_outside_the_workspace(
    watcher, folder, tmp_path
):
    sidecar = folder.root / "models" / "reinforcement" / "best_model.meta.json"
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text("{}")
    (folder.root / "new.csv").write_text("a\n1\n")
    output = tmp_path / "elsewhere.csv"
    answer = watcher("--predict", "new.csv", "--output", str(output))
    assert answer.code == ExitCode.DONE
    assert output.read_text().startswith("row,prediction")
    assert "predict: done" in answer.out


def test_predict_without_signal_is_refused_with_12(watcher, folder, monkeypatch):
    monkeypatch.setenv("FAKE_PREDICT", "no_signal")
    sidecar = folder.root / "models" / "reinforcement" / "best_model.meta.json"
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text("{}")
    (folder.root / "new.csv").write_text("a\n1\n")
    answer = watcher("--predict", "new.csv", "--output", "p.csv")
    assert answer.code == ExitCode.NO_SIGNAL
    assert "nothing to predict" in answer.out


def test_predict_without_a_winner_says_how_to_train_one(watcher, folder):
    (folder.root / "new.csv").write_text("a\n1\n")
    answer = watcher("--predict", "new.csv")
    assert answer.code == ExitCode.STEP_FAILED
    assert "--run-pipeline --start-step 5 --end-step 5" in answer.err
