"""Which rule answers a finding, and what it makes of a parameter; nothing is run."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from agents.bounds import Bound, check_value
from agents.remedies import answer, rule_key, rule_words
from steps.policies import Remedy

BOUND = TypeAdapter(Bound)


def bound(**facts):
    return BOUND.validate_python({"default": None, "nullable": True, **facts})


BOUNDS = {
    "trials": bound(type="integer", min=1, max=200),
    "slots": bound(type="integer", min=0, max=64),
    "free": bound(type="integer"),
    "sizes": bound(type="integer", choices=[0, 16, 32, 64, 128]),
    "few": bound(type="integer", min=10, max=40, choices=[8, 16, 32, 64]),
    "rate": bound(type="number", min=1e-6, max=1),
    "dropout": bound(type="number", min=0, max=0.9),
    "wide": bound(type="number"),
    "leaky": bound(type="boolean"),
    "batch": bound(type="string", choices=["auto", "full", "mini"]),
    "columns": bound(type="string_list"),
    "api_key": bound(type="string"),
}


def rule(parameter, finding="f", **facts):
    return Remedy(finding=finding, parameter=parameter, **facts)


def ask(rules, used=(), step=5, findings=("f",), **values):
    parameters = dict.fromkeys(BOUNDS) | values
    return answer(step, findings, rules, used, parameters, BOUNDS)


@pytest.mark.parametrize(
    ("parameter", "before", "how", "after"),
    [
        ("trials", 20, {"multiply": 0.5}, 10),
        ("trials", 5, {"multiply": 0.5}, 2),  # rounded the way it goes: down
        ("trials", 5, {"multiply": 1.1}, 6),  # and up
        ("trials", 10, {"multiply": 1.1}, 11),  # a tenth is a tenth: no 11.000000000000002
        ("trials", 100, {"multiply": 0.29}, 29),  # no 28.999999999999996 either
        ("trials", 150, {"multiply": 2}, 200),  # into the bound
        ("trials", 20, {"add": -3}, 17),
        ("trials", 20, {"add": -300}, 1),
        ("trials", 20, {"add": 0.4}, 21),
        ("slots", 0, {"multiply": 0.5, "when_unset": 8}, 4),
        ("slots", None, {"multiply": 0.5, "when_unset": 8}, 4),
        ("slots", 0, {"multiply": 0.5, "when_unset": 1}, 1),
        ("slots", None, {"add": 3, "when_unset": 0}, 3),
        ("slots", 3, {"add": -9}, 1),  # never to 0, which means "as many as there are"
        ("slots", 6, {"multiply": 0.5, "when_unset": 64}, 3),  # a set value counts
        ("free", -5, {"multiply": 0.5}, -2),
        ("free", -1, {"multiply": 2}, -2),
        ("free", 10**400, {"multiply": 0.5}, 5 * 10**399),
        ("sizes", 64, {"multiply": 0.5}, 32),
        ("sizes", 64, {"multiply": 0.7}, 32),
        ("sizes", 64, {"multiply": 0.01}, 16),
        ("sizes", 64, {"add": 1}, 128),
        ("sizes", 64, {"multiply": 100}, 128),
        ("few", 32, {"multiply": 0.1}, 16),  # 8 is below min
        ("few", 16, {"multiply": 9}, 32),
        ("rate", 0.1, {"multiply": 0.3}, 0.03),
        ("rate", 1e-6, {"add": 5}, 1.0),
        ("rate", None, {"multiply": 0.3, "when_unset": 0.1}, 0.03),
        ("dropout", 0.1, {"add": 0.2}, 0.3),
        ("wide", 4, {"multiply": 0.5}, 2.0),
        ("leaky", False, {"set": True}, True),
        ("leaky", None, {"set": False}, False),
        ("trials", 20, {"set": 7}, 7),
        ("slots", 5, {"set": 0}, 0),
        ("rate", 0.5, {"set": None}, None),
        ("batch", "full", {"set": "mini"}, "mini"),
        ("columns", ["a"], {"set": ["a", "b"]}, ["a", "b"]),
    ],
)
def test_rule_changes_the_value(parameter, before, how, after):
    found = ask([rule(parameter, **how)], **{parameter: before})
    assert found.change is not None, found.passed_over
    assert (found.change.parameter, found.change.before) == (parameter, before)
    assert found.change.after == after
    assert type(found.change.after) is type(after)
    assert found.passed_over == ()


@pytest.mark.parametrize(
    ("parameter", "before", "how", "why"),
    [
        ("trials", 1, {"multiply": 0.5}, "trials is 1 and would stay so"),
        ("slots", 1, {"multiply": 0.5}, "slots is 1 and would stay so"),
        ("trials", 200, {"multiply": 2}, "trials is 200 and would stay so"),
        ("trials", 20, {"multiply": 1}, "trials is 20 and would stay so"),
        ("slots", 0, {"multiply": 0.5}, "slots is 0 and the rule has no when_unset"),
        ("rate", None, {"multiply": 0.5}, "rate is null and the rule has no when_unset"),
        ("dropout", 0.1, {"add": -0.5}, "dropout would be 0, which means not set"),
        ("wide", 1e-200, {"multiply": 1e-200}, "wide would be 0, which means not set"),
        ("wide", 1e300, {"multiply": 1e300}, "wide would be beyond all numbers"),
        ("leaky", True, {"set": True}, "leaky is true and would stay so"),
        ("leaky", True, {"multiply": 0.5}, "leaky is no number"),
        ("columns", ["a"], {"add": 1}, "columns is no number"),
        ("trials", 20, {"set": 0}, "trials must be 1..200 (or null), got 0"),
        ("trials", 20, {"set": 2.5}, "trials must be an integer 1..200 (or null), got 2.5"),
        ("batch", "full", {"set": "huge"}, 'one of "auto", "full", "mini" (or null), got "huge"'),
        ("api_key", "abcdef", {"set": "other"}, "api_key holds a secret"),
        ("batch", "auto", {"set": "http://me:hidden@host"}, "batch holds a secret"),
        ("unheard", None, {"set": 1}, "step 5 has no such parameter"),
    ],
)
def test_rule_that_does_not_apply_says_why(parameter, before, how, why):
    found = ask([rule(parameter, **how)], **{parameter: before})
    assert found.change is None
    (said,) = found.passed_over
    assert why in said
    assert said.startswith(f"f: {parameter} ")


def test_first_rule_that_applies_is_taken_and_those_before_it_are_accounted_for():
    rules = [
        rule("trials", multiply=0.5, finding="other"),
        rule("trials", multiply=0.5),
        rule("slots", multiply=0.5),
        rule("rate", multiply=0.5),
    ]
    found = ask(rules, trials=1, slots=8, rate=0.5)
    assert (found.change.parameter, found.change.after) == ("slots", 4)
    assert found.change.because == "f: slots 4 instead of 8"
    assert found.passed_over == ("f: trials x 0.5: trials is 1 and would stay so",)


def test_no_rule_for_the_finding_is_no_change_and_no_reasons():
    found = ask([rule("trials", multiply=0.5)], findings=("unhealthy", "diverged"), trials=20)
    assert (found.change, found.passed_over) == (None, ())


def test_order_of_the_rules_counts_not_that_of_the_findings():
    rules = [rule("slots", set=1, finding="late"), rule("trials", set=1, finding="early")]
    assert ask(rules, findings=("early", "late"), trials=9).change.parameter == "slots"


@pytest.mark.parametrize(("step", "applies"), [(5, True), (3, False)])
def test_rule_of_one_step_is_for_that_step_only(step, applies):
    found = ask([rule("trials", multiply=0.5, step=5)], step=step, trials=20)
    assert (found.change is not None) == applies


def test_used_rule_gives_way_to_the_next():
    rules = [rule("trials", multiply=0.5), rule("trials", multiply=0.25)]
    first = ask(rules, trials=100).change
    second = ask(rules, used={first.rule_key}, trials=first.after).change
    assert (first.after, second.after) == (50, 12)
    third = ask(rules, used={first.rule_key, second.rule_key}, trials=second.after)
    assert third.change is None
    assert third.passed_over == (
        "f: trials x 0.5: was used in this run",
        "f: trials x 0.25: was used in this run",
    )


def test_key_of_a_rule_is_its_content_however_it_was_written():
    written = '{"parameter": "trials", "multiply": 2, "step": null, "finding": "timeout"}'
    same = Remedy(finding="timeout", parameter="trials", multiply=2.0)
    assert rule_key(Remedy.model_validate_json(written)) == rule_key(same)


def test_keys_of_different_rules_differ():
    rules = [
        rule("trials", multiply=0.5),
        rule("trials", multiply=0.25),
        rule("trials", add=0.5),
        rule("trials", set=0.5),
        rule("trials", set=None),
        rule("trials", set=True),
        rule("trials", multiply=0.5, when_unset=8),
        rule("trials", multiply=0.5, step=5),
        rule("trials", multiply=0.5, step=0),
        rule("slots", multiply=0.5),
        rule("trials", multiply=0.5, finding="g"),
    ]
    assert len({rule_key(each) for each in rules}) == len(rules)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"multiply": 0.5}, "f: trials x 0.5"),
        ({"add": -2}, "f: trials - 2"),
        ({"add": 2}, "f: trials + 2"),
        ({"set": None}, "f: trials = null"),
        ({"set": "postgres://me:hidden@host"}, 'f: trials = "postgres://me:***@host"'),
    ],
)
def test_rule_in_words(how, words):
    assert rule_words(rule("trials", **how)) == words


def test_value_that_a_secret_parameter_would_get_is_not_shown():
    found = ask([rule("api_key", set="abcdefgh")], api_key="other")
    assert "abcdefgh" not in str(found)


# What holds for every bound, value and rule.

integers = st.integers(-300, 300) | st.integers()
# No subnormal ones: a training library that another test has loaded into this process may have
# switched them off.
finite = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
numbers = integers | finite
texts = st.sampled_from(["a", "b", "auto"])


@st.composite
def any_bound(draw):
    kind = draw(st.sampled_from(["integer", "number", "boolean", "string", "string_list"]))
    facts = {"type": kind, "nullable": draw(st.booleans()), "default": None}
    if kind in {"integer", "number"}:
        values = integers if kind == "integer" else numbers
        low, high = draw(st.none() | values), draw(st.none() | values)
        if low is not None and high is not None:
            low, high = min(low, high), max(low, high)
        choices = draw(st.none() | st.lists(values, min_size=1, max_size=5))
        return BOUND.validate_python({**facts, "min": low, "max": high, "choices": choices})
    return BOUND.validate_python(facts)


def value_of(draw, bounded):
    """A value that the bound allows, or a rejected example."""
    raw = draw(
        {
            "integer": integers,
            "number": numbers,
            "boolean": st.booleans(),
            "string": texts,
            "string_list": st.lists(texts, max_size=3),
        }[bounded.type]
        | (st.none() if bounded.nullable else st.nothing())
    )
    if raw is not None and bounded.type in {"integer", "number"}:
        if bounded.choices:
            raw = draw(st.sampled_from(bounded.choices))
        raw = raw if bounded.min is None else max(raw, bounded.min)
        raw = raw if bounded.max is None else min(raw, bounded.max)
        assume(not bounded.choices or raw in bounded.choices)
    return raw


@st.composite
def any_rule(draw, parameters=("p",)):
    way = draw(st.sampled_from(["multiply", "add", "set"]))
    amounts = {
        "multiply": st.floats(1e-6, 1e6) | st.floats(1e-300, 1e300),
        "add": finite,
        "set": st.none() | numbers | st.booleans() | texts | st.lists(texts, max_size=2),
    }
    unset = draw(st.none() | finite | st.integers(-10, 10))
    try:
        return Remedy(
            finding=draw(st.sampled_from(["f", "g"])),
            parameter=draw(st.sampled_from(parameters)),
            when_unset=unset,
            **{way: draw(amounts[way])},
        )
    except (ValidationError, OverflowError):
        assume(condition=False)


@given(st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_change_is_always_inside_the_bound_and_always_a_change(data):
    bounded = data.draw(any_bound())
    before = value_of(data.draw, bounded)
    chosen = data.draw(any_rule())
    found = answer(5, ("f", "g"), [chosen], (), {"p": before}, {"p": bounded})
    if found.change is None:
        assert len(found.passed_over) == 1
        return
    after = found.change.after
    assert check_value("p", bounded, after) == after
    assert after != before
    if before and chosen.multiply is not None:
        assert (abs(after) < abs(before)) == (chosen.multiply < 1), "it went the wrong way"
        assert after != 0
    if before and chosen.add is not None:
        assert (after < before) == (chosen.add < 0), "it went the wrong way"
        assert after != 0


@given(st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_changes_come_to_an_end_and_no_rule_is_used_twice(data):
    names = ("p", "q")
    bounds = {name: data.draw(any_bound()) for name in names}
    parameters = {name: value_of(data.draw, bounds[name]) for name in names}
    rules = data.draw(st.lists(any_rule(names), max_size=8))
    used: list[str] = []
    while (change := answer(5, ("f",), rules, used, parameters, bounds).change) is not None:
        assert change.rule_key not in used
        used.append(change.rule_key)
        parameters[change.parameter] = change.after
        assert len(used) <= len(rules)
