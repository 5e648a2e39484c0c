"""Copying costs the watcher a sentence at worst: missing, broken and hanging trackers, secrets."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import psutil
import pytest

from agents.trackers.copying import copy_results
from agents.workspace import Workspace
from steps.policies.model import TrackingPolicy

PASSWORD = "hunter2xyz"
SERVER = f"https://me:{PASSWORD}@tracker.example:5000"
TENSORBOARD = TrackingPolicy(tensorboard=True)
# A library's place is taken by these, so that no test depends on what is installed.
MISSING = "raise ModuleNotFoundError(f\"No module named '{__name__}'\")\n"
FAKE_MLFLOW = """
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace

class Metric(SimpleNamespace):
    def __init__(self, key, value, timestamp, step):
        super().__init__(key=key)

class Param(SimpleNamespace):
    def __init__(self, key, value):
        super().__init__(key=key)

sys.modules["mlflow.entities"] = SimpleNamespace(Metric=Metric, Param=Param)

class MlflowClient:
    def __init__(self, tracking_uri):
        facts = {"argv": sys.argv, "uri": tracking_uri,
                 "cmdline": Path("/proc/self/cmdline").read_text(), "environ": dict(os.environ)}
        Path("seen.tmp").write_text(json.dumps(facts))
        Path("seen.tmp").rename("seen.json")
        ACT

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        Path("experiment").write_text(name)
        return "1"

    def create_run(self, experiment, at, tags, run_name):
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

    def log_batch(self, run, metrics, params): ...
    def log_text(self, run, text, name): Path("artifact").write_text(text)
    def set_terminated(self, run, status, at): ...
