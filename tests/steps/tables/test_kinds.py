from __future__ import annotations

import numpy as np
import pytest

from steps.tables import TableError


def csv(**columns) -> str:
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n"


Y = [3, 1, 4, 1, 5, 9]
A = [2, 7, 1, 8, 2, 8]


def roles(table) -> dict[str, str]:
    return {column.name: column.role for column in table.schema.columns}


@pytest.mark.parametrize(
    "texts",
    [
        ["yes", "no", "Yes", "NO", "", "yes"],
        ["TRUE", "False", "true", "false", "", "true"],
        ["t", "F", "T", "f", "", "t"],
        ["Y", "n", "y", "N", "", "y"],
    ],
)
def test_pairs_of_words_are_booleans(read_text, texts):
    table = read_text(csv(b=texts, y=Y))
    assert table.kinds == ("boolean",)
    np.testing.assert_array_equal(table.X[:, 0], np.float32([1, 0, 1, 0, np.nan, 1]))


def test_one_word_of_a_pair_and_missing_values_are_a_boolean(read_text):
    table = read_text(csv(b=["yes", "", "yes", "", "", "yes"], y=Y))
    np.testing.assert_array_equal(table.X[:, 0], np.float32([1, np.nan, 1, np.nan, np.nan, 1]))


def test_numbers_named_as_categories_have_levels_in_their_order(read_text):
    table = read_text(csv(z=[10, 9, 10, "9.0", 100, ""], a=A, y=Y), categorical_features=("z",))
    encoding = table.schema.columns[0].encoding
    assert encoding.levels == ("9", "10", "100")
    np.testing.assert_array_equal(table.X[:, 0], np.float32([1, 0, 1, 0, 2, np.nan]))


def test_codes_with_leading_zeros_named_as_categories_stay_texts(read_text):
    table = read_text(
        csv(z=["07", "7", "07", "7", "1", "1"], a=A, y=Y), categorical_features=("z",)
    )
    assert table.schema.columns[0].encoding.levels == ("07", "1", "7")


@pytest.mark.parametrize("counting", [range(6), range(101, 107), range(6, 0, -1)])
def test_a_column_that_counts_rows_is_an_identifier(read_text, counting):
    table = read_text(csv(n=counting, a=A, y=Y))
    assert table.feature_names == ("a",)
    assert table.ids["n"].to_pylist() == list(counting)
    [note] = [note for note in table.notes if note.code == "identifier"]
    assert "n (it counts the rows)" in note.message


@pytest.mark.parametrize(
    "name", ["id", "ID", "uuid", "rownames", "index", "customer_id", "PassengerId"]
)
def test_unique_integers_with_a_name_for_rows_are_an_identifier(read_text, name):
    numbers = [14, 3, 99, 7, 21, 50]
    assert list(read_text(csv(**{name: numbers}, a=A, y=Y)).ids) == [name]
    assert read_text(csv(width=numbers, a=A, y=Y)).ids == {}
    repeated = [14, 3, 99, 7, 21, 14]
    assert read_text(csv(**{name: repeated}, a=A, y=Y)).ids == {}


def test_keep_features_overrides_what_looks_like_an_identifier(read_text):
    table = read_text(csv(id=range(6), a=A, y=Y), keep_features=("id",))
    assert table.feature_names == ("id", "a")


def test_named_identifiers_keep_their_spelling(read_text):
    texts = ["007", "1", "02", "", "5", "5"]
    table = read_text(csv(k=texts, a=A, y=Y), id_columns=("k",))
    assert table.ids["k"].to_pylist() == ["007", "1", "02", None, "5", "5"]


