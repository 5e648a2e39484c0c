"""The door: one JSON document whatever happens, and no wait for what is no file."""

import json
import os
import sqlite3

import pytest

from agents.cli import main
from agents.commands import looking
from agents.errors import LedgerError
from agents.ledger import Ledger
from agents.ledger.file import faults
from steps.contract import ExitCode


def test_fault_of_the_watcher_itself_is_one_document_and_goes_on(folder, monkeypatch, capfd):
    def broken(flags, packages):
        raise RuntimeError("no such luck at pg://joe:hunter22@h")

    monkeypatch.setattr("agents.cli._COMMANDS", {"status": broken})
    with pytest.raises(RuntimeError):
        main(["--status", "--json"])
    out = capfd.readouterr().out
    document = json.loads(out)
    assert document["status"] == "error"
    assert document["exit_code"] == 1
    assert "RuntimeError: no such luck" in document["message"]
    assert "hunter22" not in out


def test_document_that_cannot_be_made_is_an_error_document_alone(folder, monkeypatch, capfd):
    circle = {}
    circle["self"] = circle

    def broken(flags, packages):
        return looking.Answer(ExitCode.DONE, circle, lambda console: None)

    monkeypatch.setattr("agents.cli._COMMANDS", {"status": broken})
    with pytest.raises(ValueError, match="Circular"):
        main(["--status", "--json"])
    assert json.loads(capfd.readouterr().out)["status"] == "error"


def test_without_json_a_fault_writes_nothing_on_stdout(folder, monkeypatch, capfd):
    def broken(flags, packages):
        raise RuntimeError("no such luck")

    monkeypatch.setattr("agents.cli._COMMANDS", {"status": broken})
    with pytest.raises(RuntimeError):
        main(["--status"])
    assert capfd.readouterr().out == ""


@pytest.fixture(params=["no bytes", "a header and no tables"])
def empty_ledger(folder, request):
    """The ledger as another process sees it while the first run of all begins."""
    path = folder.root / ".watcher" / "ledger.sqlite"
    path.parent.mkdir()
    path.touch()
    if request.param != "no bytes":
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = WAL")
        db.close()
        assert path.stat().st_size
    return path


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("--status",), ExitCode.DONE, "Nothing has run here yet"),
        (("--history",), ExitCode.DONE, "Nothing has run here yet"),
        (("--explain", "last"), ExitCode.USAGE, "run"),
        (("--run-pipeline", "--resume"), ExitCode.USAGE, "--resume"),
        (("--approve", "last"), ExitCode.USAGE, "--approve"),
        (("--run-pipeline", "--dry-run"), ExitCode.DONE, "nothing was started"),
        (("--run-pipeline",), ExitCode.DONE, "complete"),
    ],
)
def test_empty_ledger_means_that_nothing_has_run(watcher, empty_ledger, command, code, said):
    answer = watcher(*command)
    assert answer.code == code, answer
    assert said in answer.out + answer.err
    assert "move it away" not in answer.out + answer.err


def test_empty_file_answers_every_question_of_a_reader(empty_ledger):
    with Ledger.read(empty_ledger, lambda: None) as ledger:
        assert ledger.last_run() is None
        assert ledger.runs(5) == ledger.run_ids_from("2", 5) == ledger.attempts("x") == []
        assert ledger.decisions("x") == ledger.events("x") == ledger.approvals("x") == []
        assert ledger.open_questions() == ledger.artifacts(1) == ledger.placements(1) == []
        assert ledger.resumable_run() is ledger.last_success(5) is ledger.maker("0", 1) is None
        assert ledger.parameters_of_last_attempt("x", 5) == ()
        assert not ledger.is_approved("x", 5, "y")


def test_tables_of_another_program_are_not_taken_for_an_empty_ledger(tmp_path):
    path = tmp_path / "ledger.sqlite"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (a)")
    db.close()
    with pytest.raises(LedgerError, match="another program's tables"):
        Ledger.read(path, lambda: None)


def test_record_that_does_not_fit_is_no_unreadable_ledger(tmp_path):
    db = sqlite3.connect(tmp_path / "ledger.sqlite")
    db.execute("CREATE TABLE t (a UNIQUE)")
    db.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(LedgerError, match="UNIQUE") as caught, faults(tmp_path / "l", 1.0):
        db.execute("INSERT INTO t VALUES (1)")
    assert "move it away" not in str(caught.value)
    db.close()


def test_pipe_that_nobody_writes_into_is_not_evaluated(watcher, folder):
    os.mkfifo(folder.root / "pipe")
    answer = watcher("--evaluate", str(folder.root / "pipe"))
    assert answer.code == ExitCode.USAGE
    assert "pipe: must be a regular file" in answer.err


def test_device_is_not_evaluated(watcher):
    answer = watcher("--evaluate", "/dev/zero")
    assert answer.code == ExitCode.USAGE
    assert "/dev/zero: must be a regular file" in answer.err


def test_huge_file_is_refused_before_it_is_parsed(watcher, folder):
    with (folder.root / "huge.json").open("wb") as file:
        file.truncate(3 << 40)
    answer = watcher("--evaluate", str(folder.root / "huge.json"))
    assert answer.code == ExitCode.USAGE
    assert "must be at most 100000000 bytes, got 3298534883328" in answer.err
