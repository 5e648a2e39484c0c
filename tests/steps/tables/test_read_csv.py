from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from steps.tables import TableError
from steps.tables import csv_source as csv_module


def codes(table) -> set[str]:
    return {note.code for note in table.notes}


def test_reads_numbers_and_texts_in_the_order_of_the_file(read_text):
    table = read_text("a,c,y\n1.5,red,10\n2.5,blue,20\n,red,30\n")
    assert table.feature_names == ("a", "c")
    assert table.kinds == ("numeric", "categorical")
    assert table.levels == (0, 2)
    np.testing.assert_array_equal(table.X, np.float32([[1.5, 1], [2.5, 0], [np.nan, 1]]))
    np.testing.assert_array_equal(table.y, [10.0, 20.0, 30.0])
    assert table.X.dtype == np.float32
    assert table.X.flags.c_contiguous


def test_reads_a_byte_order_mark_windows_newlines_and_quoted_newlines(read_text):
    text = '\ufeffa,c,y\r\n1,"two\nlines",1\r\n5,"a ""word"", b",2\r\n3,x,3\r\n'
    table = read_text(text)
    assert table.feature_names == ("a", "c")
    assert table.schema.columns[1].encoding.levels == ('a "word", b', "two\nlines", "x")


@pytest.mark.parametrize(
    ("delimiter", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
)
def test_says_which_delimiter_it_found(read_text, delimiter, word):
    table = read_text("a,b,y\n1,9,3\n4,2,6\n".replace(",", delimiter))
    assert table.feature_names == ("a", "b")
    assert any(word in note.message for note in table.notes if note.code == "delimiter")


def test_reads_decimal_commas_between_semicolons(read_text):
    table = read_text("a;b;y\n1,5;3;2,5\n-,25;7;1\n+2;5;0,5\n")
    np.testing.assert_array_equal(table.X[:, 0], np.float32([1.5, -0.25, 2]))
    np.testing.assert_array_equal(table.y, [2.5, 1, 0.5])


def test_reads_gzip_whatever_the_name_says(read_text):
    content = gzip.compress(b"a,b,y\n1,9,3\n4,2,6\n")
    for name in ("t.csv.gz", "t.csv"):
        assert read_text(content, name).feature_names == ("a", "b")


def test_a_text_after_a_million_bytes_of_numbers_makes_the_column_text(read_text):
    """Nothing of the earlier rows is garbled: 007 stays 007."""
    rows = [f"{i % 3:03d},{i * 7 % 11},{i}" for i in range(120_000)]
    rows[-1] = "seven,1,2"
    table = read_text("a,b,y\n" + "\n".join(rows) + "\n")
    assert table.schema.columns[0].encoding.levels == ("000", "001", "002", "seven")
    assert table.X[-1, 0] == 3
    assert table.X[4, 0] == 1
    assert "numbers_with_text" in codes(table)


def test_integers_in_the_first_block_and_fractions_in_a_later_one_stay_numbers(read_text):
    rows = [f"{i * 7 % 1009},{i}" for i in range(150_000)]
    rows[-1] = "0.25,7"
    table = read_text("a,y\n" + "\n".join(rows) + "\n")
    assert table.kinds == ("numeric",)
    assert table.X[-1, 0] == np.float32(0.25)
    assert table.X[100_001, 0] == 100_001 * 7 % 1009


def test_blocks_are_cut_between_rows_and_never_inside_quotes(read_text, monkeypatch):
    monkeypatch.setattr(csv_module, "_READ_BYTES", 64)
    rows = [f'{i * 3 % 7},"line {i}\nmore, of ""it""",{i}' for i in range(50)]
    table = read_text("a,c,y\n" + "\n".join(rows) + "\n", keep_features=("c",))
    levels = table.schema.columns[1].encoding.levels
    assert len(levels) == 50
    assert levels[int(table.X[33, 1])] == 'line 33\nmore, of "it"'
    np.testing.assert_array_equal(table.y, np.arange(50))


def test_an_inch_sign_inside_a_value_is_a_character(read_text, monkeypatch):
    monkeypatch.setattr(csv_module, "_READ_BYTES", 64)
    rows = [f'{i % 5}" pipe,{i * 3 % 7},{i}' for i in range(51)]
    table = read_text("size,b,y\n" + "\n".join(rows) + "\n")
    assert table.schema.columns[0].encoding.levels[0] == '0" pipe'
    assert table.n_rows == 51


def test_names_without_text_and_with_spaces_are_said(read_text):
    table = read_text(", a ,y\n0,5,3\n1,2,6\n2,9,4\n")
    assert table.feature_names == ("a",)
    assert list(table.ids) == ["Unnamed: 0"]
    assert {"column_names_stripped", "identifier"} <= codes(table)


def test_missing_values_are_those_named_and_no_others(read_text):
    text = 'a,c,y\n1,None,1\n NA ,"",2\n3,x,3\n?,None,4\n'
    table = read_text(text, missing_values=("", "NA", "?"))
    np.testing.assert_array_equal(table.X[:, 0], np.float32([1, np.nan, 3, np.nan]))
    assert table.schema.columns[1].encoding.levels == ("None", "x")
    assert np.isnan(table.X[1, 1])


BAD = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n  \n", "the file is empty"),
    "header only": (b"a,y\n", "a header and no rows"),
    "header without newline": (b"a,y", "a header and no rows"),
    "header twice": (b"a,b,a,y\n1,2,3,4\n", "column 'a' stands twice"),
    "ragged": (b"a,b,y\n1,2,3\n4,5\n", r"row 2 has 2 values, the header has 3"),
    "ragged after quotes": (b'a,b,y\n"x\nx",2,3\n4,5,6\n4,5,6,7\n', "row 3 has 4 values"),
    "utf-16": ("a,y\n1,2\n".encode("utf-16"), "UTF-16"),
    "latin-1": (b"a,y\n1,2\nM\xfcller,3\n", "line 3, byte 9, is not UTF-8"),
    "binary": (b"a,y\n\x00\x01,2\n", "zero bytes"),
    "open quote": (b'a,c,y\n1,2,3\n1,2,"4\n5,6,7\n', r"line 3: a quote is opened"),
    "cut gzip": (gzip.compress(b"a,y\n" + b"1,2\n3,4\n" * 999)[:-12], "gzip data is damaged"),
    "no target": (b"a,b\n1,2\n", r"no target column 'y'; it has a, b"),
    "text target": (b"a,y\n1,2\n2,3\n5,high\n", "column 'y', row 3: wanted a number, got 'high'"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_refuses_naming_the_file_and_the_place(read_text, content, message):
    with pytest.raises(TableError, match=message) as error:
        read_text(content)
    assert "t.csv" in str(error.value)


def test_a_row_number_is_right_after_many_blocks(read_text, monkeypatch):
    monkeypatch.setattr(csv_module, "_READ_BYTES", 64)
    rows = [f"{i},2,3" for i in range(400)]
    rows[299] = "1,2"
    with pytest.raises(TableError, match="row 300 has 2 values"):
        read_text("a,b,y\n" + "\n".join(rows))


def test_a_quote_never_closed_is_not_read_to_the_end_of_a_huge_file(read_text, monkeypatch):
    monkeypatch.setattr(csv_module, "_READ_BYTES", 64)
    monkeypatch.setattr(csv_module, "_MOST_ROW_BYTES", 1024)
    rows = [f"{i},2,3" for i in range(4000)]
    rows[9] = '"9,2,3'
    with pytest.raises(TableError, match=re.escape("row 10 is longer than")):
        read_text("a,b,y\n" + "\n".join(rows))


@pytest.mark.parametrize("blank", ["\n", "\r\n", "  \n\n", "\ufeff\n"])
def test_blank_lines_before_the_header_are_skipped_and_said(read_text, blank):
    table = read_text(blank + "a,y\n5,1\n2,2\n")
    assert table.feature_names == ("a",)
    np.testing.assert_array_equal(table.y, [1, 2])
    assert "blank_lines" in codes(table)


def test_a_line_number_counts_blank_lines_before_the_header(read_text):
    with pytest.raises(TableError, match=r"line 5: a quote is opened"):
        read_text('\n\na,y\n1,2\n"5,3\n')


@pytest.mark.parametrize(
    "words", [("True", "False"), ("true", "false"), ("yes", "NO"), ("T", "f"), ("y", "n")]
)
def test_a_target_of_two_words_is_1_and_0_with_a_warning(read_text, words):
    yes, no = words
    table = read_text(f"a,y\n5,{yes}\n2,{no}\n7,\n1,{yes}\n")
    np.testing.assert_array_equal(table.y, [1, 0, np.nan, 1])
    [note] = [note for note in table.notes if note.code == "boolean_target"]
    assert f"is {yes.casefold()} or {no.casefold()}" in note.message
