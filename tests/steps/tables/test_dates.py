from __future__ import annotations

import numpy as np
import pytest

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
