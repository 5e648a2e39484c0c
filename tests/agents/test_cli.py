"""The command line: what goes together, dry runs, errors, JSON, a fresh folder."""

import json

import pytest

from steps.contract import ExitCode


def test_bare_command_shows_the_help(watcher):
    answer = watcher()
    assert answer.code == ExitCode.USAGE
    assert "examples:" in answer.out


def test_dry_run_shows_values_with_their_origin_and_starts_nothing(watcher, folder):
    answer = watcher("--run-pipeline", "--dry-run", "--params", '{"rate": 0.25}')
    assert answer.code == ExitCode.DONE
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["rate", "0.25", "params"] in rows
    assert ["trials", "20", "manifest"] in rows
    assert ["act", '"complete"', "default"] in rows
    assert "fake_steps.actor" in answer.out
    assert not (folder.root / ".watcher").exists()


def test_dry_run_in_json_holds_the_same(watcher):
    document = watcher("--run-pipeline", "--dry-run", "--json").document
    (step,) = document["steps"]
    assert step["parameters"]["trials"] == {"value": 20, "origin": "manifest"}
    assert step["limit_s"] == 360 * 60


def test_dry_run_says_what_is_missing(watcher, folder):
    folder.manifest(inputs=[{"name": "table", "param": "table", "candidates": ["t.csv"]}])
    answer = watcher("--run-pipeline", "--dry-run")
    assert answer.code == ExitCode.STEP_FAILED
    assert "MISSING" in answer.out
    assert "t.csv" in answer.out


def test_missing_input_names_parameter_and_places_and_starts_nothing(watcher, folder):
    folder.manifest(inputs=[{"name": "table", "param": "table", "candidates": ["t.csv", "t.npz"]}])
    answer = watcher("--run-pipeline")
    assert answer.code == ExitCode.STEP_FAILED
    for wanted in ("'table'", str(folder.root / "t.csv"), str(folder.root / "t.npz")):
        assert wanted in answer.err
    assert not folder.attempts


def test_named_input_that_is_not_there_is_no_reason_to_take_another(watcher, folder):
    folder.manifest(inputs=[{"name": "table", "param": "table", "candidates": ["t.csv"]}])
    (folder.root / "t.csv").write_text("a\n1\n")
    answer = watcher("--run-pipeline", "--params", '{"table": "u.csv"}')
    assert answer.code == ExitCode.STEP_FAILED
    assert "table must name a file, got 'u.csv'" in answer.err


def test_relative_input_is_found_in_the_current_folder_too(watcher, folder, tmp_path, monkeypatch):
    folder.manifest(inputs=[{"name": "table", "param": "table", "candidates": []}])
    (tmp_path / "u.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    answer = watcher(
        "--run-pipeline", "--workspace", str(folder.root), "--params", '{"table": "u.csv"}'
    )
    assert answer.code == ExitCode.DONE
    request = json.loads((folder.attempts[0] / "request.json").read_text())
    assert request["inputs"] == {"table": str(tmp_path / "u.csv")}


def test_module_that_is_not_installed_is_refused_before_anything_starts(watcher, folder):
    folder.manifest(module="steps.step77_nothing")
    answer = watcher("--run-pipeline")
    assert answer.code == ExitCode.USAGE
    assert "steps.step77_nothing" in answer.err


def test_output_through_a_symlink_out_of_the_workspace_is_refused(watcher, folder, tmp_path):
    (folder.root / "out").symlink_to(tmp_path)
    answer = watcher("--run-pipeline")
    assert answer.code == ExitCode.USAGE
    assert "must stay inside the workspace" in answer.err


def test_step_without_a_manifest_names_those_that_have_one(watcher):
    answer = watcher("--run-pipeline", "--start-step", "3", "--end-step", "5")
    assert answer.code == ExitCode.USAGE
    assert "--start-step must be a step that has a manifest: 5 (acting); got 3" in answer.err


def test_start_step_alone_is_not_blamed_on_an_end_step_that_nobody_gave(watcher):
    answer = watcher("--run-pipeline", "--start-step", "9")
    assert answer.code == ExitCode.USAGE
    assert "--start-step must be a step that has a manifest: 5 (acting); got 9" in answer.err
    assert "--end-step" not in answer.err


def test_range_the_wrong_way_round_is_refused(watcher, folder):
    folder.manifest("second", step=6, agent_name="second")
    answer = watcher("--run-pipeline", "--start-step", "6", "--end-step", "5")
    assert answer.code == ExitCode.USAGE
    assert "--start-step must be at most --end-step, got 6 and 5" in answer.err


