"""Draw histories from files: what each cell means, and what is refused by row."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from steps.errors import StepRefused
from steps.files import sha256_file
from steps.forensics.intake import IntakeOptions, read_history

ROWS = [
    {"date": "2020-01-01", "session": "midday", "draw": 914},
    {"date": "2020-01-01", "session": "evening", "draw": 0},
    {"date": "2020-01-02", "session": "midday", "draw": 999},
]
CSV = "date,session,draw\n2020-01-01,midday,914\n2020-01-01,evening,000\n2020-01-02,midday,999\n"
TYPED = pa.table(
    {
        "date": pa.array([row["date"] for row in ROWS]).cast(pa.date32()),
        "session": pa.array([row["session"] for row in ROWS]).dictionary_encode(),
        "draw": pa.array([row["draw"] for row in ROWS], pa.int16()),
    }
)


@pytest.fixture
def read(tmp_path):
    """Read a history from a text, a list of rows, or a pyarrow table."""

    def reading(content, ending="csv", **options):
        path = tmp_path / f"h.{ending}"
        if isinstance(content, pa.Table):
            parquet.write_table(content, path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content)
        else:
            path.write_text(json.dumps(content))
        return read_history(path, IntakeOptions(**options))

    return reading


def column(*cells, name="draw"):
    return "\n".join((name, *map(str, cells))) + "\n"


def codes(history):
    return [note.code for note in history.facts.notes]


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("json", ROWS),
        ("jsonl", "\n".join(map(json.dumps, ROWS))),
        ("csv", CSV),
        ("csv", CSV.replace(",", ";")),
        ("csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("parquet", pa.Table.from_pylist(ROWS)),
        ("parquet", TYPED),
    ],
)
def test_every_format_gives_the_same_history(read, tmp_path, ending, content):
    history = read(content, ending)
    assert history.draws.dtype == np.int64
    assert history.draws.tolist() == [914, 0, 999]
    assert history.dates == ("2020-01-01", "2020-01-01", "2020-01-02")
    assert history.sessions == ("midday", "evening", "midday")
    facts = history.facts
    assert (facts.low, facts.modulus, facts.draws, facts.unread) == (0, 1000, 3, 0)
    assert facts.sessions == ("midday", "evening")
    assert facts.streams == ("all", "session midday", "session evening")
    assert (facts.first_date, facts.last_date) == ("2020-01-01", "2020-01-02")
    assert facts.draw_column == "draw"
    assert facts.sha256 == sha256_file(tmp_path / f"h.{ending}")
    assert facts.path == str(tmp_path / f"h.{ending}")
    assert history.stream("session midday").tolist() == [914, 999]


def test_numbers_may_be_written_as_whole_decimals_or_texts_with_zeros(read):
    texts = [{"draw": value} for value in (5, 5.0, "5", "005", " 7 ", "7.0", "+7")]
    assert read(texts, "json", draw_min=0, draw_max=9).draws.tolist() == [5] * 4 + [7] * 3
    assert read(column("005", "5.0"), draw_min=0, draw_max=9).draws.tolist() == [5, 5]


def test_cells_without_a_draw_keep_their_place_and_are_named(read):
    history = read([{"draw": v} for v in (1, None, "?", 999, 0, "")], "json")
    assert history.draws.tolist() == [1, -1, -1, 999, 0, -1]
    assert history.facts.unread == 3
    [note] = [note for note in history.facts.notes if note.code == "unread_draws"]
    assert note.level == "warning"
    assert "3, in rows 2, 3, 6" in note.message


def test_only_the_first_unread_rows_are_named(read):
    history = read(column(*range(10), *["NA"] * 8), draw_min=0, draw_max=9)
    messages = [note.message for note in history.facts.notes if note.code == "unread_draws"]
    assert "8, in rows 11, 12, 13, 14, 15 and 3 more" in messages[0]


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        ([1, 2.5], r"column 'draw', row 2: a draw must be one whole number, got 2\.5"),
        ([1, "2.5", "x"], r"row 2: a draw must be one whole number, got '2\.5'"),
        ([1, 2, True], "row 3: a draw must be one whole number, got 'true'"),
        ([True, False], "must be whole numbers, got true and false"),
        (["1|2|3", "4|5|6"], r"got '1\|2\|3'; several numbers a row are not supported"),
        (["4-7-0", "1-2-3"], "join digits that are one draw"),
        ([10**19, 1], "row 1: a draw must be one whole number, got '10{19}', more than any"),
        (
            ["1", "9" * 30, "x"],
            "row 2: a draw must be one whole number, got '9{30}', more than any",
        ),
        (["1", "x", "y", "z"], "most of its cells are no whole numbers, such as 'x' in row 2"),
        ([None, None], "has no draw that can be read in any row"),
    ],
)
def test_cells_that_are_no_draw_are_refused_by_row(read, cells, wanted):
    with pytest.raises(StepRefused, match=wanted) as refused:
        read([{"draw": cell} for cell in cells], "json")
    assert refused.value.kind == "bad_input"


@pytest.mark.parametrize(
    ("ending", "content", "wanted"),
    [
        ("csv", "", "the file is empty"),
        ("csv", "date,draw\n", "a header and no rows"),
        ("json", "[]", "it holds no records"),
        ("json", "[{}]", "its records are empty"),
        ("json", "[1, 2]", "row 1 is no record"),
        ("json", '"text"', "row 1 is no record"),
        ("json", '[{"draw": 1, "draw": 2}]', "row 1 has the key 'draw' twice"),
        ("json", '[{"draw": [1, 2]}]', "row 1, key 'draw' holds a nested value"),
        ("json", '[{"draw": 1}', "cut off after row 1"),
        ("csv", b"draw\n\xff\n", "is not UTF-8"),
        ("csv", "draw,draw\n1,2\n", "column 'draw' stands twice"),
        ("parquet", b"PAR1", "not readable as Parquet"),
        ("xlsx", "x", "not a format known by its name"),
        ("npz", "x", "must be .json, .csv or .parquet, got .npz"),
    ],
)
def test_files_that_are_no_history_are_refused(read, ending, content, wanted):
    with pytest.raises(StepRefused, match=wanted) as refused:
        read(content, ending)
    assert f"h.{ending}" in refused.value.message


def test_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StepRefused, match="there is no such file"):
        read_history(tmp_path / "none.json", IntakeOptions())


def test_the_only_column_of_whole_numbers_is_the_draws_and_said_to_be(read):
    history = read("when,ball,price\n2020-01-01,4,1.5\n2020-01-02,1,2.5\n")
    assert history.facts.draw_column == "ball"
    assert history.facts.first_date == "2020-01-01"
    assert {"draw_column", "unused_columns"} <= set(codes(history))


def test_a_column_of_texts_may_hold_the_draws(read):
    cells = [{"number": str(value)} for value in range(20)] + [{"number": "?"}]
    assert read(cells, "json").facts.unread == 1


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a,b\n1,2\n", "a, b all hold whole numbers; name the one .* as draw_column"),
        ("a,b\nx,y\n", "none that holds whole numbers; the file has a, b"),
        ("a\n1-2\n", r"none that holds whole numbers \(a: several numbers a row are no draw\)"),
        ("a,b,c\n2020-01-01,2020-01-02,1\n", "a, b all hold dates"),
    ],
)
def test_columns_that_cannot_be_told_apart_are_refused(read, content, wanted):
    with pytest.raises(StepRefused, match=wanted):
        read(content)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"draw_column": "drwa"}, "draw_column: there is no column 'drwa'; did you mean 'draw'"),
        ({"date_column": "day"}, "date_column: there is no column 'day'"),
        ({"session_column": "x"}, "session_column: there is no column 'x'"),
        ({"draw_column": ""}, "draw_column must name a column"),
        ({"draw_column": "date"}, "must be columns of their own"),
        ({"session_column": "date"}, "must be columns of their own"),
    ],
)
def test_columns_that_are_named_must_be_there_and_different(read, options, wanted):
    with pytest.raises(StepRefused, match=wanted):
        read(CSV, **options)


def test_columns_can_be_named_or_left_aside(read):
    text = "drawn_at,session,draw,other\n2020-01-02,a,1,7\n2020-01-01,b,2,8\n"
    history = read(text, draw_column="other", date_column="", session_column="", draw_min=0)
    assert history.draws.tolist() == [7, 8]
    assert history.dates == (None, None)
    assert history.sessions == ("", "")
    assert history.facts.streams == ("all",)
    assert "no_dates" in codes(history)
    assert "draw_column" not in codes(history)


def test_several_numbers_a_row_are_set_aside_with_a_note(read):
    history = read("date,white_balls,red_ball\n2020-01-01,1-2-3,4\n2020-01-02,5-6-7,8\n")
    assert history.facts.draw_column == "red_ball"
    [note] = [note for note in history.facts.notes if note.code == "several_numbers"]
    assert "white_balls" in note.message


@pytest.mark.real_data
def test_a_real_game_is_read_whole(data_dir):
    history = read_history(data_dir / "va_pick3.json", IntakeOptions())
    rows = json.loads((data_dir / "va_pick3.json").read_text())
    assert history.draws.tolist() == [row["draw"] for row in rows]
    assert history.facts.modulus == 1000
    assert history.facts.sessions == ("midday", "evening")
    [note] = [note for note in history.facts.notes if note.code == "same_session_twice"]
    assert "2008-10-30 evening, 2008-11-09 evening" in note.message
    assert [note.level for note in history.facts.notes].count("warning") == 1


@pytest.mark.real_data
def test_a_ball_from_a_drum_of_its_own_is_a_game(data_dir):
    history = read_history(data_dir / "powerball.csv", IntakeOptions())
    assert (history.facts.draw_column, history.facts.draws) == ("red_ball", 1390)
    assert (history.facts.low, history.facts.modulus) == (1, 26)
    assert history.facts.first_date == "2015-10-07"
    with pytest.raises(StepRefused, match="several numbers a row are not supported"):
        read_history(data_dir / "powerball.csv", IntakeOptions(draw_column="white_balls"))
