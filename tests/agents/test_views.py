"""Live progress draws what a snapshot holds, and leaves the terminal as it was."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from agents.attempt import AttemptSpec
from agents.durations import clock, words
from agents.views.live import LiveView, families_table
from agents.views.run_view import PlainView
from steps.contract import FamilyProgress, Progress, TrialNow

SPEC = AttemptSpec(
    run_id="r",
    step=5,
    attempt=1,
    agent_name="reinforcement",
    title="Compare",
    module="steps.x",
    folder_name="step5",
    parameters=(),
    inputs={},
    limit_s=21600,
    grace_s=1,
)


def snapshot(phase="search", complete=3, time_left_s=75.0):
    running = (TrialNow(trial=4, fold=2, folds=5, device="cpu-slot-0"),)
    return Progress(
        run_id="r",
        step=5,
        attempt=1,
        updated_at=datetime.now(UTC),
        phase=phase,
        families={
            "xgboost": FamilyProgress(
                trials=20, complete=complete, pruned=1, best=0.71, running=running
            ),
            "neural_net": FamilyProgress(trials=20),
        },
        elapsed_s=12,
        time_left_s=time_left_s,
    )


def test_families_table_names_trial_fold_and_best():
    console = Console(file=io.StringIO(), width=100, no_color=True)
    console.print(families_table(snapshot()))
    text = console.file.getvalue()
    for wanted in ("xgboost", "4/20", "best R2 0.7100", "trial 4 fold 2/5", "1 pruned"):
        assert wanted in text, wanted


@pytest.mark.parametrize("width", [80, 120])
def test_live_view_cleans_up_after_itself(width):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, markup=False, highlight=False)
    view = LiveView(console)
    with view.step(SPEC):
        view.progress(snapshot())
        view.say("policy changed: halt: False -> True")
    text = stream.getvalue()
    assert "xgboost" in text
    assert "policy changed" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")


def test_plain_view_speaks_on_a_new_phase_and_each_tenth_of_the_trials():
    stream = io.StringIO()
    view = PlainView(Console(file=stream, width=80))
    with view.step(SPEC):
        for complete in range(1, 20):
            view.progress(snapshot(complete=complete))
        view.progress(snapshot(phase="final fit", complete=19))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 + 6 + 1
    assert "limit 6 h" in lines[0]
    assert "20 of 40 trials" in "\n".join(lines)
    assert "best xgboost R2 0.7100" in lines[2]
    assert "about 1 min 15 s left" in lines[2]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (1.0, "1 s"),
        (59.4, "59 s"),
        (200, "3 min 20 s"),
        (21600, "6 h"),
        (90 * 3600, "3 d 18 h"),
    ],
)
def test_lengths_of_time_read_as_people_say_them(seconds, text):
    assert words(seconds) == text


def test_running_time_reads_like_a_clock():
    assert (clock(7), clock(760), clock(3789)) == ("0:07", "12:40", "1:03:09")