def test_texts_that_nearly_all_differ_are_set_aside_and_sentences_are_not_carried(read_text):
    n = 60
    names = [f"name {i}" for i in range(n)]
    prose = ["word " * 20 + str(i) for i in range(n)]
    a = [i * 7 % 13 for i in range(n)]
    table = read_text(csv(name=names, prose=prose, a=a, y=range(0, 2 * n, 2)))
    assert roles(table) == {"name": "identifier", "prose": "dropped", "a": "feature", "y": "target"}
    assert {"identifier", "free_text"} <= {note.code for note in table.notes}
    kept = read_text(csv(name=names, a=a, y=range(n)), keep_features=("name",))
    assert kept.levels == (n, 0)


def test_constants_and_copies_are_set_aside_and_named(read_text):
    table = read_text(
        csv(
            c=[5] * 6,
            e=[""] * 6,
            a=A,
            w=["x"] * 6,
            b=["No"] * 6,
            a2=A,
            half=[1, "", 1, 1, 1, 1],
            y=Y,
        )
    )
    assert table.feature_names == ("a", "half")
    messages = {note.code: note.message for note in table.notes}
    for part in ("c (always 5)", "e (all values are missing)", "w (always 'x')", "b (always no)"):
        assert part in messages["constant_feature"]
    assert "a2 (equals a)" in messages["duplicate_feature"]


def test_infinite_values_become_missing_with_column_count_and_row(read_text):
    table = read_text(csv(a=[1, "inf", 3, "-Infinity", 5, "1e300"], y=Y))
    assert np.isnan(table.X[:, 0]).tolist() == [False, True, False, True, False, True]
    [note] = [note for note in table.notes if note.code == "infinite_values"]
    assert note.level == "warning"
    assert "'a' has 3 infinite" in note.message
    assert "row 2" in note.message


def test_milliseconds_that_meet_in_float32_are_warned_of_and_measurements_are_not(read_text):
    rng = np.random.default_rng(1)
    n = 500
    stamps = 1_700_000_000_000 + rng.permutation(n) * 40
    table = read_text(csv(ms=stamps, fine=rng.normal(size=n), y=rng.normal(size=n)))
    warned = [note.message for note in table.notes if note.code == "float32_precision"]
    assert len(warned) == 1
    assert "'ms'" in warned[0]


def test_a_few_texts_among_numbers_are_pointed_out(read_text):
    a = [str(i * 37 % 101) for i in range(40)]
    a[16] = "n/k"
    table = read_text(csv(a=a, y=range(40)))
    [note] = [note for note in table.notes if note.code == "numbers_with_text"]
    assert "row 17: 'n/k'" in note.message
    assert "missing_values" in note.message


@pytest.mark.parametrize(
    ("written", "mark"),
    [
        ("${}", "a currency sign"),
        ("-{}.50 €", "a currency sign"),
        ("{}%", "a percent sign"),
        ('"{},250"', "marks between thousands"),
        ('"$ {},250.75"', "a currency sign and marks between thousands"),
    ],
)
@pytest.mark.parametrize("n", [40, 80])
def test_numbers_with_marks_are_said_to_look_like_numbers(read_text, written, mark, n):
    texts = [written.format(1 + i * 37 % 101) for i in range(n)]
    table = read_text(csv(p=texts, a=[i % 7 for i in range(n)], y=range(0, 2 * n, 2)))
    [note] = [note for note in table.notes if note.code == "numbers_with_text"]
    assert f"'p' is taken as text, but looks like numbers with {mark} (row 1: " in note.message
    assert table.schema.columns[0].reason.endswith(f"; looks like numbers with {mark}")
    if n > 50:
        [note] = [note for note in table.notes if note.code == "identifier"]
        assert f"looks like numbers with {mark}" in note.message


def test_a_few_marked_numbers_among_plain_ones_are_told_from_missing_marks(read_text):
    a = [str(i * 37 % 101) for i in range(40)]
    a[16] = '"1,234"'
    table = read_text(csv(a=a, y=range(40)))
    [note] = [note for note in table.notes if note.code == "numbers_with_text"]
    assert "row 17: '1,234'; some look like numbers with marks between thousands" in note.message


