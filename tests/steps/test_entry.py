"""A step's process always leaves a result file that says what happened."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agents import step_process
from steps import entry
from steps.contract import Estimate, FamilyResult, Scores, StepRequest, StepResult
from steps.entry import run_step, stop_requested
from steps.errors import StepRefused


@pytest.fixture
def request_file(tmp_path):
    request = StepRequest(
        run_id="r",
        step=5,
        attempt=2,
        params={},
        inputs={},
        workspace=str(tmp_path),
        policy_path="",
        out_dir=str(tmp_path),
    )
    path = tmp_path / "request.json"
    path.write_text(request.model_dump_json())
    return path


@pytest.fixture(autouse=True)
def _restored_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def done(request: StepRequest, **facts) -> StepResult:
    values = {"status": "complete", "headline": "done", **facts}
    return StepResult(run_id=request.run_id, step=request.step, attempt=request.attempt, **values)


def written(request_file: Path) -> StepResult:
    return StepResult.model_validate_json((request_file.parent / "result.json").read_text())


def test_result_is_written_and_the_exit_code_is_0(request_file):
    assert run_step(done, ["--request", str(request_file)]) == 0
    assert written(request_file).status == "complete"


def test_refusal_becomes_a_failed_result_with_its_kind(request_file):
    def run(request):
        raise StepRefused("bad_input", "t.csv: column y must be numeric, got text in row 3")

    assert run_step(run, ["--request", str(request_file)]) == 1
    result = written(request_file)
    assert (result.status, result.attempt, result.error.kind) == ("failed", 2, "bad_input")
    assert result.error.message == "t.csv: column y must be numeric, got text in row 3"


def test_any_other_exception_is_internal_with_its_traceback(request_file, capsys):
    def run(request):
        raise ZeroDivisionError("by nothing")

    assert run_step(run, ["--request", str(request_file)]) == 1
    error = written(request_file).error
    assert (error.kind, error.message) == ("internal", "ZeroDivisionError: by nothing")
    assert "test_entry.py" in error.detail
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_memory_error_is_out_of_memory(request_file):
    def run(request):
        raise MemoryError

    assert run_step(run, ["--request", str(request_file)]) == 1
    assert written(request_file).error.kind == "out_of_memory"


def test_score_that_cannot_be_read_back_fails_here(request_file):
    def run(request):
        nan = Estimate(value=float("nan"))
        family = FamilyResult(status="complete", cv=Scores(r2=nan, rmse=nan, mae=nan))
        return done(request, families={"xgboost": family})

    assert run_step(run, ["--request", str(request_file)]) == 1
    assert "families.xgboost.cv.r2.value" in written(request_file).error.message


def test_result_of_another_attempt_is_internal(request_file):
    def run(request):
        return done(request).model_copy(update={"attempt": 1})

    assert run_step(run, ["--request", str(request_file)]) == 1
    assert "run_id, step and attempt" in written(request_file).error.message


def test_request_that_cannot_be_read_is_code_2(tmp_path, capsys):
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"run_id": "r"}))
    assert run_step(done, ["--request", str(path)]) == 2
    assert "request.json" in capsys.readouterr().err


def test_sigterm_is_a_flag_that_the_step_can_poll(request_file):
    def run(request):
        before = stop_requested()
        os.kill(os.getpid(), signal.SIGTERM)
        return done(request, headline=f"{before} {stop_requested()}")

    run_step(run, ["--request", str(request_file)])
    assert written(request_file).headline == "False True"


def test_process_whose_watcher_is_gone_already_does_not_start():
    code = "from steps.entry import die_with_parent; die_with_parent(); print('alive')"
    environ = {
        **os.environ,
        "WATCHER_PARENT_PID": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    ended = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")


def test_watcher_and_step_spell_the_parent_pid_variable_alike():
    assert entry.PARENT_PID_VARIABLE == step_process.PARENT_PID_VARIABLE
