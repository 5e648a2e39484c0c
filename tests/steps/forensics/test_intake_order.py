"""Draws in the order in which they were made, whatever the order of the file."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyarrow import parquet

from steps.errors import StepRefused
from steps.forensics.intake import IntakeOptions, read_history


@pytest.fixture
def read(tmp_path):
    def reading(*rows, header="date,session,draw", **options):
        path = tmp_path / "h.csv"
        path.write_text("\n".join((header, *rows)) + "\n")
        return read_history(path, IntakeOptions(draw_min=0, draw_max=99, **options))

    return reading


def dated(*dates):
    """Rows whose draws count up from 0."""
    return [f"{date},{number}" for number, date in enumerate(dates)]


def messages(history):
    return {note.code: note.message for note in history.facts.notes}


def test_rows_in_order_need_no_note(read):
    history = read("2020-01-01,midday,1", "2020-01-01,evening,2", "2020-01-02,midday,3")
    assert history.draws.tolist() == [1, 2, 3]
    assert set(messages(history)) == {"session_order"}


def test_rows_out_of_order_are_sorted_by_date_then_session_and_said_to_be(read):
    history = read(
        "2020-01-02,evening,4",
        "2020-01-01,midday,1",
        "2020-01-03,midday,5",
        "2020-01-02,midday,3",
        "2020-01-01,evening,2",
    )
    assert history.draws.tolist() == [1, 2, 3, 4, 5]
    assert history.sessions == ("midday", "evening", "midday", "evening", "midday")
    assert "row before them: 3, the first is row 2" in messages(history)["sorted"]


def test_rows_from_the_newest_to_the_oldest_are_turned_round_within_a_date_too(read):
    history = read(
        *dated("2020-01-03", "2020-01-03", "2020-01-02", "2020-01-01"), header="date,draw"
    )
    assert history.draws.tolist() == [3, 2, 1, 0]
    assert "newest_first" in messages(history)
    assert "sorted" not in messages(history)


def test_without_dates_the_order_of_the_file_holds(read):
    history = read("evening,1", "midday,2", header="session,draw")
    assert history.draws.tolist() == [1, 2]
    assert history.facts.sessions == ("midday", "evening")
    assert {"no_dates", "session_order"} <= set(messages(history))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Night", "Morning", "Day", "Evening"), ("Morning", "Day", "Evening", "Night")),
        # Names that say nothing: as they mostly stand within a day.
        (("Zulu", "Alpha"), ("Zulu", "Alpha")),
        # Two names for one time of the day say nothing either.
        (("midday", "day"), ("midday", "day")),
    ],
)
def test_sessions_are_ordered_by_known_names_or_as_they_mostly_stand(read, names, expected):
    rows = [f"2020-01-0{day},{name},{day}" for day in (1, 2, 3) for name in names]
    rows += [f"2020-01-04,{name},4" for name in reversed(names)]
    history = read(*rows)
    assert history.facts.sessions == expected
    assert history.sessions[-len(names) :] == expected
    assert ", ".join(expected) in messages(history)["session_order"]


def test_sessions_of_a_file_from_the_newest_to_the_oldest_are_ordered_backward(read):
    rows = [f"2020-01-0{day},{name},1" for day in (3, 2, 1) for name in ("B", "A")]
    assert read(*rows).facts.sessions == ("A", "B")


def test_people_may_set_the_order_of_sessions(read):
    rows = ["2020-01-01,midday,1", "2020-01-01,evening,2"]
    history = read(*rows, session_order=("Evening", "midday", "night"))
    assert history.draws.tolist() == [2, 1]
    assert history.facts.sessions == ("evening", "midday")
    assert "session_order" not in messages(history)
    with pytest.raises(StepRefused, match="must name every session; it lacks evening"):
        read(*rows, session_order=("midday", "evning"))


def test_names_that_differ_in_case_or_spaces_are_one_session(read):
    history = read("2020-01-01,evening,1", "2020-01-02,Evening ,2", "2020-01-03,evening,3")
    assert history.facts.sessions == ("evening",)
    assert history.facts.streams == ("all",)
    assert set(history.sessions) == {"evening"}
    assert "evening" in messages(history)["session_spellings"]


def test_rows_without_a_session_come_first_in_their_day(read):
    history = read("2020-01-01,midday,1", "2020-01-01,,2", "2020-01-02,evening,3")
    assert history.sessions == ("", "midday", "evening")
    assert history.facts.streams == ("all", "session midday", "session evening")
    assert "without a session: 1, the first is row 2" in messages(history)["no_session"]


def test_sessions_may_be_numbers(read):
    history = read("2020-01-01,2,1", "2020-01-01,1,2", "2020-01-02,2,3", "2020-01-02,1,4")
    assert history.facts.sessions == ("2", "1")


def test_a_column_of_as_many_names_as_draws_is_no_session(read):
    with pytest.raises(StepRefused, match="a day has at most 48 sessions, got 60 names"):
        read(*(f"2020-01-01,s{number},1" for number in range(60)))


def test_two_draws_of_one_session_are_kept_in_the_files_order_and_named(read):
    days_and_draws = ((1, 7), (2, 9), (2, 8), (3, 1))
    history = read(*(f"2020-01-0{day},evening,{draw}" for day, draw in days_and_draws))
    assert history.draws.tolist() == [7, 9, 8, 1]
    assert "more than one draw: 1" in messages(history)["same_session_twice"]
    assert messages(history)["same_session_twice"].endswith("2020-01-02 evening")
    assert "same_row_twice" not in messages(history)


def test_the_same_row_twice_is_kept_and_named(read):
    rows = [f"2020-01-0{day},evening,{day}" for day in (1, 2, 3)]
    history = read(*rows, rows[1])
    assert history.draws.tolist() == [1, 2, 2, 3]
    assert "1, rows 4; they are kept" in messages(history)["same_row_twice"]


def test_several_draws_a_date_without_sessions_are_no_warning(read):
    history = read(*dated("2020-01-01", "2020-01-01", "2020-01-02"), header="date,draw")
    assert history.draws.tolist() == [0, 1, 2]
    assert [note.level for note in history.facts.notes] == ["info"]
    assert messages(history)["several_a_date"].endswith("2020-01-01")


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (("12/30/2019", "01/02/2020"), ("2019-12-30", "2020-01-02")),
        (("30.12.2019", "2.1.2020"), ("2019-12-30", "2020-01-02")),
        (("2019/12/30", "2020/1/2"), ("2019-12-30", "2020-01-02")),
        (("20191230", "20200102"), ("2019-12-30", "2020-01-02")),
        (("2020-01-02 21:00", "2020-01-02 09:30"), ("2020-01-02T09:30:00", "2020-01-02T21:00:00")),
    ],
)
def test_dates_are_read_in_the_usual_ways(read, dates, expected):
    assert read(*dated(*dates), header="date,draw").dates == expected


def test_moments_of_a_parquet_file_are_dates(tmp_path):
    moments = pa.array([1_577_836_800, 1_577_750_400], pa.timestamp("s"))
    path = tmp_path / "h.parquet"
    parquet.write_table(pa.table({"t": moments, "draw": [1, 2]}), path)
    history = read_history(path, IntakeOptions(draw_min=0, draw_max=9))
    assert history.dates == ("2019-12-31", "2020-01-01")
    assert history.draws.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("dates", "wanted"),
    [
        (("01/02/2020", "03/04/2020"), "column 'date': dates such as '01/02/2020' may be day"),
        (("2020-01-01", "soon"), "column 'date', row 2: wanted a date, .* got 'soon'"),
        (("2020-01-01", "2020-02-30"), "row 2: wanted a date, .* got '2020-02-30'"),
        (("2020-01-01", ""), "row 2: the date is missing; fill it in"),
        (("20200101", "20201301"), "row 2: wanted a date, .* got 20201301"),
        (("1", "2"), "row 1: wanted a date, .* got 1"),
    ],
)
def test_dates_that_cannot_be_told_are_refused_by_column_and_row(read, dates, wanted):
    with pytest.raises(StepRefused, match=wanted):
        read(*dated(*dates), header="date,draw")
