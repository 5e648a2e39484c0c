"""Bad input is refused before work starts, by file, column and row, with exit code 1."""

from __future__ import annotations

import os

import pytest
from tests_integration import Answer, make_columns
from tests_step5 import Step5

from agents.cli import main
from steps.errors import StepRefused


def with_price(row, value):
    columns = make_columns(60)
    columns["price"][row] = value
    return columns


def lines(columns):
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"


GOOD = lines(make_columns(60))
CASES = {
    "header only": (GOOD.splitlines()[0] + "\n", {}, ["houses.csv", "no rows"]),
    "no such target": (GOOD, {"target": "prize"}, ["prize", "did you mean", "price"]),
    "text target": (GOOD, {"target": "town"}, ["town", "row 1"]),
    "text in the target": (lines(with_price(6, "dear")), {}, ["price", "row 7", "dear"]),
    "gap in the target": (lines(with_price(9, "")), {}, ["price", "row 10", "missing"]),
    "inf in the target": (lines(with_price(9, "inf")), {}, ["price", "row 10", "inf"]),
    "constant target": (
        lines(make_columns(60) | {"price": ["5"] * 60}),
        {},
        ["price", "constant"],
    ),
    "too few rows": ("\n".join(GOOD.splitlines()[:6]), {"k_folds": 5}, ["5 rows", "at least 12"]),
    "one row": ("\n".join(GOOD.splitlines()[:2]), {}, ["houses.csv"]),
    "duplicate columns": ("a,b,a,price\n1,2,3,4\n", {}, ["houses.csv", "'a'"]),
    "ragged row": (GOOD.replace(",yes,", ",yes,1,", 1), {}, ["houses.csv", "row"]),
    "unknown category column": (GOOD, {"categorical_features": ["twon"]}, ["twon", "town"]),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_words_that_help(tmp_path, case):
    text, params, told = CASES[case]
    step5 = Step5(tmp_path)
    step5.table.write_text(text)
    with pytest.raises(StepRefused) as refused:
        step5.run_here(**params)
    assert refused.value.kind == "bad_input"
    for words in told:
        assert words in refused.value.message, refused.value.message
    assert not (tmp_path / "models").exists()
    assert not (tmp_path / "optuna_studies").exists()


def test_leases_that_cannot_be_written_are_told_and_not_tried_again(tmp_path):
    step5 = Step5(tmp_path)
    folder = tmp_path / ".tmp" / f"watcher-leases-{os.getuid()}"
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(StepRefused) as refused:
        step5.run_here(trials=1)
    assert refused.value.kind == "usage"
    assert f"no lock file can be made in {folder}" in refused.value.message


# One by the header, one by a cell, one by the whole table.
@pytest.mark.parametrize("case", ["no such target", "text in the target", "too few rows"])
def test_the_command_tells_those_words_and_does_not_try_again(workspace, case):
    text, params, told = CASES[case]
    (workspace.root / "houses.csv").write_text(text)
    answer = workspace.step5("houses.csv", **{"target": "price", **params})
    assert answer.code == 1, answer.out
    error = answer.document["steps"][-1]["result"]["error"]
    assert error["kind"] == "bad_input"
    for words in told:
        assert words in error["message"], error["message"]
    assert len(answer.document["steps"][-1]["attempts"]) == 1
    assert not (workspace.root / "models").exists()
    assert not (workspace.root / "optuna_studies").exists()


@pytest.fixture
def refused(workspace, monkeypatch, capfd):
    """The command in this process, with what it refuses before it starts another."""
    monkeypatch.chdir(workspace.root)

    def ask(table, **params):
        code = main(workspace.step5_arguments(table, target="price", **params))
        return Answer(int(code), *capfd.readouterr())

    return ask


def test_an_empty_file_is_refused_before_anything_starts(workspace, refused):
    (workspace.root / "table.csv").touch()
    answer = refused("table.csv")
    assert answer.code == 1
    assert "table.csv, is empty" in answer.document["message"]
    assert not (workspace.root / ".watcher").exists()


def test_a_file_that_is_not_there_is_named_with_its_parameter(workspace):
    answer = workspace.step5("nowhere.csv", target="price")
    assert answer.code == 1
    assert "nowhere.csv" in answer.document["message"]
    assert "survivors" in answer.document["message"]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"trails": 20}, "trials"),
        ({"trials": 0}, "trials must be 1..10000, got 0"),
        ({"k_folds": 1}, "k_folds must be 2..20, got 1"),
        ({"trials": 2.5}, "trials"),
        ({"model_type": "forest"}, "forest"),
    ],
)
def test_a_bad_parameter_is_a_usage_error_before_anything_starts(workspace, refused, params, told):
    (workspace.root / "table.csv").write_text(GOOD)
    answer = refused("table.csv", **params)
    assert answer.code == 2
    assert told in answer.document["message"]
    assert not (workspace.root / ".watcher" / "runs").exists()


def test_parameters_that_do_not_go_together_are_a_usage_error(workspace):
    (workspace.root / "table.csv").write_text(GOOD)
    answer = workspace.step5("table.csv", target="price", split="group")
    assert answer.code == 2
    message = answer.document["steps"][-1]["result"]["error"]["message"]
    assert message == 'split "group" needs group_column'
