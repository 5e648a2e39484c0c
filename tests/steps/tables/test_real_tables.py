from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from steps.tables import TableOptions, encode_rows, read_table

pytestmark = pytest.mark.real_data

# file, target, features, categorical features, missing cells of X
TABLES = [
    ("california_housing.csv", "median_house_value", (20640, 9), 1, 207),
    ("diamonds.csv.gz", "price", (53940, 9), 3, 0),
    ("protein.csv.gz", "y", (45730, 9), 0, 0),
    ("elevators.csv.gz", "y", (16599, 18), 0, 0),
    ("deliveries.csv.gz", "time_to_delivery", (10012, 30), 1, 0),
    ("cps1988.csv.gz", "wage", (28155, 6), 2, 0),
    ("ames.csv.gz", "Sale_Price", (2930, 73), 39, 0),
]


@pytest.mark.parametrize(("name", "target", "shape", "categorical", "missing"), TABLES)
def test_real_tables_read_whole(data_dir, name, target, shape, categorical, missing):
    table = read_table(data_dir / name, TableOptions(target=target))
    assert table.X.shape == shape
    assert table.kinds.count("categorical") == categorical
    assert np.isnan(table.X).sum() == missing
    assert table.ids == {}
    np.testing.assert_array_equal(encode_rows(data_dir / name, table.schema).X, table.X)


def test_numbers_are_those_of_pythons_own_reader(data_dir):
    path = data_dir / "elevators.csv.gz"
    table = read_table(path, TableOptions(target="y"))
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [[float(row[name]) for name in table.feature_names] for row in rows]
    np.testing.assert_array_equal(table.X, np.array(expected).astype(np.float32))
    np.testing.assert_array_equal(table.y, [float(row["y"]) for row in rows])


def test_none_is_a_level_of_ames_and_levels_keep_their_spaces(data_dir):
    table = read_table(data_dir / "ames.csv.gz", TableOptions(target="Sale_Price"))
    levels = {
        c.name: c.encoding.levels for c in table.schema.columns if hasattr(c.encoding, "levels")
    }
    assert "None" in levels["Mas_Vnr_Type"]
    assert "None" in levels["Misc_Feature"]
    assert "WD " in levels["Sale_Type"]


def test_powerball_dates_are_month_first(data_dir):
    table = read_table(data_dir / "powerball.csv", TableOptions(target="red_ball"))
    assert table.feature_names[:3] == ("date.days", "date.weekday", "date.dayofyear")
    assert table.X[0, 0] == 5758  # 7 October 2015
    assert "ambiguous_dates" not in {note.code for note in table.notes}
    assert list(table.ids) == ["white_balls"]
