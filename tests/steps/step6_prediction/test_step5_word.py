from __future__ import annotations

import json

import pytest

from steps.artifacts import (
    SIDECAR,
    Sidecar,
    feature_schema_hash,
    publish,
    version_folder,
    write_sidecar,
)
from steps.contract import Estimate, Scores, Signal
from steps.contract.diagnostics import (
    FILE,
    FOLDER,
    Histogram,
    RunFacts,
    TableFacts,
    TrainingDiagnostics,
)
from steps.errors import StepRefused
from steps.files import sha256_file
from steps.forensics.documents import SCORED_FILE
from steps.forensics.scored import read_scored_facts
from steps.step3_scoring.run import run as score
from steps.step6_prediction.step5 import step5_says
from steps.tables import TableOptions, read_table
from tests.steps.forensics.made_workspace import NOW, candidate, lay_out, request_for, true_history

SCORES = Scores(r2=Estimate(value=0.2), rmse=Estimate(value=1.0), mae=Estimate(value=1.0))


@pytest.fixture
def workspace(tmp_path):
    history, _ = true_history(count=300)
    lay_out(tmp_path, history, [candidate(seed) for seed in range(30)], train=200)
    score(request_for(tmp_path, 3, table_rows=300))
    return tmp_path


def diagnose(folder, *, fingerprint=None, signal="weak", run_id="r5", **params):
    """What Step 5 leaves of a run on the folder's table."""
    table = read_table(folder / SCORED_FILE, TableOptions(**params))
    path = folder / FOLDER / FILE
    path.parent.mkdir(exist_ok=True)
    said = TrainingDiagnostics(
        run_id=run_id,
        created_at=NOW,
        headline="made",
        collected=True,
        winner="lightgbm",
        signal=Signal(verdict=signal, reasons=("a reason",)),
        families={},
        table=TableFacts(
            path=SCORED_FILE,
            rows=table.n_rows,
            feature_names=table.feature_names,
            kinds=table.kinds,
            target_name=table.target,
            target=Histogram(edges=(0.0, 1.0), counts=(1,)),
            target_mean=0.0,
            target_sd=1.0,
            search_rows=1,
            holdout_rows=1,
            folds=2,
            split="random",
            fingerprint=fingerprint or table.fingerprint,
        ),
        run=RunFacts(
            step=5,
            attempt=1,
            params=json.loads(json.dumps({"trials": 3, **params})),
            versions={},
            devices=(),
            seconds={},
            splits_fingerprint="",
        ),
    )
    path.write_text(said.model_dump_json())
    return path, table


def put_in_force(folder, feature_names, run_id="r5"):
    version = version_folder(folder, "reinforcement", run_id, 1)
    checkpoint = version / "best_model.txt"
    checkpoint.write_text("a model")
    write_sidecar(
        Sidecar(
            run_id=run_id,
            created_at=NOW,
            model_type="lightgbm",
            checkpoint_path="models/reinforcement/best_model.txt",
            checkpoint_format="txt",
            checkpoint_sha256=sha256_file(checkpoint),
            target="holdout_hits",
            feature_names=feature_names,
            feature_schema_hash=feature_schema_hash(feature_names),
            preprocessing={},
            params={},
            rounds=1,
            versions={},
            metrics={"cv": SCORES, "holdout": SCORES},
            signal=Signal(verdict="weak", reasons=("a reason",)),
        ),
        version,
    )
    publish(folder, "reinforcement", version)
    return folder / "models" / "reinforcement" / SIDECAR


def ask(folder, diagnostics=None, model=None):
    scored = folder / SCORED_FILE
    return step5_says(folder, scored, read_scored_facts(scored), diagnostics, model)


def test_the_verdict_on_this_table_is_taken(workspace):
    diagnostics, table = diagnose(workspace, exclude_features=("longest_run",))
    model = put_in_force(workspace, table.feature_names)
    said = ask(workspace, diagnostics, model)
    assert (said.signal, said.run_id) == ("weak", "r5")
    assert "a reason" in said.reason


def test_a_verdict_on_another_table_is_refused_with_both_fingerprints(workspace):
    diagnostics, table = diagnose(workspace, fingerprint="f" * 64)
    with pytest.raises(StepRefused, match=f"{'f' * 64}, .* has {table.fingerprint}"):
        ask(workspace, diagnostics)


def test_a_model_of_other_features_is_refused_with_both_hashes(workspace):
    diagnostics, table = diagnose(workspace)
    names = table.feature_names[::-1]
    model = put_in_force(workspace, names)
    wanted, got = feature_schema_hash(table.feature_names), feature_schema_hash(names)
    with pytest.raises(StepRefused, match=f"is {got}, that of .* {wanted}"):
        ask(workspace, diagnostics, model)


def test_a_checkpoint_that_was_changed_is_refused(workspace):
    diagnostics, table = diagnose(workspace)
    model = put_in_force(workspace, table.feature_names)
    (model.parent / "best_model.txt").write_text("another")
    with pytest.raises(StepRefused, match="SHA-256"):
        ask(workspace, diagnostics, model)


def test_an_older_model_in_force_is_not_this_tables(workspace):
    diagnostics, _ = diagnose(workspace, run_id="r6")
    said = ask(workspace, diagnostics, put_in_force(workspace, ("x",), run_id="r5"))
    assert (said.signal, said.run_id) == ("weak", None)
    assert "not in force" in said.reason


def test_a_model_without_diagnostics_is_refused(workspace):
    with pytest.raises(StepRefused, match="diagnostics are missing"):
        ask(workspace, None, put_in_force(workspace, ("x",)))


def test_without_step_5_there_is_no_signal(workspace):
    said = ask(workspace)
    assert said.signal is None
    assert "has not run" in said.reason


def test_where_nothing_could_be_learnt_no_model_is_looked_at(tmp_path):
    history, _ = true_history(count=60)
    lay_out(tmp_path, history, [], train=50)
    score(request_for(tmp_path, 3))
    said = ask(tmp_path, tmp_path / "not there", tmp_path / "nor this")
    assert said.signal is None
    assert "no candidate survived" in said.reason
