from __future__ import annotations

import numpy as np
import pytest

from steps.tables import TableError
from steps.tables.bridge import arrow_texts
from steps.tables.dates import parse_dates


def parsed(*texts: str, order=None) -> list[str]:
    dates = parse_dates(arrow_texts(texts), order)
    assert dates is not None
    return [str(np.datetime64(int(us), "us"))[:19] for us in dates.microseconds]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29", "2024-02-29T00:00:00"),
        ("2024-02-29 13:45", "2024-02-29T13:45:00"),
        ("2024-02-29T13:45:10.5", "2024-02-29T13:45:10"),
        ("2024-02-29T13:45:10.123456789", "2024-02-29T13:45:10"),
        ("2024-02-29T23:45:10-02:00", "2024-03-01T01:45:10"),
        ("2024-02-29T13:45:10Z", "2024-02-29T13:45:10"),
        ("2024/2/9", "2024-02-09T00:00:00"),
        ("2024.02.09 7:05", "2024-02-09T07:05:00"),
        ("29.02.2024", "2024-02-29T00:00:00"),
        ("2/29/2024 1:05 PM", "2024-02-29T13:05:00"),
        ("12/31/99 12:00 am", "1999-12-31T00:00:00"),
        ("31-12-1969", "1969-12-31T00:00:00"),
    ],
)
def test_reads_common_spellings(text, moment):
    assert parsed(text) == [moment]


@pytest.mark.parametrize(
    "texts",
    [
        ("31.04.2024",),
        ("2023-02-29",),
        ("13/13/2024",),
        ("13/01/2024", "01/13/2024"),
        ("1.2.20",),
        ("2024-01-01 25:00",),
        ("12/31/2024 13:00 25",),
        ("hello",),
        ("2024-01-01", "hello"),
        ("2024-01-01T00:00:00", "2024-01-01T00:00:00Z"),
        (),
    ],
)
def test_what_is_no_date_makes_no_dates(texts):
    assert parse_dates(arrow_texts(texts)) is None


def test_order_is_worked_out_from_the_days_that_are_no_months():
    assert parsed("03/04/2024", "05/13/2024")[0] == "2024-03-04T00:00:00"
    assert parsed("03/04/2024", "13/05/2024")[0] == "2024-04-03T00:00:00"
    assert not parse_dates(arrow_texts(("03/04/2024", "05/13/2024"))).ambiguous
    assert parse_dates(arrow_texts(("03/04/2024", "05/06/2024"))).ambiguous


def test_a_date_column_gives_its_parts_and_says_when_it_is_ambiguous(read_text):
    text = "d,y\n03/04/2024 06:30,1\n01/05/2024 18:00,2\n,3\n02/12/2023 00:00,4\n"
    table = read_text(text)
    assert table.feature_names == ("d.days", "d.weekday", "d.dayofyear", "d.hour")
    np.testing.assert_array_equal(table.X[0], np.float32([8859, 2, 94, 6.5]))
    assert np.isnan(table.X[2]).all()
    [note] = [note for note in table.notes if note.code == "ambiguous_dates"]
    assert "read as day first" in note.message


def test_a_part_of_a_date_can_be_excluded(read_text):
    text = "d,y\n2024-04-03,1\n2024-05-01,2\n2023-12-02,4\n"
    table = read_text(text, exclude_features=("d.days",))
    assert table.feature_names == ("d.weekday", "d.dayofyear")


@pytest.mark.parametrize("bad", ["2024-02-30", "0000-00-00", "2024-01-05 25:00", "soon"])
@pytest.mark.parametrize("others", ["", "T06:30:00", "T06:30:00.25Z"])
def test_a_few_texts_that_are_no_dates_are_pointed_out(read_text, bad, others):
    days = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}{others}" for i in range(40)]
    days[16] = days[30] = bad
    table = read_text("d,y\n" + "".join(f"{day},{i}\n" for i, day in enumerate(days)))
    [note] = [note for note in table.notes if note.code == "dates_with_text"]
    assert note.level == "warning"
    assert "column 'd'" in note.message
    assert (
        f"2 values that are no dates written as the others are, the first in row 17: '{bad}'"
        in (note.message)
    )


def test_the_odd_ones_among_days_first_are_those_that_are_months_first(read_text):
    days = [f"{1 + i % 28}/{1 + i % 12}/2024" for i in range(40)]
    days[5] = "12/31/2024"
    table = read_text("d,y\n" + "".join(f"{day},{i}\n" for i, day in enumerate(days)))
    [note] = [note for note in table.notes if note.code == "dates_with_text"]
    assert "1 values" in note.message
    assert "row 6: '12/31/2024'" in note.message


def test_versions_and_many_bad_dates_give_no_warning(read_text):
    rows = "".join(f"{i % 3}.{i % 5}.{i % 7},{2020 + i % 2}-13-01,{i}\n" for i in range(40))
    table = read_text("v,d,y\n" + rows)
    assert "dates_with_text" not in {note.code for note in table.notes}


@pytest.mark.parametrize("header", ["d,d.days,y", "d.days,d,y"])
def test_a_column_called_like_a_part_of_a_date_is_refused(read_text, header):
    rows = [("2024-04-03", 7), ("2024-05-01", 3), ("2023-12-02", 5)]
    turn = 1 if header.startswith("d,") else -1
    text = "".join(f"{a},{b},{i}\n" for i, (a, b) in enumerate(row[::turn] for row in rows))
    message = "date column 'd' makes a feature 'd.days', and there is a column 'd.days' too; rename"
    with pytest.raises(TableError, match=message):
        read_text(f"{header}\n{text}")
    table = read_text(f"{header}\n{text}", exclude_features=("d.days",))
    assert table.feature_names == ("d.weekday", "d.dayofyear")
