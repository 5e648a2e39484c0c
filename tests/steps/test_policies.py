from __future__ import annotations

import json
from pathlib import Path

import pytest

from steps.policies import LivePolicy, Policy, PolicyError, load_policy, parse_policy

SHIPPED = Path(__file__).parents[2] / "watcher_policies.json"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "watcher_policies.json"
    path.write_text(SHIPPED.read_text())
    return path


def test_the_shipped_file_says_what_the_code_defaults_to():
    shipped = load_policy(SHIPPED).model_dump(exclude={"schema_"})
    defaults = Policy().model_dump(exclude={"schema_"})
    # A policy file of before the key existed must not switch persistent workers on.
    assert shipped["training"].pop("use_persistent_workers") is True
    assert defaults["training"].pop("use_persistent_workers") is False
    assert shipped == defaults


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not valid JSON at line 1"),
        ('{"hatl": true}', "hatl: unknown key"),
        ('{"halt": "perhaps"}', "halt: .*got 'perhaps'"),
        ('{"halt": true, "halt": false}', "key 'halt' is given twice"),
        ('{"steps": {"timeout_minutes": {"five": 1}}}', "timeout_minutes.*five"),
        ('{"retries": {"max_per_step": -1}}', "retries.max_per_step: .*got -1"),
        ("[" * 100_000, "nested deeper than"),
        ("[]", "must be an object"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_key(text, told):
    with pytest.raises(PolicyError, match=told):
        parse_policy(text, "watcher_policies.json")


def test_a_change_takes_effect_and_is_told_with_both_values(file):
    live = LivePolicy(file)
    assert live.refresh() is None
    file.write_text(file.read_text().replace('"halt": false', '"halt": true'))
    assert live.refresh().changed == ("halt: False -> True",)
    assert live.current.halt
    assert live.refresh() is None


def test_a_file_replaced_by_rename_is_seen_whatever_its_time_stamp(file):
    import os

    live = LivePolicy(file)
    stamp = file.stat()
    other = file.with_suffix(".new")
    other.write_text(file.read_text().replace('"catboost": true', '"catboost": false'))
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other.replace(file)
    assert live.refresh().changed == ("training.families.catboost: True -> False",)


@pytest.mark.parametrize("damage", ["half", "gone", "schema"])
def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_once(file, damage):
    file.write_text(file.read_text().replace('"halt": false', '"halt": true'))
    live = LivePolicy(file)
    if damage == "gone":
        file.unlink()
    else:
        text = file.read_text()
        file.write_text(text[:80] if damage == "half" else json.dumps({"halt": 7}))
    change = live.refresh()
    assert change.problem
    assert change.policy.halt
    assert live.refresh() is None


def test_the_last_good_policy_stands_in_where_the_first_reading_fails(file):
    good = load_policy(SHIPPED).model_copy(update={"halt": True})
    file.write_text("{")
    with pytest.raises(PolicyError):
        LivePolicy(file)
    live = LivePolicy(file, good)
    assert live.current == good
    assert "not valid JSON" in live.refresh().problem
    file.write_text(SHIPPED.read_text())
    assert live.refresh().changed == ("halt: True -> False",)


def test_a_steps_own_limit_comes_before_the_manifests_and_the_default():
    policy = Policy()
    assert policy.timeout_s(5, manifest_minutes=1) == 360 * 60
    assert policy.timeout_s(4, manifest_minutes=1) == 60
    assert policy.timeout_s(4) == 120 * 60


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"finding": "timeout", "parameter": "trials"}, "exactly one of"),
        ({"finding": "timeout", "parameter": "trials", "add": 1, "set": 2}, "exactly one of"),
        ({"finding": "timeout", "parameter": "trials", "multiply": 0}, "multiply"),
        ({"finding": "Time Out", "parameter": "trials", "add": 1}, "finding"),
    ],
)
def test_a_remedy_is_one_change_of_one_parameter(rule, told):
    text = json.dumps({"retries": {"remedies": [rule]}})
    with pytest.raises(PolicyError, match=told):
        parse_policy(text, "watcher_policies.json")


def test_a_policy_survives_the_way_to_a_step_and_back():
    rules = [{"finding": "timeout", "parameter": "trials", "set": None}]
    policy = Policy.model_validate({"retries": {"remedies": rules}})
    for each in (Policy(), policy):
        assert Policy.model_validate(each.model_dump(mode="json", by_alias=True)) == each


@pytest.mark.parametrize("root", ["data", "/data/../etc", ""])
def test_a_root_that_may_be_read_is_an_absolute_folder(root):
    with pytest.raises(PolicyError, match="allowed_roots"):
        parse_policy(json.dumps({"paths": {"allowed_roots": [root]}}), "watcher_policies.json")


def test_addresses_are_never_repeated_in_what_is_said_of_a_change(file):
    live = LivePolicy(file)
    document = json.loads(file.read_text())
    document["notify"]["critical"] = ["mailto://me:secret@example.org"]
    file.write_text(json.dumps(document))
    assert live.refresh().changed == ("notify.critical: 0 -> 1 addresses",)
