"""Parameters: precedence, bounds, and errors that a person can act on."""

import pytest

from agents.bounds import (
    BooleanBound,
    IntegerBound,
    NumberBound,
    StringBound,
    StringListBound,
    check_value,
)
from agents.errors import ParameterError
from agents.manifests import Manifest
from agents.parameters import Given, given_params, merge_params, refuse_unknown

MANIFEST = Manifest.model_validate(
    {
        "step": 5,
        "agent_name": "reinforcement",
        "module": "steps.step5_training",
        "default_params": {"trials": 50},
        "parameter_bounds": {
            "trials": {"type": "integer", "min": 1, "max": 200, "default": 10},
            "seed": {"type": "integer", "default": 0},
            "rate": {"type": "number", "min": 0, "max": 1, "default": 0.5},
        },
    }
)


def test_each_value_knows_where_it_comes_from():
    def origins(given):
        return {p.name: (p.value, p.origin) for p in merge_params(MANIFEST, given)}

    assert origins(Given({"rate": 1})) == {
        "trials": (50, "manifest"),
        "seed": (0, "default"),
        "rate": (1, "params"),
    }
    assert origins(Given({"rate": 1}, frozenset({"rate"})))["rate"] == (1, "params-file")


def test_params_win_over_the_params_file(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("trials: 3\nseed: 4\n")
    given = given_params('{"trials": 9}', path)
    assert given.values == {"trials": 9, "seed": 4}
    assert (given.origin("trials"), given.origin("seed")) == ("params", "params-file")


def test_out_of_bounds_names_file_parameter_bound_and_value():
    with pytest.raises(ParameterError) as caught:
        merge_params(MANIFEST, Given({"trials": 0}))
    assert str(caught.value) == "reinforcement.json: trials must be 1..200, got 0"


def test_unknown_parameter_offers_the_nearest():
    with pytest.raises(ParameterError) as caught:
        refuse_unknown({"trails": 3}, [MANIFEST])
    assert str(caught.value) == (
        "reinforcement.json: no parameter 'trails'; did you mean 'trials'?"
    )


def test_parameter_near_to_nothing_gets_the_whole_list():
    with pytest.raises(ParameterError, match="known: rate, seed, trials"):
        refuse_unknown({"zzz": 3}, [MANIFEST])


INTEGER = IntegerBound(type="integer", min=1, max=9, default=1)
NUMBER = NumberBound(type="number", min=0, max=1, default=0)
BOOLEAN = BooleanBound(type="boolean", default=True)
CHOICE = StringBound(type="string", choices=("a", "b"), default="a")
TEXTS = StringListBound(type="string_list", default=())


@pytest.mark.parametrize(
    ("bound", "value", "sentence"),
    [
        (INTEGER, True, "x must be an integer 1..9, got true"),
        (INTEGER, 2.0, "x must be an integer 1..9, got 2.0"),
        (INTEGER, "2", 'x must be an integer 1..9, got "2"'),
        (INTEGER, None, "x must be an integer 1..9, got null"),
        (INTEGER, 10, "x must be 1..9, got 10"),
        (NUMBER, float("nan"), "x must be a finite number 0..1, got NaN"),
        (NUMBER, float("inf"), "x must be a finite number 0..1, got Infinity"),
        (NUMBER, 10**400, "x must be a finite number 0..1, got 1000000000"),
        (NUMBER, False, "x must be a finite number 0..1, got false"),
        (BOOLEAN, 1, "x must be true or false, got 1"),
        (CHOICE, "c", 'x must be one of "a", "b", got "c"'),
        (TEXTS, "a", 'x must be a list of texts, got "a"'),
        (TEXTS, ["a", 1], 'x must be a list of texts, got ["a", 1]'),
        (StringBound(type="string", default=""), "a\0b", "x must be a text"),
    ],
)
def test_wrong_value_is_refused_in_one_sentence(bound, value, sentence):
    with pytest.raises(ParameterError) as caught:
        check_value("x", bound, value)
    assert str(caught.value).startswith(sentence)


def test_null_is_taken_where_the_bound_allows_it():
    bound = IntegerBound(type="integer", nullable=True, default=None)
    assert check_value("x", bound, None) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": }', "--params: not valid JSON at line 1, column 7"),
        ("{'a': 1}", "--params: not valid JSON at line 1, column 2"),
        ('{"a": 1, "a": 2}', "--params: key 'a' is given twice"),
        ('{"a": NaN}', "--params: numbers must be finite, got NaN"),
        ("[1]", "--params: must be an object {...}, got [1]"),
        ("", "--params: not valid JSON at line 1, column 1"),
        ('{"a": ' + "9" * 5000 + "}", "--params: "),
    ],
)
def test_bad_json_names_its_place(text, words):
    with pytest.raises(ParameterError) as caught:
        given_params(text, None)
    assert str(caught.value).startswith(words)


def test_bad_json_points_at_the_column():
    with pytest.raises(ParameterError) as caught:
        given_params('{"trials": 3,, "seed": 1}', None)
    lines = str(caught.value).splitlines()
    assert lines[1][lines[2].index("^")] == ","


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2\n", "line 2, column 1: key 'a' is given twice"),
        ("a: [1, 2\n", "not valid YAML at line"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("- 1\n", "must be an object"),
        ("1: 2\n", "a key must be a text"),
        ("a: !!python/object:os.system {}\n", "not valid YAML"),
    ],
)
def test_bad_yaml_names_its_place(tmp_path, text, words):
    path = tmp_path / "p.yml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=r"p\.yml") as caught:
        given_params(None, path)
    assert words in str(caught.value)


def test_params_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"must end in \.json"):
        given_params(None, tmp_path / "p.toml")


def test_params_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ParameterError, match=r"p\.json: no such file"):
        given_params(None, tmp_path / "p.json")
