"""--simulate: the generators' own program is started, and its answer passed on."""

import json

import pytest

from steps.contract import ExitCode

JAVA = json.dumps({"generator": "java", "count": 20})


def test_simulate_writes_a_history_and_its_truth_where_the_shell_is(watcher, folder):
    answer = watcher("--simulate", "h.csv", "--params", JAVA)
    assert answer.code == ExitCode.DONE, answer.err
    path = folder.root / "h.csv"
    assert len(path.read_text().splitlines()) == 21
    truth = json.loads((folder.root / "h.csv.truth.json").read_text())
    assert len(truth["next_draws"]) == 10
    assert "A draw history: 20 draws of 0 to 999 from java (next_int)." in answer.out
    assert f"{path} (20 rows)" in answer.out
    assert f"{path}.truth.json" in answer.out
    assert str(truth["seeds"][0][0]) not in answer.out + answer.err


def test_simulate_answers_programs_and_replaces_by_force(watcher, folder):
    (folder.root / "h.json").write_text("mine")
    (folder.root / "what.yaml").write_text("generator: java\ncount: 30\nstart: 2020-02-29\n")
    arguments = ("--simulate", "h.json", "--params-file", "what.yaml", "--params", '{"count": 5}')
    refused = watcher(*arguments, "--json")
    assert refused.code == ExitCode.USAGE
    assert refused.document["status"] == "error"
    assert "exists and is no simulated history" in refused.document["message"]
    assert (folder.root / "h.json").read_text() == "mine"
    made = watcher(*arguments, "--json", "--force")
    assert made.code == ExitCode.DONE
    assert made.document["file"] == str(folder.root / "h.json")
    assert made.document["rows"] == 5
    assert json.loads((folder.root / "h.json").read_text())[0]["date"] == "2020-02-29"


def test_simulate_refuses_a_generator_that_there_is_not(watcher):
    answer = watcher("--simulate", "h.json", "--params", '{"generator": "jaav", "count": 5}')
    assert answer.code == ExitCode.USAGE
    assert "did you mean 'java'?" in answer.err


def test_simulate_passes_on_that_the_disk_failed(watcher, folder):
    (folder.root / "file").write_text("")
    answer = watcher("--simulate", "file/h.json", "--params", JAVA)
    assert answer.code == ExitCode.STEP_FAILED
    assert "cannot be written" in answer.err


def test_simulate_tells_of_a_program_that_broke_off(watcher, monkeypatch):
    monkeypatch.setattr("agents.commands.simulate._MODULE", "steps.prng.no_such_module")
    answer = watcher("--simulate", "h.json", "--params", JAVA)
    assert answer.code == ExitCode.STEP_FAILED
    assert "broke off with exit code 1" in answer.err
    assert "no_such_module" in answer.err


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("--simulate", "h.json"), "--simulate needs --params or --params-file, for example"),
        (("--simulate", "h.json", "--params", "{"), "--params: not valid JSON"),
        (("--simulate", "h.json", "--start-step", "0"), "--start-step goes with --run-pipeline"),
        (("--status", "--params", "{}"), "--params goes with --run-pipeline or --simulate"),
        (("--status", "--force"), "--force goes with --run-pipeline or --simulate"),
    ],
)
def test_simulate_without_what_it_needs_is_a_usage_error(watcher, folder, arguments, wanted):
    answer = watcher(*arguments)
    assert answer.code == ExitCode.USAGE
    assert wanted in " ".join(answer.err.split())
    assert not (folder.root / "h.json").exists()
