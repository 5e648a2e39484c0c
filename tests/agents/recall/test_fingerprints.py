"""Hash once, and never believe a time stamp."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from agents.errors import WorkspaceError
from agents.recall.fingerprints import REST_NS, Fingerprints, Sizes

BLOCK = 1024
SIZES = Sizes(block=BLOCK, keep_from=1, rest_from=1 << 40)


def long_after(_device: int) -> int:
    return 1 << 62


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "state" / "fingerprints.json"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"a" * 10 * BLOCK)
    return path


@pytest.fixture
def notes():
    return []


@pytest.fixture
def prints(cache, notes):
    """Make one whose clock says that every file has been at rest for long, or another."""

    def make(clock=long_after, sizes=SIZES, sleep=None, **how):
        def never(_seconds):
            raise AssertionError("must not wait")

        return Fingerprints(
            cache, clock, note=notes.append, sizes=sizes, sleep=sleep or never, **how
        )

    return make


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_large_file_is_read_once_and_known_afterwards(prints, table):
    first = prints()
    assert first.sha256(table) == sha256(table)
    assert first.sha256(table) == sha256(table)
    assert first.bytes_read == 10 * BLOCK
    another_process = prints()
    assert another_process.sha256(table) == sha256(table)
    assert another_process.bytes_read == 0


def test_a_file_is_known_by_every_name_that_leads_to_it(prints, table, tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(table)
    hashes = prints()
    assert hashes.sha256(link) == hashes.sha256(table)
    assert hashes.bytes_read == 10 * BLOCK


def test_a_link_that_is_turned_to_another_file_is_followed(prints, table, tmp_path):
    other = tmp_path / "other.csv"
    other.write_bytes(b"b" * 10 * BLOCK)
    link = tmp_path / "link.csv"
    link.symlink_to(table)
    hashes = prints()
    assert hashes.sha256(link) == sha256(table)
    link.unlink()
    link.symlink_to(other)
    assert hashes.sha256(link) == sha256(other)


def test_small_files_are_hashed_each_time_and_not_kept(prints, table, cache):
    hashes = prints(sizes=Sizes(block=BLOCK))
    hashes.sha256(table)
    hashes.sha256(table)
    assert hashes.bytes_read == 20 * BLOCK
    assert not cache.exists()


def test_a_forged_time_stamp_does_not_hide_other_content(prints, table):
    hashes = prints()
    hashes.sha256(table)
    before = table.stat()
    table.write_bytes(b"b" * 10 * BLOCK)
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert table.stat().st_mtime_ns == before.st_mtime_ns
    assert hashes.sha256(table) == sha256(table)


def test_a_file_put_in_place_by_rename_is_hashed_again(prints, table, tmp_path):
    hashes = prints()
    hashes.sha256(table)
    before = table.stat()
    other = tmp_path / "other.csv"
    other.write_bytes(b"b" * 10 * BLOCK)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(table)
    assert hashes.sha256(table) == sha256(table)


@pytest.mark.parametrize("field", ["device", "inode", "size", "mtime_ns", "ctime_ns"])
def test_a_kept_hash_counts_only_if_all_five_are_the_same(prints, table, cache, field):
    prints().sha256(table)
    document = json.loads(cache.read_text())
    (entry,) = document["entries"].values()
    place = ["device", "inode", "size", "mtime_ns", "ctime_ns"].index(field)
    entry["looked"][place] += 1
    entry["sha256"] = "0" * 64
    cache.write_text(json.dumps(document))
    assert prints().sha256(table) == sha256(table)


def test_a_file_changed_a_moment_ago_is_hashed_again_next_time(prints, table, cache):
    changed_at = table.stat().st_ctime_ns
    hashes = prints(lambda _device: changed_at + REST_NS)
    hashes.sha256(table)
    assert not cache.exists()
    hashes.sha256(table)
    assert hashes.bytes_read == 20 * BLOCK
    at_rest = prints(lambda _device: changed_at + REST_NS + 1)
    at_rest.sha256(table)
    at_rest.sha256(table)
    assert at_rest.bytes_read == 10 * BLOCK


def test_writes_within_one_tick_of_the_clock_are_seen(cache, table, notes):
    hashes = Fingerprints(cache, note=notes.append, sizes=SIZES)
    cache.parent.mkdir()
    for turn in range(200):
        content = bytes([turn % 256]) * BLOCK
        table.write_bytes(content)
        os.utime(table, ns=(0, 0))
        assert hashes.sha256(table) == hashlib.sha256(content).hexdigest()


def test_a_file_from_the_future_is_never_taken_to_be_at_rest(prints, table, cache):
    hashes = prints(lambda _device: table.stat().st_ctime_ns - 10 * REST_NS)
    hashes.sha256(table)
    assert not cache.exists()


def test_where_the_clock_cannot_be_asked_a_very_large_file_is_waited_for(prints, table):
    waited = []
    sizes = Sizes(block=BLOCK, keep_from=1, rest_from=10 * BLOCK)
    hashes = prints(lambda _device: None, sizes, waited.append)
    hashes.sha256(table)
    hashes.sha256(table)
    assert hashes.bytes_read == 10 * BLOCK
    assert len(waited) == 1
    assert waited[0] > REST_NS / 1e9


def test_a_file_that_changes_while_it_is_waited_for_is_not_kept_as_it_was(prints, table):
    sizes = Sizes(block=BLOCK, keep_from=1, rest_from=10 * BLOCK)
    changes = [b"b" * 10 * BLOCK]

    def sleep(_seconds):
        if changes:
            table.write_bytes(changes.pop())

    hashes = prints(lambda _device: None, sizes, sleep)
    assert hashes.sha256(table) == sha256(table)
    assert hashes.bytes_read <= 11 * BLOCK


def test_the_default_clock_is_that_of_the_workspace(cache, table, notes, monkeypatch):
    hashes = Fingerprints(cache, note=notes.append, sizes=SIZES)
    cache.parent.mkdir()
    hashes.sha256(table)  # made a moment ago
    assert not cache.exists()
    assert list(cache.parent.iterdir()) == []
    # Asked whether it was changed less than ten seconds from now, that clock says yes.
    monkeypatch.setattr("agents.recall.fingerprints.REST_NS", -10_000_000_000)
    hashes.sha256(table)
    assert list(cache.parent.iterdir()) == [cache]


def test_a_file_that_changes_while_it_is_read_is_read_again(prints, table):
    changes = [b"c" * 10 * BLOCK]

    def progress(_done, _total):
        if changes:
            table.write_bytes(changes.pop())

    slept = []
    hashes = prints(sleep=slept.append)
    assert hashes.sha256(table, progress) == hashlib.sha256(b"c" * 10 * BLOCK).hexdigest()
    assert len(slept) == 1
    assert hashes.sha256(table) == sha256(table)


def test_a_file_replaced_by_rename_while_it_is_read_is_read_again(prints, table, tmp_path):
    other = tmp_path / "other.csv"
    other.write_bytes(b"b" * 10 * BLOCK)

    def progress(done, total):
        if done == total and other.exists():
            other.rename(table)

    assert prints(sleep=lambda _s: None).sha256(table, progress) == sha256(table)


def test_a_file_that_never_stands_still_is_refused_by_name(prints, table, cache):
    def progress(done, _total):
        with table.open("ab") as file:
            file.write(b"more")

    hashes = prints(sleep=lambda _s: None)
    with pytest.raises(WorkspaceError, match=r"table\.csv: must not change while it is read.*3"):
        hashes.sha256(table, progress)
    assert hashes.bytes_read < 10 * BLOCK, "it stops at the first change that it sees"
    assert not cache.exists()


def test_progress_is_told_in_bytes(prints, table):
    told = []
    prints().sha256(table, lambda done, total: told.append((done, total)))
    assert told[0] == (BLOCK, 10 * BLOCK)
    assert told[-1] == (10 * BLOCK, 10 * BLOCK)


def test_progress_may_end_the_hashing_and_nothing_is_kept(prints, table, cache):
    def progress(_done, _total):
        raise KeyboardInterrupt

    hashes = prints()
    with pytest.raises(KeyboardInterrupt):
        hashes.sha256(table, progress)
    assert hashes.bytes_read == BLOCK
    assert not cache.exists()


def test_a_file_that_is_not_there_has_no_hash(prints, tmp_path, table):
    assert prints().sha256(tmp_path / "none") is None
    assert prints().sha256(table / "none") is None


def test_a_file_that_vanished_is_not_answered_from_memory(prints, table):
    hashes = prints()
    hashes.sha256(table)
    table.unlink()
    assert hashes.sha256(table) is None


def test_an_empty_file_has_a_hash(prints, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    assert prints().sha256(empty) == hashlib.sha256().hexdigest()


def test_folders_and_pipes_are_refused_without_reading(prints, tmp_path):
    with pytest.raises(WorkspaceError, match="must be a file, got a folder"):
        prints().sha256(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WorkspaceError, match="must be a file, got something else"):
        prints().sha256(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(WorkspaceError, match="circle: cannot be read"):
        prints().sha256(tmp_path / "circle")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80garbage", b'{"schema_version": 1, "entries": [', b'{"entries": {"/x": 3}}'],
)
def test_a_damaged_cache_is_set_aside_with_a_note_and_made_anew(
    prints, table, cache, notes, content
):
    cache.parent.mkdir()
    cache.write_bytes(content)
    assert prints().sha256(table) == sha256(table)
    assert len(notes) == 1
    assert "fingerprints.json: set aside" in notes[0]
    again = prints()
    again.sha256(table)
    assert again.bytes_read == 0


def test_a_cache_that_cannot_be_written_is_a_note_and_no_fault(prints, table, cache, notes):
    cache.parent.write_text("a file where the folder should be")
    assert prints().sha256(table) == sha256(table)
    assert any("hashes are not kept" in note for note in notes)


def test_the_cache_stays_small_and_drops_what_was_used_least(
    prints, table, tmp_path, cache, monkeypatch
):
    monkeypatch.setattr("agents.recall.fingerprints.MAX_ENTRIES", 3)
    files = [tmp_path / f"{number}.csv" for number in range(5)]
    for file in files:
        file.write_text("x")
    hashes = prints()
    hashes.sha256(table)
    for file in files:
        hashes.sha256(file)
        hashes.sha256(table)  # used each time
    kept = [Path(name).name for name in json.loads(cache.read_text())["entries"]]
    assert len(kept) == 3
    assert {"table.csv", "4.csv"} <= set(kept)


def test_a_name_that_is_not_utf_8_is_kept_too(prints, tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv"))
    path.write_text("x")
    prints().sha256(path)
    again = prints()
    assert again.sha256(path) == sha256(path)
    assert again.bytes_read == 0


def test_looking_only_leaves_the_disk_as_it_is_and_uses_what_is_known(prints, table, cache):
    prints(keep=False).sha256(table)
    assert not cache.parent.exists()
    prints().sha256(table)
    looking = prints(keep=False)
    looking.sha256(table)
    assert looking.bytes_read == 0
