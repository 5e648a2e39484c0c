"""What is split off a history is read back exactly, and anything else is refused."""

from __future__ import annotations

import json

import pytest

from steps.errors import StepRefused
from steps.forensics.intake import IntakeOptions, read_history
from steps.forensics.parts import read_part, write_part

ROWS = [
    {"date": "2020-01-01", "session": "früh", "draw": 7},
    {"date": "2020-01-02", "session": "", "draw": None},
    {"date": "2020-01-03", "session": "früh", "draw": 1},
    {"date": "2020-01-04", "session": "spät", "draw": 26},
]


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "h.json"
    path.write_text(json.dumps(ROWS))
    return read_history(path, IntakeOptions(draw_min=1, draw_max=26))


@pytest.mark.parametrize(("first", "stop"), [(0, 4), (1, 3), (2, 2)])
def test_a_part_is_read_back_as_it_was_written(tmp_path, history, first, stop):
    path = tmp_path / "train.json"
    write_part(path, history, first, stop)
    assert json.loads(path.read_text("utf-8")) == ROWS[first:stop]
    part = read_part(path, history.facts)
    assert part.draws.tolist() == history.draws[first:stop].tolist()
    assert part.dates == history.dates[first:stop]
    assert part.sessions == history.sessions[first:stop]
    assert part.facts == history.facts


def test_a_part_reads_as_a_history_too(tmp_path, history):
    write_part(tmp_path / "train.json", history, 0, 4)
    again = read_history(tmp_path / "train.json", IntakeOptions(draw_min=1, draw_max=26))
    assert again.draws.tolist() == history.draws.tolist() == [6, -1, 0, 25]


def test_a_history_without_dates_keeps_none(tmp_path):
    path = tmp_path / "h.json"
    path.write_text('[{"draw": 3}, {"draw": 5}]')
    history = read_history(path, IntakeOptions(draw_min=0, draw_max=9))
    write_part(path, history, 0, 2)
    assert read_part(path, history.facts).dates == (None, None)


@pytest.mark.parametrize(("first", "stop"), [(-1, 2), (0, 5), (3, 2)])
def test_draws_that_the_history_lacks_are_no_part(tmp_path, history, first, stop):
    with pytest.raises(ValueError, match=f"wanted draws within 0..4, got {first}..{stop}"):
        write_part(tmp_path / "train.json", history, first, stop)
    assert not (tmp_path / "train.json").exists()


GOOD = {"date": "2020-01-01", "session": "", "draw": 3}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[", "cannot be read"),
        ("{}", "must be a list of draws"),
        (json.dumps([GOOD, GOOD | {"draw": 27}]), "row 2: .* must be 1 to 26, got 27"),
        (json.dumps([GOOD | {"draw": 0}]), "row 1: .* must be 1 to 26, got 0"),
        (json.dumps([GOOD | {"draw": True}]), "row 1: wanted date, session and a whole draw"),
        (json.dumps([GOOD | {"draw": 3.0}]), "row 1: wanted date, session and a whole draw"),
        (json.dumps([GOOD | {"session": None}]), "row 1: wanted date, session"),
        (json.dumps([GOOD | {"more": 1}]), "row 1: wanted date, session"),
        (json.dumps([5]), "row 1: wanted date, session"),
    ],
)
def test_a_part_that_is_not_as_written_is_refused(tmp_path, history, text, wanted):
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(StepRefused, match=wanted) as refused:
        read_part(path, history.facts)
    assert str(path) in refused.value.message


def test_a_part_that_is_not_there_is_refused(tmp_path, history):
    with pytest.raises(StepRefused, match="cannot be read"):
        read_part(tmp_path / "none.json", history.facts)
