"""Whatever stands in a manifest or a policy: a valid value, or one error that names the file.

Random JSON, the shipped files with parts of them changed, text that is no JSON, deep, huge.
"""

import copy
import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.errors import ManifestError
from agents.manifests import Manifest, load_manifest
from steps.policies import Policy, PolicyError, load_policy

ROOT = Path(__file__).parents[2]
POLICY = json.loads((ROOT / "watcher_policies.json").read_text())
MANIFESTS = [
    json.loads(path.read_text()) for path in sorted((ROOT / "agent_manifests").glob("*.json"))
]
FUZZ = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 10**400, 1e308, -0.0, 0.5])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["", "\x00", "../x", "/etc/passwd", "~root", "a\\b", "*" * 5000, "steps.x", "os.system"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value, path=()):
    """Every place inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


@st.composite
def mutations(draw, documents):
    """A shipped file in which some places hold something else, are gone, or have moved."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        all_places = list(places(document))
        if not all_places:
            break
        *path, key = draw(st.sampled_from(all_places))
        holder = document
        for part in path:
            holder = holder[part]
        match draw(st.sampled_from(["change", "drop", "add", "rename"])):
            case "change":
                holder[key] = draw(VALUES)
            case "drop":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=8))] = draw(VALUES)
            case _ if isinstance(holder, dict):
                holder[draw(st.text(max_size=8))] = holder.pop(key)
            case _:
                holder.append(draw(VALUES))
    return document


def read(load, wanted, error, path):
    """Read as the watcher does; returns the value or None. Any other exception fails the test."""
    said = None
    try:
        value = load(path)
    except error as fault:
        said = str(fault)
    if said is None:
        assert isinstance(value, wanted)
        return value
    assert said.startswith(f"{path}: ")
    assert 5 < len(said) - len(str(path)) < 3000  # it says what is wrong, and not the whole file
    return None


@pytest.fixture
def manifest(tmp_path):
    def run(content):
        path = tmp_path / "fuzzed.json"
        path.write_bytes(content)
        return read(load_manifest, Manifest, ManifestError, path)

    return run


@pytest.fixture
def policy(tmp_path):
    def run(content):
        path = tmp_path / "watcher_policies.json"
        path.write_bytes(content)
        return read(load_policy, Policy, PolicyError, path)

    return run


@FUZZ
@given(document=VALUES | st.dictionaries(st.sampled_from([*MANIFESTS[0]]), VALUES))
def test_random_json_is_no_manifest(manifest, document):
    assert manifest(json.dumps(document).encode()) is None


@FUZZ
@given(document=VALUES | st.dictionaries(st.sampled_from([*POLICY]), VALUES))
def test_random_json_is_a_policy_or_an_error(policy, document):
    policy(json.dumps(document).encode())


@FUZZ
@given(document=mutations(MANIFESTS))
def test_shipped_manifest_with_changes_is_valid_or_an_error(manifest, document):
    found = manifest(json.dumps(document).encode())
    if found is not None:  # what was taken is inside the rules that keep people safe
        assert found.module.startswith("steps.")
        assert not any(path.startswith("/") or ".." in path.split("/") for path in found.outputs)


@FUZZ
@given(document=mutations([POLICY]))
def test_shipped_policy_with_changes_is_valid_or_an_error(policy, document):
    policy(json.dumps(document).encode())


@FUZZ
@given(content=st.binary(max_size=60) | st.text('{}[]",:\\0eE+-. \n', max_size=60).map(str.encode))
def test_bytes_that_are_no_json_are_an_error(manifest, policy, content):
    assert manifest(content) is None
    policy(content)


@FUZZ
@given(which=st.integers(0, len(MANIFESTS)), share=st.floats(0, 1, exclude_max=True))
def test_file_that_was_saved_half_is_an_error(manifest, policy, which, share):
    if which == len(MANIFESTS):
        text = json.dumps(POLICY)
        assert policy(text[: int(share * len(text))].encode()) is None
    else:
        text = json.dumps(MANIFESTS[which])
        assert manifest(text[: int(share * len(text))].encode()) is None


DEEP = 500_000
HUGE = {
    "lists in lists": b"[" * DEEP,
    "closed lists in lists": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * (DEEP // 3) + b"1" + b"}" * (DEEP // 3),
    "deep in a key": b'{"halt": ' + b"[" * 20 + b"]" * 20 + b"}",
    "deep in parameters": b'{"default_params": {"a": ' + b"[" * 20 + b"]" * 20 + b"}}",
    "over a megabyte": b'{"halt_reason": "' + b"x" * (1 << 20) + b'"}',
    "a gigabyte that is not there": None,
    "a number of many digits": b'{"step": ' + b"9" * 10_000 + b"}",
    "a key of a megabyte": b'{"' + b"k" * 1_000_000 + b'": 1}',
    "many keys": json.dumps({f"k{i}": i for i in range(50_000)}).encode(),
    "many addresses": b'{"notify": {"info": [' + b'"json://a:b@h",' * 60_000 + b"5]}}",
    "one address for ever": b'{"halt": "' + b"x://a:b@" * 120_000 + b'"}',
    "a key twice": b'{"step": 5, "step": 6}',
    "not a number": b'{"step": NaN}',
    "a byte order mark": b"\xef\xbb\xbf[]",
    "utf-16": '{"step": 5}'.encode("utf-16"),
    "a lone surrogate": b'{"halt_reason": ["\\ud800"]}',
}


@pytest.mark.parametrize("what", HUGE)
def test_deep_and_huge_files_are_an_error_in_a_moment(manifest, policy, tmp_path, what):
    begun = time.process_time()
    if HUGE[what] is None:
        for load, error in ((load_manifest, ManifestError), (load_policy, PolicyError)):
            path = tmp_path / "sparse.json"
            with path.open("wb") as file:
                file.truncate(1 << 30)
            assert read(load, object, error, path) is None
    else:
        assert manifest(HUGE[what]) is None
        assert policy(HUGE[what]) is None
    assert time.process_time() - begun < 3
