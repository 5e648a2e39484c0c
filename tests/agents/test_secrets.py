"""Secrets: what is masked, what is left as it is."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.parameters import Parameter, masked_parameters
from agents.secrets import has_secret, mask, mask_text, masked_names, secrets_in


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://ann:hunter2@db/studies", "postgresql://ann:***@db/studies"),
        ("mysql+pymysql://a:p@ss@db:3306/x", "mysql+pymysql://a:***@db:3306/x"),
        ("redis://:pw@cache", "redis://:***@cache"),
        ("http://x/y,pg://a:b@h and pg://c:d@h", "http://x/y,pg://a:***@h and pg://c:***@h"),
        ("pg://a:pa/ss\"wo'rd@db/x", "pg://a:***@db/x"),
        ("https://h/t.csv?token=abc&rows=5", "https://h/t.csv?token=***&rows=5"),
        ("https://h/?api_key=abc#top", "https://h/?api_key=***#top"),
        ("https://h/?a=1&X-Amz-Signature=f00", "https://h/?a=1&X-Amz-Signature=***"),
        ("host=db user=ann password=hunter2 port=1", "host=db user=ann password=*** port=1"),
        ("db_password='a b c' rest", "db_password=*** rest"),
        ('{"api_key": "a \\" b", "x": 1}', '{"api_key": ***, "x": 1}'),
        ("got {'db_password': 'hunter2'}", "got {'db_password': ***}"),
        ("/ws/pg:/joe:hunter2@h/db", "/ws/pg:/joe:***@h/db"),
    ],
)
def test_secret_inside_a_text_is_masked_and_the_rest_is_kept(text, masked):
    assert mask(text) == masked
    assert mask(masked) == masked
    assert has_secret(text)
    assert has_secret(masked)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org:8080/path?rows=5",
        "sqlite:////data/studies.db",
        "ann@example.org",
        "time 12:30, see https://example.org/a@b",
        "price=20",
        "key=value",
        "tokenizer=fast",
        '{"tokenizer": "fast", "max_tokens": "7"}',
    ],
)
def test_text_without_a_secret_stays_as_it_is(text):
    assert mask(text) == text
    assert not has_secret(text)


@pytest.mark.parametrize(
    "name",
    [
        *("password", "dbPassword", "DB_PASSWD", "passphrase", "token", "GITHUB_TOKEN", "apikey"),
        *("api_key", "apiKey", "aws-access-key-id", "client_secret", "credentials"),
    ],
)
def test_value_of_a_secret_name_is_masked_whole(name):
    assert mask("abc", name) == "***"
    assert mask({name: ["a", "b"]}) == {name: "***"}
    assert mask({name: 1234}) == {name: "***"}
    assert has_secret("abc", name)


@pytest.mark.parametrize("name", ["max_tokens", "monkey", "key", "secretary", "keyboard", "trials"])
def test_value_of_a_plain_name_is_kept(name):
    assert mask({name: "abc"}) == {name: "abc"}


@pytest.mark.parametrize("value", [None, True, False, ""])
def test_nothing_is_no_secret(value):
    assert mask(value, "password") == value
    assert not has_secret(value, "password")


def test_masking_reaches_into_nested_values():
    value = {"a": [{"url": "x://u:pw@h"}, 5], "b": {"token": "t"}, "c": 1.5}
    assert mask(value) == {"a": [{"url": "x://u:***@h"}, 5], "b": {"token": "***"}, "c": 1.5}


def test_named_values_keep_what_stands_beside_them():
    assert mask({"token": {"value": "t", "origin": "params"}}) == {
        "token": {"value": "***", "origin": "params"}
    }
    record = {"name": "token", "value": "t", "origin": "params"}
    assert mask([record]) == [{**record, "value": "***"}]


def test_masked_parameters_keep_name_and_origin():
    given = (Parameter("password", "x", "params-file"), Parameter("trials", 20, "manifest"))
    assert masked_parameters(given) == (
        Parameter("password", "***", "params-file"),
        Parameter("trials", 20, "manifest"),
    )


def test_secrets_of_parameters_are_found_for_masking_other_texts():
    values = {
        "token": {"value": "t0ken-1", "origin": "params"},
        "url": "pg://a:hunter2@h",
        "source": "https://h/?key=abcd",
        "api_key": 12345,
        "trials": 20,
        "password": "abc",
    }
    found = secrets_in(values)
    assert found == {"t0ken-1", "hunter2", "abcd", "12345"}
    assert mask_text("no hunter2, no t0ken-1; trials 20", found) == "no ***, no ***; trials 20"


def test_masked_values_hold_no_secrets_to_look_for():
    assert secrets_in({"token": "***", "url": "pg://a:***@h"}) == frozenset()


def test_names_of_masked_values_leave_out_one_that_really_is_the_mask():
    values = {"act": "***", "api_key": "hunter22", "said": "with hunter22", "url": "pg://a:b@h"}
    assert masked_names(values) == ["api_key", "said", "url"]


def test_secret_that_is_no_text_of_any_encoding_is_masked_too():
    assert mask_text("with \ud800abcd", {"\ud800abcd"}) == "with ***"


def test_secret_that_is_a_part_of_another_does_not_uncover_it():
    assert mask_text("hunter2-and-more", {"hunter2", "hunter2-and-more"}) == "***"


def test_secret_is_found_as_it_stands_in_a_url_and_in_json():
    assert mask_text("GET /?q=p%40ss%2Fword", {"p@ss/word"}) == "GET /?q=***"
    assert mask_text('{"x": "caf\\u00e9s"}', {"cafés"}) == '{"x": "***"}'


@pytest.mark.parametrize(
    "text", ["a" * 500_000, "://a:" * 100_000, "@a:" * 200_000, "x.token" * 70_000]
)
def test_long_text_is_masked_in_bounded_time(text):
    begun = time.process_time()
    assert mask(text) == text
    assert time.process_time() - begun < 5


SECRET = "Zq9\u00e9-@x/y'z"
PLAIN = st.none() | st.booleans() | st.integers() | st.text("abc :/.@=-", max_size=12)
HOLDERS = st.sampled_from(
    [
        {"password": SECRET},
        {"dbPassword": [1, SECRET]},
        {"api_key": {"value": SECRET, "origin": "params"}},
        {"name": "access_token", "value": SECRET, "origin": "params"},
        f"postgresql://ann:{SECRET}@db.example:5432/studies",
        f"see redis://:{SECRET}@cache and https://example.org/a?b=c",
        [f"smtp://u:{SECRET}@h"],
    ]
)
VALUES = st.recursive(
    PLAIN | HOLDERS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "url", "value", "trials"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(VALUES)
def test_no_nesting_uncovers_a_secret(value):
    masked = mask(value)
    assert SECRET not in json.dumps(masked, ensure_ascii=False)
    assert mask(masked) == masked
    found = secrets_in({"value": value})
    for ensure_ascii in (False, True):
        said = mask_text(f"it failed with {json.dumps(value, ensure_ascii=ensure_ascii)}", found)
        assert SECRET not in said
        assert json.dumps(SECRET)[1:-1] not in said
