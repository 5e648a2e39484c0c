from __future__ import annotations

import gzip
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from steps.contract import StepRequest
from steps.errors import StepRefused
from steps.forensics.documents import ENGINE_FILE, EngineConfig, read_document
from steps.step4_capacity.report import REPORT_FILE
from steps.step4_capacity.run import run, size
from steps.step4_capacity.settings import CapacitySettings
from steps.step4_capacity.shape import shape_of
from steps.step4_capacity.sizing import Machine

MANIFEST = json.loads((Path(__file__).parents[3] / "agent_manifests" / "ml_meta.json").read_text())
MACHINE = Machine(2, 8000.0)


def request_for(folder, table, **params):
    out = folder / ".watcher" / "step4"
    out.mkdir(parents=True, exist_ok=True)
    return StepRequest(
        run_id="r7",
        step=4,
        attempt=1,
        params=params,
        inputs={"survivors": str(table)},
        workspace=str(folder),
        policy_path=str(folder / "watcher_policies.json"),
        out_dir=str(out),
    )


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "survivors_with_scores.parquet"
    rng = np.random.default_rng(1)
    columns = {f"f{i}": rng.random(700) for i in range(4)}
    parquet.write_table(pa.table({**columns, "holdout_hits": rng.integers(0, 3, 700)}), path)
    return path


def test_the_manifest_declares_every_parameter_with_the_codes_default():
    declared = MANIFEST["parameter_bounds"]
    assert set(declared) == set(CapacitySettings.model_fields)
    for name, default in CapacitySettings().model_dump(mode="json").items():
        assert declared[name]["default"] == default, name


def test_the_config_is_for_this_table_and_the_report_gives_the_reasons(tmp_path, table):
    result = size(request_for(tmp_path, table, time_budget_minutes=3.0), MACHINE)
    assert result.status == "complete"
    config = read_document(tmp_path / ENGINE_FILE, EngineConfig)
    assert (config.table, config.rows, config.columns) == (table.name, 700, 5)
    assert config.sha256 == sha256(table.read_bytes()).hexdigest()
    assert (config.cpus, config.time_budget_minutes) == (2, 3.0)
    assert config.params["time_budget_minutes"] == 3.0
    assert {output.path for output in result.outputs} == set(MANIFEST["outputs"])
    report = (tmp_path / REPORT_FILE).read_text()
    assert all(reason in report for reason in config.reasons)
    assert f"| trials | {config.params['trials']} |" in report


def test_only_the_size_counts_never_the_target(tmp_path, table):
    size(request_for(tmp_path, table), MACHINE)
    before = read_document(tmp_path / ENGINE_FILE, EngineConfig)
    columns = parquet.read_table(table)
    hits = pa.array(np.full(700, 9))
    parquet.write_table(columns.set_column(4, "holdout_hits", hits), table)
    size(request_for(tmp_path, table), MACHINE)
    after = read_document(tmp_path / ENGINE_FILE, EngineConfig)
    assert (after.params, after.reasons) == (before.params, before.reasons)
    assert after.sha256 != before.sha256


def test_the_step_asks_this_machine_for_its_cores(tmp_path, table):
    assert run(request_for(tmp_path, table)).metrics["rows"] == 700
    assert read_document(tmp_path / ENGINE_FILE, EngineConfig).cpus >= 1


def test_tables_of_other_kinds_are_counted_too(tmp_path):
    plain = tmp_path / "t.csv"
    plain.write_text("a,b,c\n1,2,x\n3,,y\n")
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    rows = tmp_path / "t.json"
    rows.write_text('[{"a": 1, "b": 2}, {"a": 3, "b": null}, {"a": 5, "b": 1}]')
    assert [shape_of(path) for path in (plain, packed, rows)] == [(2, 3), (2, 3), (3, 2)]


def test_a_file_that_is_no_table_is_refused_by_name(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(StepRefused, match=r"t\.parquet: cannot be read") as refused:
        shape_of(path)
    assert refused.value.kind == "bad_input"
    with pytest.raises(StepRefused, match=r"t\.csv"):
        shape_of(tmp_path / "t.csv")