@pytest.mark.parametrize("texts", [["a%", "b%"], ["1,23", "4,5"], ["$", "%"], ["3 m", "4 m"]])
def test_other_texts_are_not_said_to_look_like_numbers(read_text, texts):
    table = read_text(csv(p=[f'"{texts[v % 2]}"' for v in A], a=A, y=Y))
    assert table.notes == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "prise"}, "no target column 'prise'; did you mean 'price'"),
        ({"exclude_features": ("sizes",)}, "exclude_features names 'sizes'.*did you mean 'size'"),
        ({"categorical_features": ("q",)}, "categorical_features names 'q'.*it has size, price"),
        ({"time_column": "Size "}, "time_column names 'Size '.*did you mean 'size'"),
        ({"exclude_features": ("price",)}, "'price' is the target and named in exclude_features"),
        (
            {"exclude_features": ("size",), "keep_features": ("size",)},
            "named in exclude_features and in keep_features: size",
        ),
    ],
)
def test_names_that_are_not_in_the_file_are_refused_with_the_nearest(read_text, options, message):
    with pytest.raises(TableError, match=message):
        read_text(csv(size=A, price=Y), **{"target": "price", **options})


def test_groups_become_codes_and_a_missing_group_is_one(read_text):
    table = read_text(csv(g=["b", "a", "", "b", "", "a"], a=A, y=Y), group_column="g")
    assert table.group.tolist() == [0, 1, 2, 0, 2, 1]
    assert table.feature_names == ("a",)
    assert "missing_group" in {note.code for note in table.notes}
    kept = read_text(
        csv(g=["b", "a", "", "b", "", "a"], a=A, y=Y), group_column="g", keep_features=("g",)
    )
    assert kept.kinds == ("categorical", "numeric")


def test_time_is_sortable_and_never_missing(read_text):
    days = ["2024-03-01", "2024-02-01", "2024-03-02", "2023-01-01", "2024-03-01", "2025-01-01"]
    table = read_text(csv(t=days, a=A, y=Y), time_column="t")
    assert np.argsort(table.time, kind="stable").tolist() == [3, 1, 0, 4, 2, 5]
    assert table.feature_names == ("a",)
    numbers = read_text(csv(t=[3, 1, 2, 6, 4, 5], a=A, y=Y), time_column="t")
    assert numbers.time.tolist() == [3, 1, 2, 6, 4, 5]
    with pytest.raises(TableError, match="time column 't', row 2: the value is missing"):
        read_text(csv(t=[days[0], "", *days[2:]], a=A, y=Y), time_column="t")


def test_the_fingerprint_follows_the_content_and_not_the_spelling(read_text):
    first = read_text("a,b,y\n1.0,2,3\n4,9,6\n").fingerprint
    assert read_text("a;b;y\n1;2.00;3\n4;9;6.0\n").fingerprint == first
    zero = read_text("a,b,y\n0,2,3\n4,9,6\n").fingerprint
    assert read_text("a,b,y\n-0.0,2,3\n4,9,6\n").fingerprint == zero != first
    assert read_text("a,b,y\n1.0,2,3\n4,9,7\n").fingerprint != first
    assert read_text("a,c,y\n1.0,2,3\n4,9,6\n").fingerprint != first


def test_one_number_spelled_in_two_ways_is_one_group(read_text):
    table = read_text(csv(g=["7", "7.0", "8", "nan", "8.0", ""], a=A, y=Y), group_column="g")
    assert table.group.tolist() == [0, 0, 1, 2, 1, 2]


def test_integers_that_even_float64_confuses_are_warned_of(read_text):
    big = [2**64 - 1 - i for i in (0, 5, 2, 3, 9, 1)]
    table = read_text(csv(wide=big, a=A, y=Y))
    assert {"float32_precision", "constant_feature"} <= {note.code for note in table.notes}
    assert read_text(csv(uid=big, a=A, y=Y)).ids["uid"].to_pylist() == big