"""


@pytest.fixture
def workspace(tmp_path, diagnostics):
    root = tmp_path / "housing"
    history = root / "diagnostics_outputs" / "history"
    history.mkdir(parents=True)
    found = diagnostics()
    (history / f"{found.run_id}.json").write_text(found.model_dump_json())
    return Workspace(root)


@pytest.fixture
def copy(workspace, tmp_path):
    """Copy the run, with modules put in the way of the real ones."""

    def run(tracking, modules, **options):
        fakes = tmp_path / "fakes"
        fakes.mkdir(exist_ok=True)
        for name, text in modules.items():
            (fakes / f"{name}.py").write_text(text)
        environ = {**os.environ, "PYTHONPATH": str(fakes)}
        options = {"stop": lambda: False} | options
        run_id = "20261122-020318-ab12"
        return copy_results(workspace, tracking, run_id, environ, **options)

    return run


def mlflow(act="pass"):
    return {"mlflow": FAKE_MLFLOW.replace("ACT", act)}


def copying_processes():
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "agents.trackers" in child.cmdline()]


def test_nothing_is_started_where_no_tracker_is_on(copy):
    assert copy(TrackingPolicy(), {}) == ()


def test_missing_library_is_told_with_what_installs_it(copy):
    tracking = TrackingPolicy(tensorboard=True, mlflow_uri="./mlruns")
    told = copy(tracking, {"tensorboard": MISSING, "mlflow": MISSING})
    assert [each.code for each in told] == ["not_tracked"] * 2
    assert "pip install 'watcher-pipeline[tensorboard]'" in told[0].message
    assert "pip install 'watcher-pipeline[mlflow]'" in told[1].message


def test_disk_without_room_for_what_a_tracker_says_is_told(copy, monkeypatch):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("agents.trackers.copying.tempfile.TemporaryFile", full)
    (told,) = copy(TENSORBOARD, {})
    assert told.code == "not_tracked"
    assert "No space left on device" in told.message


def test_diagnostics_that_may_not_be_looked_at_are_told(copy, monkeypatch):
    def refuse(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("agents.trackers.copying.Path.is_file", refuse)
    (told,) = copy(TENSORBOARD, {})
    assert told.message.endswith("cannot be looked at: Permission denied")


def test_library_that_breaks_is_told_by_its_last_line(copy):
    (told,) = copy(TENSORBOARD, {"tensorboard": "raise TypeError('Descriptors cannot be made')"})
    assert told.message.endswith("tensorboard/: TypeError: Descriptors cannot be made")


def test_process_that_is_killed_is_told(copy):
    (told,) = copy(TENSORBOARD, {"tensorboard": "import os; os.abort()"})
    assert told.message.endswith("it was ended by SIGABRT")


def test_server_that_hangs_is_given_up_and_its_process_with_it(copy):
    began = time.monotonic()
    (told,) = copy(TrackingPolicy(mlflow_uri=SERVER), mlflow("time.sleep(600)"), limit_s=1.5)
    assert told.message.endswith("it was not done within 1.5 s")
    assert time.monotonic() - began < 10
    assert copying_processes() == []


def test_one_that_hangs_does_not_keep_the_other_from_its_work(copy, workspace):
    tracking = TrackingPolicy(tensorboard=True, mlflow_uri="./mlruns")
    stuck = {"tensorboard": "import time; time.sleep(600)"}
    done = workspace.root / "artifact"
    told = copy(tracking, {**stuck, **mlflow()}, stop=done.exists)
    assert "tensorboard/: interrupted" in told[0].message


def test_ctrl_c_ends_the_waiting(copy, workspace):
    seen = workspace.root / "seen.json"
    began = time.monotonic()
    (told,) = copy(TrackingPolicy(mlflow_uri=SERVER), mlflow("time.sleep(600)"), stop=seen.exists)
    assert told.message.endswith("interrupted")
    assert time.monotonic() - began < 15
    assert copying_processes() == []


def test_run_is_logged_and_no_password_is_in_arguments_sentences_or_artifact(copy, workspace):
    (told,) = copy(TrackingPolicy(mlflow_uri=SERVER), mlflow())
    assert (told.code, told.level) == ("tracked", "info")
    shown = SERVER.replace(PASSWORD, "***")
    assert told.message == f"the results were copied to MLflow at {shown}"
    assert (workspace.root / "experiment").read_text() == "watcher/housing"
    seen = json.loads((workspace.root / "seen.json").read_text())
    assert PASSWORD not in " ".join(seen["argv"]) + seen["cmdline"] + seen["uri"]
    assert seen["environ"]["MLFLOW_TRACKING_PASSWORD"] == PASSWORD  # of that process alone
    assert seen["environ"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
    artifact = (workspace.root / "artifact").read_text()
    assert PASSWORD not in artifact
    assert json.loads(artifact)["winner"] == "neural_net"


def test_error_that_quotes_the_password_is_masked(copy):
    uri = f"https://{PASSWORD}@h/"  # a token that stands alone
    act = f"raise OSError('no answer from {uri} with {PASSWORD}')"
    (told,) = copy(TrackingPolicy(mlflow_uri=uri), mlflow(act))
    assert "no answer from" in told.message
    assert PASSWORD not in told.message


def test_run_without_diagnostics_is_told(copy, workspace):
    for path in (workspace.root / "diagnostics_outputs" / "history").iterdir():
        path.unlink()
    (told,) = copy(TENSORBOARD, {})
    assert "has left no diagnostics_outputs/history/20261122-020318-ab12.json" in told.message


def test_real_event_files_can_be_read_back(copy, workspace):
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (told,) = copy(TENSORBOARD, {})
    assert told.code == "tracked", told.message
    place = Path("diagnostics_outputs", "tensorboard", "20261122-020318-ab12", "neural_net")
    events = EventAccumulator(str(workspace.root / place)).Reload()
    assert [e.value for e in events.Scalars("train_mse/fold_0")] == [2.0, 1.0]
    assert "findings/text_summary" in events.Tags()["tensors"]


def test_real_mlflow_keeps_the_runs(copy, workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    uri = str(workspace.root / "mlruns")
    (told,) = copy(TrackingPolicy(mlflow_uri=uri), {})
    assert told.code == "tracked", told.message
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("watcher/housing")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"20261122-020318-ab12", "neural_net", "xgboost"}
    assert runs["neural_net"].data.metrics["cv/r2"] == 0.8