def test_steps_run_in_order_and_share_parameters(watcher, folder):
    bounds = {"only_here": {"type": "integer", "default": 0}}
    folder.manifest(
        "first",
        step=2,
        agent_name="first",
        parameter_bounds={"act": {"type": "string", "default": "complete"}, **bounds},
        default_params={},
    )
    answer = watcher("--run-pipeline", "--json", "--params", '{"only_here": 3}')
    assert [step["step"] for step in answer.document["steps"]] == [2, 5]


def test_shell_text_in_a_parameter_stays_text(watcher, folder):
    folder.manifest(inputs=[{"name": "table", "param": "table", "candidates": []}])
    name = "x; touch pwned; $(touch pwned).csv"
    (folder.root / name).write_text("a\n1\n")
    answer = watcher("--run-pipeline", "--json", "--params", json.dumps({"table": name}))
    assert answer.code == ExitCode.DONE
    assert not list(folder.root.glob("pwned*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--run-pipeline", "--params", '{"trials": 0}'),
        ("--run-pipeline", "--params", '{"trails": 3}'),
        ("--run-pipeline", "--params", "{"),
        ("--run-pipeline", "--start-step", "x"),
        ("--run-pipeline", "--status"),
        ("--params", "{}"),
        ("--status", "--output", "x.csv"),
        ("--run-pipeline", "--verbose", "--quiet"),
        ("--nonsense",),
        (),
        ("--init", ""),
        ("--status", "--workspace", " "),
    ],
)
def test_usage_errors_are_code_2_and_one_json_document(watcher, arguments):
    answer = watcher(*arguments, "--json")
    assert answer.code == ExitCode.USAGE
    assert answer.document["status"] == "error"
    assert answer.document["exit_code"] == 2
    assert answer.document["message"] in answer.err


def test_broken_policy_is_code_2(watcher, folder):
    (folder.root / "watcher_policies.json").write_text('{"hatl": true}')
    answer = watcher("--run-pipeline")
    assert answer.code == ExitCode.USAGE
    assert "hatl: unknown key" in answer.err


def test_workspace_that_is_not_there_says_how_to_make_one(watcher, tmp_path):
    answer = watcher("--status", "--workspace", str(tmp_path / "no where"))
    assert answer.code == ExitCode.STEP_FAILED
    assert f"`watcher --init '{tmp_path}/no where'`" in answer.err


def test_workspace_that_is_a_file_is_called_a_file(watcher, tmp_path):
    (tmp_path / "file").write_text("")
    answer = watcher("--status", "--workspace", str(tmp_path / "file"))
    assert answer.code == ExitCode.STEP_FAILED
    assert f"got the file {tmp_path / 'file'}" in answer.err
    assert "--init" not in answer.err


def test_home_of_somebody_unknown_is_no_traceback(watcher):
    answer = watcher("--status", "--workspace", "~no-such-user-here/x")
    assert answer.code == ExitCode.STEP_FAILED
    assert "nothing there" in answer.err


def test_workspace_in_a_circle_of_symlinks_is_no_traceback(watcher, tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    answer = watcher("--status", "--workspace", str(tmp_path / "a"))
    assert answer.code == ExitCode.STEP_FAILED


def test_bare_folder_runs_under_the_packaged_policy_and_says_so(watcher, folder):
    (folder.root / "watcher_policies.json").unlink()
    answer = watcher("--run-pipeline")
    assert answer.code == ExitCode.DONE
    assert answer.err.count("the packaged policy is in force") == 1


def test_status_of_a_fresh_folder_says_what_to_do_and_leaves_it_fresh(watcher, folder):
    answer = watcher("--status")
    assert answer.code == ExitCode.DONE
    assert "Nothing has run here yet" in answer.out
    assert "--run-pipeline" in answer.out
    assert not (folder.root / ".watcher").exists()


def test_status_after_a_run_shows_its_result(watcher):
    watcher("--run-pipeline")
    answer = watcher("--status")
    for wanted in ("complete", "Signal: strong", "catboost", "out/winner.txt", "exit code 0"):
        assert wanted in answer.out, wanted


def test_status_names_the_file_when_the_ledger_is_garbage(watcher, folder):
    (folder.root / ".watcher").mkdir()
    (folder.root / ".watcher" / "ledger.sqlite").write_bytes(b"garbage" * 1000)
    answer = watcher("--status")
    assert answer.code == ExitCode.STEP_FAILED
    assert "ledger.sqlite" in answer.err
    assert "move it away" in answer.err


def test_no_colour_where_no_color_is_set(watcher, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    answer = watcher("--run-pipeline", "--quiet")
    assert "\x1b[3" not in answer.out


@pytest.mark.parametrize("columns", ["80", "120"])
def test_result_fits_the_screen(watcher, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    answer = watcher("--run-pipeline", "--quiet")
    paths = [line for line in answer.out.splitlines() if "Files in" not in line]
    assert max(map(len, paths)) <= int(columns)
    assert "[0.790, 0.830]" in answer.out
