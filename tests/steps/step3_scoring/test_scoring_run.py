from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from steps import entry
from steps.errors import StepRefused
from steps.forensics.documents import SCORED_FILE
from steps.forensics.scored import read_scored_facts
from steps.step3_scoring.proven import PROVEN_FILE, ProvenCandidates
from steps.step3_scoring.report import REPORT_FILE
from steps.step3_scoring.run import run
from steps.step3_scoring.settings import ScoringSettings
from steps.step5_training.folds import draw_folds
from steps.step5_training.preflight import check_splits, inspect_table
from steps.tables import TableOptions, read_table
from tests.steps.forensics.made_workspace import (
    candidate,
    found,
    lay_out,
    made_history,
    request_for,
    true_history,
)

MANIFEST = json.loads(
    (Path(__file__).parents[3] / "agent_manifests" / "full_scoring.json").read_text()
)


def survivors(count, **values):
    rng = np.random.default_rng(1)
    return [
        candidate(int(seed), log_hypotheses=float(20 + row % 3), **values)
        for row, seed in enumerate(rng.integers(0, 1 << 32, count))
    ]


def table_of(folder):
    return read_table(folder / SCORED_FILE, TableOptions())


def test_the_manifest_declares_every_parameter_with_the_codes_default():
    declared = MANIFEST["parameter_bounds"]
    assert set(declared) == set(ScoringSettings.model_fields)
    for name, default in ScoringSettings().model_dump(mode="json").items():
        assert declared[name]["default"] == default, name


def test_step_5_takes_the_table_and_names_every_column(tmp_path):
    history, _ = true_history(count=300)
    lay_out(tmp_path, history, survivors(40), train=240)
    result = run(request_for(tmp_path, 3, table_rows=500))
    assert result.status == "complete"
    table = table_of(tmp_path)
    inspect_table(table, 5, 0.2, "random")
    for seed in range(5):
        splits = draw_folds(
            table.n_rows, split="random", n_folds=5, holdout_fraction=0.2, seed=seed
        )
        check_splits(table, splits)
    facts = read_scored_facts(tmp_path / SCORED_FILE)
    assert table.feature_names == facts.feature_names
    assert set(table.ids) == {"candidate_id"}
    roles = {column.name: column.role for column in table.schema.columns}
    assert roles["holdout_trials"] == "dropped"
    assert set(facts.dropped) == {"gap", "offset", "generator", "mapping"}
    assert facts.nothing_to_learn is None
    assert facts.survivors == 40
    assert facts.controls == table.n_rows - 40


def test_equal_inputs_give_equal_files(tmp_path):
    history, _ = true_history(count=100)
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        lay_out(tmp_path / name, history, survivors(5), train=80)
        run(request_for(tmp_path / name, 3, table_rows=100))
        texts.append((tmp_path / name / SCORED_FILE).read_bytes())
    assert texts[0] == texts[1]


def test_what_is_proven_is_kept_apart_with_its_hits(tmp_path):
    history, _ = made_history(count=200)
    sure = found(150)
    lay_out(tmp_path, history, [sure, *survivors(20)], train=150, proven=[sure])
    result = run(request_for(tmp_path, 3, table_rows=300))
    kept = ProvenCandidates.model_validate_json((tmp_path / PROVEN_FILE).read_bytes())
    assert [(c.holdout_hits, c.holdout_trials) for c in kept.candidates] == [(50, 50)]
    assert kept.candidates[0].p_value < 1e-100
    assert max(parquet.read_table(tmp_path / SCORED_FILE)["holdout_hits"].to_pylist()) < 5
    assert "1 proven candidate kept apart" in result.headline
    assert "explains" in (tmp_path / REPORT_FILE).read_text()


def test_without_survivors_it_says_so_and_leaves_an_empty_table(tmp_path):
    history, _ = true_history(count=60)
    lay_out(tmp_path, history, [], train=50)
    result = run(request_for(tmp_path, 3))
    assert result.status == "complete"
    assert "no candidate survived" in result.headline
    assert "--start-step 6" in result.what_next[0]
    facts = read_scored_facts(tmp_path / SCORED_FILE)
    assert facts.nothing_to_learn == "no candidate survived the search"
    assert parquet.read_table(tmp_path / SCORED_FILE).num_rows == 0


def test_only_proven_survivors_leave_nothing_to_learn(tmp_path):
    history, _ = made_history(count=100)
    lay_out(tmp_path, history, [found(80)], train=80, proven=[found(80)])
    run(request_for(tmp_path, 3))
    assert "beyond chance" in read_scored_facts(tmp_path / SCORED_FILE).nothing_to_learn


def test_too_few_draws_held_back_leave_nothing_to_learn(tmp_path):
    history, _ = true_history(count=80)
    lay_out(tmp_path, history, survivors(10), train=80)
    run(request_for(tmp_path, 3))
    facts = read_scored_facts(tmp_path / SCORED_FILE)
    assert facts.nothing_to_learn == "no draw was held back to judge candidates by"


def test_too_few_draws_for_any_search_are_nothing_to_learn_from(tmp_path):
    history, _ = true_history(count=80)
    lay_out(tmp_path, history, survivors(10), train=60, verdict="insufficient data")
    run(request_for(tmp_path, 3))
    facts = read_scored_facts(tmp_path / SCORED_FILE)
    assert facts.nothing_to_learn == "the draws are too few for any search"
    assert facts.controls == 0


def test_a_candidate_of_another_game_is_refused(tmp_path):
    history, _ = true_history(count=60)
    lay_out(tmp_path, history, [candidate(1), candidate(2, modulus=100)], train=50)
    with pytest.raises(StepRefused, match=r"survivors\.parquet: row 2: wanted .* modulus 1000"):
        run(request_for(tmp_path, 3))


def test_a_step_that_is_asked_to_stop_writes_nothing(tmp_path, monkeypatch):
    history, _ = true_history(count=60)
    lay_out(tmp_path, history, survivors(5), train=50)
    monkeypatch.setattr("steps.step3_scoring.run.stop_requested", lambda: True)
    assert run(request_for(tmp_path, 3)).status == "halted"
    assert not (tmp_path / SCORED_FILE).exists()
    assert not entry.stop_requested()
