"""Files of two histories, or of two runs of Step 1, are not mixed."""

from __future__ import annotations

from pathlib import Path

import pytest

from steps.errors import StepRefused
from steps.files import sha256_file
from steps.forensics.documents import (
    HOLDOUT_FILE,
    SURVIVORS_FILE,
    TRAIN_FILE,
    WINDOW_FILE,
    WindowConfig,
    read_document,
)
from steps.forensics.lineage import check_lineage
from steps.step2_scorer.run import run as tune
from steps.step3_scoring.run import run as score
from steps.step6_prediction.run import run as predict
from tests.steps.forensics.made_workspace import (
    FILES,
    candidate,
    lay_out,
    request_for,
    true_history,
)

PARTS = {"train": TRAIN_FILE, "holdout": HOLDOUT_FILE, "survivors": SURVIVORS_FILE}


@pytest.fixture
def folder(tmp_path):
    """What Step 1 leaves of a history that is beside it, and the table of Step 3."""
    history, _ = true_history(count=60)
    path = tmp_path / "draw_history.json"
    path.write_text("the draws")
    facts = history.facts.model_copy(update={"sha256": sha256_file(path)})
    made = type(history)(history.draws, history.dates, history.sessions, facts)
    lay_out(tmp_path, made, [candidate(1), candidate(2)], train=50)
    return tmp_path


def checked(folder):
    window = read_document(folder / WINDOW_FILE, WindowConfig)
    return check_lineage(window, {name: folder / file for name, file in FILES.items()}, folder)


def test_files_that_belong_together_are_gone_on_with(folder):
    assert checked(folder) == ()


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_another_run_of_step_1_is_refused_with_both_hashes(folder, name):
    path = folder / PARTS[name]
    wanted = sha256_file(path)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(StepRefused) as refused:
        checked(folder)
    message = refused.value.message
    assert refused.value.kind == "bad_input"
    assert message.startswith(f"{path}: ")
    assert wanted in message
    assert sha256_file(path) in message
    assert (
        "run from step 1 again, with its parameters: watcher --run-pipeline --start-step 1"
        in message
    )


def test_a_history_that_has_changed_is_refused(folder):
    (folder / "draw_history.json").write_text("other draws")
    with pytest.raises(StepRefused, match=r"the history has changed since step 1.*from step 0"):
        checked(folder)


def test_a_history_that_is_gone_is_a_note(folder):
    (folder / "draw_history.json").unlink()
    (note,) = checked(folder)
    assert (note.level, note.code) == ("info", "history_gone")


@pytest.mark.parametrize(("step", "run"), [(2, tune), (3, score), (6, predict)])
@pytest.mark.parametrize("changed", ["draw_history.json", TRAIN_FILE])
def test_steps_2_3_and_6_refuse_what_does_not_belong_together(folder, step, run, changed):
    score(request_for(folder, 3, table_rows=0))
    Path(folder / changed).write_bytes((folder / changed).read_bytes() + b"\n")
    with pytest.raises(StepRefused, match=rf"{changed}: .*wanted .*got"):
        run(request_for(folder, step))
