"""--status advises what helps after this outcome, in commands that a shell takes as they stand."""

import shlex

import pytest


@pytest.fixture
def advice(watcher, act, folder):
    folder.policy(retries={"max_per_step": 0, "max_per_run": 0, "backoff_s": 0})

    def after(how):
        act(how)
        return "\n".join(watcher("--status", "--json").document["next"])

    return after


def test_bad_input_is_to_be_mended_before_the_same_line_runs_again(advice):
    said = advice("bad_input")
    assert said.startswith("mend the input first")
    assert "run it again" not in said


def test_failure_inside_a_step_is_to_be_read_up_in_its_log(advice, folder):
    said = advice("fail")
    assert str(folder.attempts[0] / "log.txt") in said
    assert "run it again" in said


def test_out_of_memory_asks_for_less(advice):
    assert '"slots"' in advice("memory")


def test_suggested_command_is_quoted_for_the_shell(watcher, folder):
    (folder.root / "it's mine.csv").write_text("a\n1\n")
    lines = watcher("--status", "--json").document["next"]
    command = next(line for line in lines if "--params" in line)
    assert '"survivors": "it\'s mine.csv"' in shlex.split(command)[-1]


def test_text_of_many_lines_is_told_by_its_first_on_the_screen(advice, watcher, act, folder):
    document = act("traceback").document
    assert "line 39 of the library" in str(document)
    screens = (
        watcher("--run-pipeline", "--params", '{"act": "traceback"}').out,
        watcher("--status").out,
    )
    for screen in screens:
        assert "oops at depth 0 ... (the whole text:" in " ".join(screen.split())
        assert "of the library" not in screen
