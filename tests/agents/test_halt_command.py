"""--halt: who works here is said, so that a halt in the wrong folder is seen at once."""

import os

from steps.contract import ExitCode


def test_halt_where_nobody_works_says_so_and_names_the_folder(watcher, folder):
    answer = watcher("--halt", "why")
    assert answer.code == ExitCode.DONE
    said = " ".join(answer.out.split())
    assert f"No watcher works in {folder.root}; nothing will start here until --clear-halt" in said
    assert "stops at its next safe point" not in said
    assert "--resume" not in said
    document = watcher("--halt", "why", "--json").document
    assert document["watcher"] is None
    assert document["workspace"] == str(folder.root)


def test_halt_names_the_watcher_that_it_stops(watcher, folder, spawn):
    process = spawn("--run-pipeline", "--params", '{"act": "polite"}')
    folder.pid()
    answer = watcher("--halt", "why")
    said = " ".join(answer.out.split())
    assert f"A watcher works in {folder.root}: pid {process.pid} on " in said
    assert "(step 5)" in said
    assert "it stops at its next safe point" in said
    assert process.wait(30) == ExitCode.HALTED


def test_halt_after_a_watcher_that_died_does_not_say_that_it_works(watcher, folder, spawn):
    process = spawn("--run-pipeline", "--params", '{"act": "silent"}')
    folder.pid()
    process.kill()
    process.wait()
    assert (folder.root / ".watcher" / "watcher.json").exists()
    assert os.path.lexists(folder.root / ".watcher" / "watcher.lock")
    assert "No watcher works in" in watcher("--halt", "why").out
