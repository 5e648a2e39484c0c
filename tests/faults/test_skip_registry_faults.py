"""Damage the skip registry: it is kept beside, it is said, other families keep their entries."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import time
from datetime import UTC, datetime

import pytest

from steps.contract import FamilyResult
from steps.policies import SkipPolicy
from steps.step5_training.skip_registry import consult, count_run, look, registry_file

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = SkipPolicy()
FAMILIES = ("neural_net", "xgboost", "lightgbm", "catboost")
FAILED = FamilyResult(status="failed", severity="critical", error="every trial failed")
RUNS = ("r1", "r2", "r3")


@pytest.fixture
def file(tmp_path):
    """A registry in which every family is left out."""
    path = registry_file(tmp_path)
    for run in RUNS:
        count_run(path, run, dict.fromkeys(FAMILIES, FAILED), POLICY, NOW)
    return path


def asides(file):
    return sorted(file.parent.glob(f"{file.name}.damaged-*"))


def edited(file, change):
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


BAD_ENTRIES = {
    "text": "garbage",
    "list": [1, 2],
    "null": None,
    "empty": {},
    "negative": {"consecutive_critical": -1, "last_critical": None, "last_run_id": "r"},
    "count without a result": {
        "consecutive_critical": 3,
        "last_critical": None,
        "last_run_id": "r3",
        "before": {},
    },
    "time without a zone": {
        "consecutive_critical": 1,
        "last_critical": {"run_id": "r", "at": "2026-03-01T12:00:00", "finding": "x"},
        "last_run_id": "r",
        "before": {},
    },
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_a_damaged_entry_is_set_aside_and_other_families_keep_theirs(file, name):
    edited(file, lambda d: d["families"].update(neural_net=BAD_ENTRIES[name]))
    damaged = file.read_bytes()
    consulted = consult(file, POLICY, "next", NOW)
    assert set(consulted.skips) == {"xgboost", "lightgbm", "catboost"}
    (aside,) = asides(file)
    assert aside.read_bytes() == damaged
    (note,) = consulted.notes
    assert note.level == "warning"
    assert "entry of 'neural_net' cannot be read" in note.message
    assert aside.name in note.message
    assert consult(file, POLICY, "next", NOW).notes == ()  # it is set right


def garbage(content, seed):
    """`content` with a run of random bytes somewhere in it."""
    rng = random.Random(seed)
    at = rng.randrange(len(content))
    noise = bytes(rng.randrange(128, 256) for _ in range(rng.randint(1, 40)))
    return content[:at] + noise + content[at + len(noise) :]


@pytest.mark.parametrize("seed", range(40))
def test_garbage_bytes_cost_at_most_the_families_that_they_touch(file, seed):
    content = file.read_bytes()
    damaged = garbage(content, seed)
    file.write_bytes(damaged)
    whole = {name for name in FAMILIES if entry_text(content, name) in damaged}
    assert len(whole) >= 2
    consulted = consult(file, POLICY, "next", NOW)
    assert set(consulted.skips) == whole
    assert consulted.notes[0].level == "warning"
    (aside,) = asides(file)
    assert aside.read_bytes() == damaged
    assert set(look(file, POLICY, NOW).entries) == whole


def entry_text(content, name):
    """The bytes of an entry, its name included."""
    start = content.index(b'"%s"' % name.encode())
    depth = 0
    for end in range(start, len(content)):
        depth += {ord("{"): 1, ord("}"): -1}.get(content[end], 0)
        if depth == 0 and content[end] == ord("}"):
            return content[start : end + 1]
    raise AssertionError(name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 500,
        b"\xff\xfe{}",
        b"[]",
        b"{",
        b'{"schema_version": 2, "families": {}}',
        b'{"schema_version": 1, "families": {}, "more": 1}',
        b'{"schema_version": 1, "families": []}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"schema_version": 1, "families": {"' + b"x" * (2 << 20) + b'": {}}}',
        b'{"schema_version": 1, "families": {"\\ud800": {}, "a b": {}}}',
    ],
    ids=lambda content: repr(content[:24]),
)
def test_a_file_with_nothing_in_it_to_keep_leaves_nobody_out_and_is_said(file, content):
    file.write_bytes(content)
    consulted = consult(file, POLICY, "next", NOW)
    assert consulted.skips == {}
    assert consulted.notes
    (aside,) = asides(file)
    assert aside.stat().st_size == len(content)
    assert look(file, POLICY, NOW).faults == ()


def test_a_file_that_goes_deep_at_hundreds_of_places_holds_no_run_up(file):
    """None of them is followed down to the long list below them all."""
    file.write_bytes(file.read_bytes() + b'{"a":' * 500 + b"[" + b"1," * 400_000)
    began_s = time.process_time()
    consulted = consult(file, POLICY, "next", NOW)
    assert time.process_time() - began_s < 2
    assert set(consulted.skips) == set(FAMILIES)


def test_of_two_entries_for_one_family_neither_is_believed(file):
    file.write_text(file.read_text().replace('"lightgbm"', '"xgboost"', 1))
    consulted = consult(file, POLICY, "next", NOW)
    assert set(consulted.skips) == {"neural_net", "catboost"}
    assert "'xgboost' is given twice" in consulted.notes[0].message


def test_damage_done_while_a_run_trains_is_set_right_at_its_end(file):
    edited(file, lambda d: d["families"].update(xgboost="garbage"))
    notes = count_run(file, "r4", {"neural_net": FamilyResult(status="complete")}, POLICY, NOW)
    assert any("'xgboost' cannot be read" in note.message for note in notes)
    assert set(look(file, POLICY, NOW).skips) == {"lightgbm", "catboost"}
    assert len(asides(file)) == 1


def test_a_registry_that_cannot_be_opened_is_a_note_and_is_left_as_it_is(file):
    file.unlink()
    file.mkdir()
    consulted = consult(file, POLICY, "next", NOW)
    assert consulted.skips == {}
    assert os.strerror(errno.EISDIR) in consulted.notes[0].message
    (note,) = count_run(file, "next", {"xgboost": FAILED}, POLICY, NOW)
    assert "this run is not counted" in note.message
    assert file.is_dir()


def test_a_full_disk_costs_the_count_of_this_run_and_nothing_else(file):
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # Python ignores SIGXFSZ
    try:
        (note,) = count_run(file, "r4", {"xgboost": FAILED}, POLICY, NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "this run is not counted" in note.message
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]
