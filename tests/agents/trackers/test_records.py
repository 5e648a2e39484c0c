"""What trackers are given: records of diagnostics in, calls out."""

from __future__ import annotations

import json

import pytest

from agents.secrets import secrets_in
from agents.trackers.event_files import write_event_files
from agents.trackers.mlflow_runs import (
    METRICS_A_REQUEST,
    PARAMS_A_REQUEST,
    _without_user,
    log_runs,
)
from agents.trackers.records import run_records

PASSWORD = "hunter2xyz"


@pytest.fixture
def records(diagnostics):
    found = diagnostics()
    return run_records(found, secrets_in(found.run.params))


def series_of(family):
    return {s.name: dict(zip(s.steps, s.values, strict=True)) for s in family.series}


def test_curves_folds_trials_and_network_are_series(records):
    network = records.families[0]
    series = series_of(network)
    assert series["train_mse/fold_1"] == {1: 2.0, 5: 1.0}
    assert series["validation_mse/fold_0"] == {1: 3.0, 5: 2.5}
    assert series["train_mse/final_fit"] == {1: 2.0, 5: 1.0}
    assert "validation_mse/final_fit" not in series
    assert series["folds/r2"] == {0: 0.8}
    assert series["trials/score"] == {0: 0.7, 2: 0.8}  # the failed one has none
    assert series["gradient_norm/hidden 1"] == {1: 0.5, 2: 0.25}
    assert series["dead_pct/hidden 1"] == {1: 0.0, 2: 50.0}
    assert "dead_pct/output" not in series


def test_scores_have_their_intervals(records):
    numbers = records.families[0].numbers
    assert (numbers["cv/r2"], numbers["cv/r2_low"], numbers["cv/r2_high"]) == (0.8, 0.75, 0.85)
    assert numbers["cv/rmse"] == 2.0
    assert "cv/rmse_low" not in numbers
    assert "holdout/r2" not in numbers
    assert numbers["health/overfit_ratio"] == 1.25
    assert records.numbers["cv/r2"] == 0.8  # of the winner


def test_family_that_failed_is_kept_and_one_that_was_skipped_is_not(records):
    assert [family.family for family in records.families] == ["neural_net", "xgboost"]
    assert records.families[1].tags["watcher.status"] == "failed"
    assert records.families[1].texts["error"] == "    out of\n    memory"


def test_nothing_holds_a_secret(records):
    said = json.dumps([records.params, records.headline, records.tags])
    said += json.dumps([[f.params, f.texts, f.tags] for f in records.families])
    assert PASSWORD not in said
    assert "tr0ub4dor" not in json.dumps(records.families[0].params)


class FakeEvents:
    def __init__(self, folder):
        self.folder, self.points, self.texts, self.closed = folder, [], {}, False
        folder.mkdir(parents=True)

    def number(self, name, step, value, wall_time):
        self.points.append((name, step, value, wall_time))

    def text(self, name, markdown, wall_time):
        self.texts[name] = markdown

    def close(self):
        self.closed = True
        (self.folder / "events").write_text("whole")


def test_event_files_are_written_a_folder_a_family_at_the_time_of_the_results(records, tmp_path):
    made = []
    write_event_files(records, tmp_path, lambda folder: made.append(FakeEvents(folder)) or made[-1])
    network = made[0]
    at = records.created_at.timestamp()
    assert ("train_mse/fold_0", 5, 1.0, at) in network.points
    assert ("cv/r2", 0, 0.8, at) in network.points
    assert "half of it is dead" in network.texts["findings"]
    assert all(each.closed for each in made)
    run = tmp_path / records.run_id
    assert sorted(path.name for path in run.iterdir()) == ["neural_net", "xgboost"]
    assert [path.name for path in tmp_path.iterdir()] == [records.run_id]


def test_copy_replaces_an_earlier_one_and_what_was_cut_off(records, tmp_path):
    (tmp_path / records.run_id / "old").mkdir(parents=True)
    (tmp_path / f".{records.run_id}.partial" / "half").mkdir(parents=True)
    write_event_files(records, tmp_path, FakeEvents)
    run = tmp_path / records.run_id
    assert sorted(path.name for path in run.iterdir()) == ["neural_net", "xgboost"]


def test_copy_that_fails_leaves_the_earlier_one(records, tmp_path):
    (tmp_path / records.run_id / "old").mkdir(parents=True)

    class Full(FakeEvents):
        def text(self, name, markdown, wall_time):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_event_files(records, tmp_path, Full)
    assert (tmp_path / records.run_id / "old").is_dir()


class FakeMlflow:
    def __init__(self):
        self.runs, self.calls, self.files, self.ended = {}, [], {}, {}

    def begin(self, name, tags, at, parent):
        self.runs[name] = {"tags": tags, "parent": parent, "points": {}, "params": {}}
        return name

    def log(self, run, points, params):
        assert len(points) <= METRICS_A_REQUEST
        assert len(params) <= PARAMS_A_REQUEST
        self.calls.append((run, len(points), len(params)))
        self.runs[run]["points"] |= {(p.name, p.step): p.value for p in points}
        self.runs[run]["params"] |= params

    def attach(self, run, text, file_name):
        self.files[run, file_name] = text

    def end(self, run, status, at):
        self.ended[run] = status


def test_mlflow_gets_a_run_a_family_under_one_parent(records):
    client = FakeMlflow()
    log_runs(records, '{"the": "document"}', client)
    parent = client.runs[records.run_id]
    assert parent["parent"] is None
    assert parent["tags"]["watcher.verdict"] == "strong"
    assert parent["tags"]["watcher.winner"] == "neural_net"
    assert parent["params"]["trials"] == "20"
    assert parent["points"]["cv/r2", 0] == 0.8
    network = client.runs["neural_net"]
    assert network["parent"] == records.run_id
    assert network["tags"]["watcher.is_winner"] == "true"
    assert network["params"]["hidden_layers"] == "[64, 32]"
    assert network["points"]["validation_mse/fold_0", 5] == 2.5
    assert client.files == {(records.run_id, "training_diagnostics.json"): '{"the": "document"}'}
    wanted = {"neural_net": "FINISHED", "xgboost": "FAILED", records.run_id: "FINISHED"}
    assert client.ended == wanted


def test_many_numbers_go_in_batches_that_a_server_takes(diagnostics):
    found = diagnostics()
    network = found.families["neural_net"]
    many = {f"m{number}": float(number) for number in range(2 * METRICS_A_REQUEST)}
    params = {f"p{number}": "x" * 600 for number in range(250)}
    network = network.model_copy(update={"metrics": many, "params": params})
    records = run_records(found.model_copy(update={"families": {"neural_net": network}}))
    client = FakeMlflow()
    log_runs(records, "", client)
    run = client.runs["neural_net"]
    assert {name for name, _ in run["points"]} >= {f"health/m{n}" for n in range(2000)}
    assert len(run["params"]) == 250
    assert max(map(len, run["params"].values())) == 500


@pytest.mark.parametrize(
    ("uri", "bare", "user", "password"),
    [
        ("https://me:p%40ss@host:5000/x?y=1", "https://host:5000/x?y=1", "me", "p@ss"),
        ("http://TOKEN@host", "http://host", "TOKEN", ""),
        ("http://host:5000", "http://host:5000", None, ""),
        ("./mlruns", "./mlruns", None, ""),
        ("postgresql://me:pw@db/x", "postgresql://me:pw@db/x", None, ""),
    ],
)
def test_user_and_password_of_a_server_come_beside_its_address(uri, bare, user, password):
    assert _without_user(uri) == (bare, user, password)
