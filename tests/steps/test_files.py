"""Files are replaced whole; what a killed writer has left is told from everything else."""

from contextlib import suppress

from steps.files import atomic_writer, drop_temporaries, write_text_atomic


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.json"
    write_text_atomic(path, "old")
    with suppress(OSError), atomic_writer(path) as file:
        file.write(b"half")
        raise OSError("the disk is full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_its_owners_alone(tmp_path):
    path = tmp_path / "request.json"
    write_text_atomic(path, "{}", private=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_writer_left_is_dropped_and_nothing_else(tmp_path):
    deep = tmp_path / "models" / "x"
    deep.mkdir(parents=True)
    with suppress(KeyboardInterrupt), atomic_writer(deep / "best.json") as file:
        (left,) = deep.iterdir()
        kept = left.rename(deep / "elsewhere")
        file.write(b"half")
        raise KeyboardInterrupt
    kept.rename(left)  # as SIGKILL would have left it
    others = [deep / ".hidden.tmp", deep / "notes.tmp", deep / ".best.json.12.tmp"]
    for path in others:
        path.touch()
    assert drop_temporaries(tmp_path) == [left]
    assert sorted(deep.iterdir()) == sorted(others)
    assert drop_temporaries(tmp_path / "not there") == []
