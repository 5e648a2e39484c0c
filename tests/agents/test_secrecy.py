"""A secret that a person gives to a step reaches the step, and nobody else."""

import json
import stat

import pytest

from steps.contract import ExitCode

SECRET = "Zq9-hunter22"
BOUNDS = {
    "act": {"type": "string", "default": "complete"},
    "api_key": {"type": "string", "nullable": True, "default": None},
    "table": {"type": "string", "nullable": True, "default": None},
}


@pytest.fixture
def leaky(folder):
    """A workspace whose step quotes its secret in everything that it says."""
    folder.manifest(
        module="fake_steps.leaker", parameter_bounds=BOUNDS, default_params={}, outputs=[]
    )
    return folder


def params(act):
    return ("--params", json.dumps({"act": act, "api_key": SECRET}))


@pytest.mark.parametrize("act", ["complete", "fail"])
@pytest.mark.parametrize("form", [("--json",), ("--verbose",)])
def test_no_screen_shows_a_secret_that_the_step_quotes(watcher, leaky, act, form):
    run = watcher("--run-pipeline", *params(act), *form)
    looks = [("--status",), ("--explain", "last"), ("--history",)]
    looks.append(("--evaluate", str(leaky.attempts[0] / "result.json")))
    answers = [run, *(watcher(*look, *form[:1]) for look in looks)]
    for answer in answers:
        assert answer.out
        assert SECRET not in answer.out + answer.err
    assert any("***" in answer.out for answer in answers)
    # The step itself got it.
    assert SECRET in (leaky.attempts[0] / "request.json").read_text()
    assert SECRET in (leaky.attempts[0] / "result.json").read_text()


def test_progress_of_a_running_step_is_shown_without_its_secret(watcher, leaky, spawn):
    process = spawn("--run-pipeline", *params("stay"))
    line = next(line for line in process.stderr if "searching" in line)
    assert "searching with ***" in line
    assert "asked with ***" in line
    for form in ((), ("--json",)):
        answer = watcher("--status", *form)
        assert "asked with ***" in answer.out
        assert SECRET not in answer.out
    process.terminate()
    process.wait(20)


def test_log_holds_no_secret_and_the_rest_of_the_line(watcher, leaky):
    watcher("--run-pipeline", *params("complete"))
    log = (leaky.attempts[0] / "log.txt").read_text()
    assert "calling with *** and {" in log
    assert SECRET not in log


def test_what_is_kept_of_an_attempt_is_for_its_owner_alone(watcher, leaky):
    watcher("--run-pipeline", *params("complete"))
    (attempt,) = leaky.attempts
    runs = leaky.root / ".watcher" / "runs"
    for folder in (runs, attempt.parent, attempt):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for name in ("request.json", "result.json", "log.txt"):
        assert stat.S_IMODE((attempt / name).stat().st_mode) == 0o600, name


def test_error_that_quotes_a_database_address_shows_it_without_its_password(act, watcher, folder):
    answer = act("postgres://joe:hunter22@h/db")
    shown = [answer, watcher("--status"), watcher("--status", "--json")]
    for each in shown:
        assert "hunter22" not in each.out + each.err
    assert "postgres://joe:***@h/db" in answer.out
    assert "hunter22" not in (folder.attempts[0] / "log.txt").read_text()


def test_dry_run_shows_that_there_is_a_secret_not_which(watcher, leaky):
    for form in ((), ("--json",)):
        answer = watcher("--run-pipeline", "--dry-run", *params("complete"), *form)
        assert answer.code == ExitCode.DONE
        assert SECRET not in answer.out + answer.err
        assert "***" in answer.out


def test_address_given_for_a_table_is_refused_without_its_password(watcher, leaky):
    inputs = [{"name": "table", "param": "table", "candidates": []}]
    leaky.manifest(parameter_bounds=BOUNDS, default_params={}, inputs=inputs)
    given = json.dumps({"table": "postgres://joe:hunter22@h/db"})
    answer = watcher("--run-pipeline", "--params", given)
    assert answer.code == ExitCode.STEP_FAILED
    assert "table must name a file" in answer.err
    assert "hunter22" not in answer.err


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ('{"api_key": 987654321012}', "api_key must be a text of 0..4096 characters"),
        ('{"act": {"url": "postgres://joe:987654321012@h"}}', "postgres://joe:***@h"),
        ('{"act": ["https://h/?token=987654321012"]}', "token=***"),
        ('{"act": ["pg://joe:987654321012' + 60 * "x" + '@h"]}', 'got ["pg://joe:***@h"]'),
        ('{"api_key": "987654321012", "act" 5}', "Expecting ':' delimiter"),
        ('{"act": "postgres://joe:987654321012@h", 5}', "property name"),
    ],
)
def test_refused_parameter_is_not_quoted_with_its_secret(watcher, leaky, given, got):
    answer = watcher("--run-pipeline", "--params", given)
    assert answer.code == ExitCode.USAGE
    assert got in answer.err
    assert "98765" not in answer.err


TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_policies_check_shows_where_messages_go_and_no_token(watcher, folder, form):
    folder.policy(notify={"critical": [f"tgram://{TOKEN}/42", "json://ann:pw@box:8080/path"]})
    answer = watcher("--policies-check", *form)
    assert answer.code == ExitCode.DONE
    assert TOKEN[:6] not in answer.out
    assert "tgram://***" in answer.out
    assert "json://box" in answer.out


@pytest.mark.parametrize(
    "text",
    [
        f'{{"notify": {{"critical": ["tgram: //{TOKEN}"]}}}}',
        f'{{"notify": {{"critical": "tgram://{TOKEN}"}}}}',
        f'{{"notify": ["tgram://{TOKEN}"]}}',
        f'{{"notify": {{"critical": ["tgram://{TOKEN}",,]}}}}',
        f'{{"notify": {{"critical": ["tgram://{TOKEN}',
    ],
)
def test_policy_at_fault_is_told_without_the_addresses_in_it(watcher, folder, text):
    (folder.root / "watcher_policies.json").write_text(text)
    answer = watcher("--policies-check")
    assert answer.code == ExitCode.USAGE
    assert TOKEN[:6] not in answer.err
    assert "notify" in answer.err or "not valid JSON" in answer.err


def test_resume_asks_again_for_a_secret_that_is_kept_nowhere(watcher, leaky):
    assert watcher("--run-pipeline", *params("fail")).code == ExitCode.STEP_FAILED
    answer = watcher("--run-pipeline", "--resume")
    assert answer.code == ExitCode.USAGE
    assert "api_key held a secret" in answer.err
    assert watcher("--run-pipeline", "--resume", *params("complete")).code == ExitCode.DONE


def test_value_that_really_is_the_mask_held_no_secret(act, watcher, folder):
    bounds = {**BOUNDS, "said": {"type": "string", "default": "x"}}
    folder.manifest(parameter_bounds=bounds, default_params={})
    given = json.dumps({"act": "fail", "said": "***"})
    assert watcher("--run-pipeline", "--params", given).code == ExitCode.STEP_FAILED
    answer = watcher("--run-pipeline", "--resume", "--params", '{"act": "complete"}')
    assert answer.code == ExitCode.DONE
    request = json.loads((folder.attempts[-1] / "request.json").read_text())
    assert request["params"]["said"] == "***"
