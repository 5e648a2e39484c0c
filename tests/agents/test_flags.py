"""Flags: what goes with what."""

import pytest

from agents.errors import UsageError
from agents.flags import parse_flags
from steps.contract import ExitCode


@pytest.mark.parametrize(
    "arguments",
    [
        ("--status", "--start-step", "0"),
        ("--status", "--end-step", "0"),
        ("--status", "--limit", "0"),
        ("--status", "--resume", ""),
    ],
)
def test_flag_of_another_command_is_refused_whatever_its_value(arguments):
    with pytest.raises(UsageError, match=f"{arguments[1]} goes with"):
        parse_flags(arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--run-pipeline",), None),
        (("--run-pipeline", "--resume"), "last"),
        (("--run-pipeline", "--resume", "20260101-000000-abcd"), "20260101-000000-abcd"),
        (("--run-pipeline", "--resume", "--force"), "last"),
    ],
)
def test_resume_may_name_a_run(arguments, named):
    assert parse_flags(arguments).resume == named


def test_resume_keeps_the_steps_of_its_run():
    with pytest.raises(UsageError, match="leave the range out"):
        parse_flags(("--run-pipeline", "--resume", "--start-step", "0"))


def test_step_that_is_forced_must_be_one_of_the_run(watcher):
    answer = watcher("--run-pipeline", "--force-step", "5", "--force-step", "9")
    assert answer.code == ExitCode.USAGE
    assert "--force-step must be a step of this run: 5; got 9" in answer.err


def test_resume_goes_on_with_the_run_that_is_named(act, watcher, folder):
    first = act("fail").document["run_id"]
    act("complete")
    folder.policy()
    resumed = watcher("--run-pipeline", "--json", "--resume", first)
    assert resumed.document["run_id"] == first


def test_resume_of_no_run_is_a_usage_error(act, watcher):
    act("fail")
    for named in ("20200101", ""):
        answer = watcher("--run-pipeline", "--resume", named)
        assert answer.code == ExitCode.USAGE
        assert "is no run" in answer.err
