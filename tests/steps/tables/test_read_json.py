from __future__ import annotations

import json
import math

import numpy as np
import pytest

from steps.tables import TableError, TableOptions, read_table
from steps.tables import json_source as json_module

SURVIVORS = [
    {
        "seed": 2**40 + i * 7919 % 101,
        "features": {"gap": i * 3 % 7, "lift": i / 4, "kind": "ab"[i % 2]},
        "holdout_hits": i % 5,
    }
    for i in range(20)
]


def test_survivors_are_flattened_and_predict_holdout_hits_by_default(tmp_path):
    path = tmp_path / "survivors_with_scores.json"
    path.write_text(json.dumps(SURVIVORS))
    table = read_table(path, TableOptions())
    assert table.target == "holdout_hits"
    assert table.feature_names == ("gap", "lift", "kind")
    assert table.ids["seed"].to_pylist() == [record["seed"] for record in SURVIVORS]
    assert table.kinds == ("numeric", "numeric", "categorical")


def test_reads_nan_infinity_null_and_booleans_as_python_writes_them(read_text):
    records = [{"a": v, "b": i % 3 == 0, "y": i} for i, v in enumerate([1.5, math.nan, None, 2])]
    table = read_text(json.dumps(records), "t.json")
    np.testing.assert_array_equal(table.X[:, 0], np.float32([1.5, np.nan, np.nan, 2]))
    assert table.kinds == ("numeric", "boolean")
    np.testing.assert_array_equal(table.X[:, 1], [1, 0, 0, 1])


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
def test_a_record_may_end_anywhere_in_the_buffer(read_text, monkeypatch, step):
    monkeypatch.setattr(json_module, "_READ_BYTES", step)
    records = [{"näme": f'é"\\{{[{i}', "a": -i * 1.5e-3, "y": i} for i in range(12)]
    text = json.dumps(records, ensure_ascii=False, indent=1)
    table = read_text(text, "t.json", keep_features=("näme",))
    np.testing.assert_array_equal(table.y, np.arange(12))
    np.testing.assert_array_equal(table.X[:, 1], np.float32([-i * 1.5e-3 for i in range(12)]))
    assert 'é"\\{[3' in table.schema.columns[0].encoding.levels


def test_reads_a_record_a_line(read_text):
    table = read_text('{"a": 1, "y": 2}\n{"a": 4, "y": 3}\n', "t.ndjson")
    np.testing.assert_array_equal(table.X, np.float32([[1], [4]]))


def test_missing_and_late_keys_are_missing_values_with_a_note(read_text):
    records = [{"a": i * 3 % 7, "y": i} for i in range(1200)]
    records[700]["late"] = 5
    records[701]["late"] = 6
    del records[3]["a"]
    table = read_text(json.dumps(records), "t.json")
    assert table.feature_names == ("a", "late")
    assert np.isnan(table.X[3, 0])
    assert np.flatnonzero(~np.isnan(table.X[:, 1])).tolist() == [700, 701]
    [note] = [note for note in table.notes if note.code == "ragged_records"]
    assert "a (1)" in note.message
    assert "late (1198)" in note.message


def test_numbers_that_become_text_later_keep_their_spelling(read_text):
    records = [{"a": [3, 2.5, True][i % 3], "y": i} for i in range(900)]
    records[-1]["a"] = "x"
    table = read_text(json.dumps(records), "t.json")
    assert table.schema.columns[0].encoding.levels == ("2.5", "3", "true", "x")


def test_whole_numbers_beyond_float64_are_told_apart(read_text):
    ids = [2**60 + i for i in (3, 1, 2, 5, 9)]
    records = [{"row_id": v, "a": i * 3 % 5, "y": i} for i, v in enumerate(ids)]
    table = read_text(json.dumps(records), "t.json")
    assert table.ids["row_id"].to_pylist() == ids


BAD = {
    "cut off": ('[{"a": 1, "y": 2}, {"a": 1, "y"', "row 2 is cut off"),
    "no end": ('[{"a": 1, "y": 2}, {"a": 1, "y": 3}', "the list is cut off after row 2"),
    "broken": ('[{"a": 1, "y": 2}, {"a" 1, "y": 2}, {"a": 1, "y": 2}]', "row 2 is not valid JSON"),
    "nested": ('[{"a": 1, "y": 2}, {"a": [1, 2], "y": 3}]', r"row 2, key 'a' holds a nested"),
    "number": ('[{"a": 1, "y": 2}, 3]', "row 2 is no record"),
    "empty list": ("[]", "no records"),
    "text": ('"hello"', "row 1 is no record"),
    "after the end": ('[{"a": 1, "y": 2}] {"a": 3}', "after the closing ]"),
    "not utf-8": (b'[{"a": "\xff", "y": 2}]', "not UTF-8 near byte 8"),
    "text target": ('[{"a": 1, "y": 2}, {"a": 2, "y": "?"}]', "column 'y', row 2"),
    "late survivors": ('[{"features": {"a": 1}, "y": 1}, {"y": 2}]', "row 2 has no object"),
    "surrogate": (r'[{"a": "x", "y": 1}, {"a": "\ud800", "y": 2}]', r"row 2, key 'a' holds half"),
    "surrogate key": (r'[{"a": 1, "y": 1}, {"\ud800": 1, "y": 2}]', "row 2 has a key with half"),
    "same key": ('[{"a": 1, "y": 1}, {"a": 1, "y": 2, "a": 3}]', "row 2 has the key 'a' twice"),
    "same feature": ('[{"features": {"a": 1, "a": 2}, "y": 1}]', "row 1 has the key 'a' twice"),
    "key twice": ('[{"a": 2, "features": {"a": 1}, "y": 1}]', "row 1 has the key 'a' twice"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_refuses_naming_the_file_row_and_key(read_text, content, message):
    with pytest.raises(TableError, match=message) as error:
        read_text(content, "t.json")
    assert "t.json" in str(error.value)


def test_a_surrogate_after_many_rows_is_named_with_its_row(read_text):
    records = [{"a": "b", "y": i} for i in range(1300)]
    records[1201]["a"] = "x\ud83d"
    with pytest.raises(TableError, match=r"row 1202, key 'a' .*'x\\ud83d'"):
        read_text(json.dumps(records), "t.json")


def test_both_halves_of_a_character_are_one(read_text):
    records = [{"a": "\N{GRINNING FACE}" if i % 3 else "b", "y": i} for i in range(4)]
    table = read_text(json.dumps(records), "t.json")
    assert table.schema.columns[0].encoding.levels == ("b", "\N{GRINNING FACE}")


def test_a_broken_record_is_found_without_reading_the_rest(read_text, monkeypatch):
    monkeypatch.setattr(json_module, "_READ_BYTES", 100)
    monkeypatch.setattr(json_module, "_MOST_RECORD_CHARS", 1000)
    text = '[{"a": 1, "y": "' + "x" * 10_000 + '"}]'
    with pytest.raises(TableError, match="row 1 is cut off"):
        read_text(text, "t.json")
