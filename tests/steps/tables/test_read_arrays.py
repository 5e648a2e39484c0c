from __future__ import annotations

import datetime
import decimal
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.tables import TableError, TableOptions, read_table

Y = [1.0, 2.0, 4.0, 3.0]


def parquet(tmp_path, columns, **options):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({**columns, "y": Y}), path, row_group_size=2)
    return read_table(path, TableOptions(target="y", **options))


def npz(tmp_path, options=None, **arrays):
    path = tmp_path / "t.npz"
    np.savez(path, **arrays)
    return read_table(path, options or TableOptions())


def test_parquet_types_become_numbers_booleans_levels_and_dates(tmp_path):
    day = datetime.date(2000, 1, 2)
    table = parquet(
        tmp_path,
        {
            "i": pa.array([3, None, 1, 2], pa.int16()),
            "d": pa.array([decimal.Decimal(v) for v in ("1.25", "2.50", "9.00", "3.75")]),
            "b": [True, None, False, True],
            "c": pa.array(["u", "v", "u", None]).dictionary_encode(),
            "on": [day, None, day + datetime.timedelta(3), day],
            "t": pa.array([5, 3, 2, 4], pa.duration("s")),
        },
    )
    assert table.feature_names == ("i", "d", "b", "c", "on.days", "on.weekday", "on.dayofyear", "t")
    nan = np.nan
    expected = [
        [3, 1.25, 1, 0, 1, 6, 2, 5],
        [nan, 2.5, nan, 1, nan, nan, nan, 3],
        [1, 9, 0, 0, 4, 2, 5, 2],
        [2, 3.75, 1, nan, 1, 6, 2, 4],
    ]
    np.testing.assert_array_equal(table.X, np.float32(expected))
    assert table.kinds[2:4] == ("boolean", "categorical")


def test_parquet_keeps_unsigned_and_nullable_identifiers_exact(tmp_path):
    big = [2**64 - 1, 2**63 + 11, 2**53 + 1, 7]
    columns = {
        "row_id": pa.array(big, pa.uint64()),
        "other_id": pa.array([2**53 + 1, None, 2**53 + 3, 5], pa.int64()),
        "a": [1, 5, 2, 9],
    }
    table = parquet(tmp_path, columns, id_columns=("other_id",))
    assert table.ids["row_id"].to_pylist() == big
    assert table.ids["other_id"].to_pylist() == [str(2**53 + 1), None, str(2**53 + 3), "5"]


def test_parquet_structs_are_flattened_to_their_own_names(tmp_path):
    features = pa.array([{"u": i * 5 % 7, "v": i * 3 % 5} for i in range(4)])
    assert parquet(tmp_path, {"features": features}).feature_names == ("u", "v")


def test_parquet_refuses_nested_columns_empty_tables_and_other_files(tmp_path):
    with pytest.raises(TableError, match=r"t\.parquet: column 'a' holds list<.*; wanted numbers"):
        parquet(tmp_path, {"a": [[1], [2], [3], [4]]})
    path = tmp_path / "no.parquet"
    path.write_text("a,y\n1,2\n")
    with pytest.raises(TableError, match=r"no\.parquet: not readable as Parquet"):
        read_table(path, TableOptions())
    pq.write_table(pa.table({"y": pa.array([], pa.float64())}), path)
    with pytest.raises(TableError, match="no rows"):
        read_table(path, TableOptions(target="y"))


def test_npz_takes_x_and_y_with_or_without_names(tmp_path):
    X = np.array([[1, 8], [2, 5], [7, 6], [3, 2]])
    table = npz(tmp_path, X=X, y=np.array(Y)[:, None])
    assert table.feature_names == ("x0", "x1")
    assert table.target == "y"
    named = npz(
        tmp_path, X_train=np.asfortranarray(X), y_train=Y, feature_names=["a", "b"], X_val=X
    )
    assert named.feature_names == ("a", "b")
    np.testing.assert_array_equal(named.X, X)
    assert any("X_val" in note.message for note in named.notes)


def test_npz_never_unpickles_and_names_the_array(tmp_path):
    with pytest.raises(TableError, match=r"t\.npz: array 'X' is not readable") as error:
        npz(tmp_path, X=np.array([[object()]]), y=[1.0])
    assert "allow_pickle" not in str(error.value)


def test_what_is_no_npz_is_refused_in_our_own_words(tmp_path):
    path = tmp_path / "t.npz"
    np.savez_compressed(path, X=np.arange(6000.0).reshape(3000, 2) % 7, y=np.arange(3000.0))
    whole = path.read_bytes()
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    only_array = (tmp_path / "a.npy").read_bytes()
    for content in (b"garbage" * 99, pickle.dumps([1]), only_array, whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(TableError, match=r"t\.npz: not readable as NPZ: it is no zip") as error:
            read_table(path, TableOptions())
        assert "allow_pickle" not in str(error.value)
    path.write_bytes(whole[:100] + bytes([255] * 40) + whole[140:])
    with pytest.raises(TableError, match=r"t\.npz: array 'X' is not readable: it is damaged"):
        read_table(path, TableOptions())


@pytest.mark.parametrize("text", ["\ud800", b"\xff"])
def test_npz_texts_that_utf8_cannot_hold_are_named_with_their_row(tmp_path, text):
    good = "a" if isinstance(text, str) else b"a"
    with pytest.raises(TableError, match=r"t\.npz: column 'x0', row 2: wanted text that UTF-8"):
        npz(tmp_path, X=np.array([[good], [text]]), y=np.array([1.0, 2.0]))
    numbers = np.array([[1.0], [2.0]])
    for key in ("feature_names", "target_name"):
        with pytest.raises(TableError, match=rf"t\.npz: {key}: wanted text that UTF-8"):
            npz(tmp_path, X=numbers, y=np.array([1.0, 2.0]), **{key: np.array([text])})
    with pytest.raises(TableError, match="target_name must be one name, got 2"):
        npz(tmp_path, X=numbers, y=np.array([1.0, 2.0]), target_name=np.array(["y", "z"]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": [1.0, 2.0], "y": [1.0, 2.0]}, r"X must be \(rows, features\)"),
        ({"X": [[1.0], [2.0]], "y": [1.0]}, "X has 2 rows, y has 1"),
        ({"X": [[1.0], [2.0]], "y": [1.0, 2.0], "feature_names": ["a", "b"]}, "has 2 names"),
        (
            {"X": [[1.0, 2.0]], "y": [1.0], "feature_names": ["a", "a"]},
            "two columns are called 'a'",
        ),
        ({"Z": [[1.0]]}, "wanted the arrays X and y, got Z"),
        ({"X": [[1.0]]}, "no column 'y'"),
    ],
)
def test_npz_refuses_arrays_that_do_not_fit(tmp_path, arrays, message):
    with pytest.raises(TableError, match=message):
        npz(tmp_path, **{key: np.array(value) for key, value in arrays.items()})


def test_a_file_that_is_not_there_or_of_no_known_kind_is_refused(tmp_path):
    with pytest.raises(TableError, match="there is no such file"):
        read_table(tmp_path / "none.csv", TableOptions())
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(
        TableError, match=r"book\.xlsx: not a format known by its name; wanted \.csv"
    ):
        read_table(tmp_path / "book.xlsx", TableOptions())
    with pytest.raises(TableError, match="is a folder"):
        read_table(tmp_path, TableOptions())
