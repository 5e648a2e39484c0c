from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.tables import TableError, TableSchema, encode_rows

TRAINING = (
    "id,size,kind,flag,day,zip,same,y\n"
    "1,1.5,red,yes,03/04/2024,7,0,1\n"
    "2,2.5,blue,no,01/05/2024,12,0,2\n"
    "3,0.5,,yes,20/12/2023,7,0,3\n"
    "4,9.5,red,,02/12/2023,30,0,4\n"
)


@pytest.fixture
def table(read_text):
    return read_text(TRAINING, "training.csv", categorical_features=("zip",))


@pytest.fixture
def schema(table):
    """As the sidecar carries it: through JSON and back."""
    return TableSchema.model_validate_json(table.schema.model_dump_json())


def test_the_training_rows_encode_to_the_same_numbers(table, schema):
    rows = encode_rows(table.path, schema)
    np.testing.assert_array_equal(rows.X, table.X)
    assert rows.X.flags.c_contiguous
    assert schema.feature_names == table.feature_names
    assert rows.row_ids["id"].to_pylist() == [1, 2, 3, 4]
    assert rows.notes == ()


def test_other_formats_without_the_target_encode_the_same(table, schema, tmp_path):
    records = [
        {"zip": 7, "size": 1.5, "kind": "red", "flag": True, "day": "2024-04-03"},
        {"zip": 12.0, "size": 2.5, "kind": "blue", "flag": 0, "day": "2024-05-01"},
    ]
    (tmp_path / "new.json").write_text(json.dumps(records))
    np.testing.assert_array_equal(encode_rows(tmp_path / "new.json", schema).X, table.X[:2])
    columns = {name: [record[name] for record in records] for name in ("size", "kind")}
    columns["zip"] = [7, 12]
    columns["flag"] = [True, False]
    columns["day"] = np.array(["2024-04-03", "2024-05-01"], "datetime64[D]")
    pq.write_table(pa.table(columns), tmp_path / "new.parquet")
    np.testing.assert_array_equal(encode_rows(tmp_path / "new.parquet", schema).X, table.X[:2])


def test_levels_do_not_depend_on_which_levels_the_new_rows_have(table, schema, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("size,kind,flag,day,zip\n9.5,red,,02/12/2023,30\n")
    np.testing.assert_array_equal(encode_rows(path, schema).X, table.X[3:])


def test_unknown_levels_are_missing_with_count_row_and_value(schema, tmp_path):
    path = tmp_path / "new.csv"
    day = "03/04/2024"
    path.write_text(
        f"size,kind,flag,day,zip\n1,red,no,{day},7\n1,green,no,{day},7\n1,teal,maybe,{day},8\n"
    )
    rows = encode_rows(path, schema)
    place = schema.feature_names.index("kind")
    assert np.isnan(rows.X[:, place]).tolist() == [False, True, True]
    messages = [note.message for note in rows.notes if note.code == "unknown_level"]
    assert any("'kind' has 2 values" in m and "row 2: 'green'" in m for m in messages)
    assert any("'flag' has 1 values" in m and "row 3: 'maybe'" in m for m in messages)
    assert any("'zip' has 1 values" in m and "'8'" in m for m in messages)


def test_all_missing_columns_are_named_in_one_error(schema, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("size,flag\n1,yes\n")
    with pytest.raises(TableError, match=r"new\.csv: the model needs .* lacks: kind, day, zip;"):
        encode_rows(path, schema)


def test_extra_columns_are_left_out_and_named(schema, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("size,kind,flag,day,zip,more,y\n1,red,no,03/04/2024,7,5,1\n")
    [note] = encode_rows(path, schema).notes
    assert note.code == "extra_columns"
    assert note.message.endswith(": more")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("big,red,no,03/04/2024,7", "column 'size', row 2: wanted a number, got 'big'"),
        ("1,red,no,soon,7", "column 'day', row 2: wanted a date, got 'soon'"),
        ("1,red,no,04/13/2024,7", "column 'day', row 2: wanted a date, got '04/13/2024'"),
    ],
)
def test_a_value_that_does_not_fit_names_column_row_and_text(schema, tmp_path, row, message):
    path = tmp_path / "new.csv"
    path.write_text(f"size,kind,flag,day,zip\n1,red,no,03/04/2024,7\n{row}\n")
    with pytest.raises(TableError, match=message):
        encode_rows(path, schema)


def test_columns_of_missing_values_only_are_missing_features(schema, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("size,kind,flag,day,zip\n,,,,\n,,,,\n")
    assert np.isnan(encode_rows(path, schema).X).all()
