from __future__ import annotations

import json
from pathlib import Path

import pytest

from steps import entry
from steps.errors import StepRefused
from steps.forensics.documents import HOLDOUT_FILE, SCORER_FILE, ScorerConfig, read_document
from steps.forensics.parts import write_part
from steps.step2_scorer.report import REPORT_FILE
from steps.step2_scorer.run import run
from steps.step2_scorer.settings import ScorerSettings
from tests.steps.forensics.made_workspace import (
    candidate,
    found,
    lay_out,
    made_history,
    request_for,
    true_history,
)

MANIFEST = json.loads(
    (Path(__file__).parents[3] / "agent_manifests" / "scorer_meta.json").read_text()
)
INPUTS = ("window", "train", "survivors")


def scored(folder, history, survivors, train=240, **params):
    lay_out(folder, history, survivors, train=train)
    # What must not be read is not there.
    (folder / HOLDOUT_FILE).unlink()
    (folder / SCORER_FILE).unlink()
    result = run(request_for(folder, 2, INPUTS, **params))
    return result, read_document(folder / SCORER_FILE, ScorerConfig)


def test_the_manifest_declares_every_parameter_with_the_codes_default():
    declared = MANIFEST["parameter_bounds"]
    assert set(declared) == set(ScorerSettings.model_fields)
    for name, default in ScorerSettings().model_dump(mode="json").items():
        assert declared[name]["default"] == default, name


def test_noise_keeps_the_defaults_and_says_that_nothing_could_be_tried(tmp_path):
    history, _ = true_history(count=300)
    result, config = scored(tmp_path, history, [candidate(seed) for seed in range(20)])
    assert result.status == "complete"
    assert config.defaults_kept
    assert (config.corruption, config.recency_draws, config.lane_weight) == (0.01, None, 0.0)
    assert config.log_loss_default is config.log_loss_chosen is None
    assert "No candidate has any weight" in result.headline
    assert {output.path for output in result.outputs} == set(MANIFEST["outputs"])


def test_a_corrupted_machines_share_of_wrong_draws_is_found(tmp_path):
    history, truth = made_history(count=500, corruption_rate=0.2)
    assert truth.corrupted
    result, config = scored(tmp_path, history, [found(400), candidate(5)], train=400)
    assert not config.defaults_kept
    assert config.corruption in {0.1, 0.2, 0.35}
    assert config.log_loss_chosen < config.log_loss_default
    assert "better than the defaults" in config.sentence == result.headline
    report = (tmp_path / REPORT_FILE).read_text()
    assert config.sentence in report
    assert f"| {config.corruption:g} | none | {config.log_loss_chosen:.4f} |" in report


def test_what_a_person_sets_holds_where_nothing_is_to_be_tried(tmp_path):
    history, _ = made_history(count=300, corruption_rate=0.2)
    wish = {"tune_scorer": False, "scorer_corruption": 0.05, "scorer_recency_draws": 40}
    _, config = scored(tmp_path, history, [found(240)], **wish)
    assert (config.corruption, config.recency_draws, config.defaults_kept) == (0.05, 40, True)
    assert "as was asked" in config.sentence


def test_a_history_without_survivors_keeps_the_defaults(tmp_path):
    history, _ = true_history(count=300)
    _, config = scored(tmp_path, history, [])
    assert config.defaults_kept


def test_a_train_that_is_not_step_1s_is_refused(tmp_path):
    history, _ = true_history(count=300)
    lay_out(tmp_path, history, [], train=240)
    write_part(tmp_path / "train_history.json", history, 0, 239)
    with pytest.raises(StepRefused, match=r"train_history\.json: wanted .* run from step 1 again"):
        run(request_for(tmp_path, 2, INPUTS))


def test_a_candidate_of_another_range_is_refused_by_its_row(tmp_path):
    history, _ = true_history(count=300)
    lay_out(tmp_path, history, [candidate(1), candidate(2, modulus=100)], train=240)
    with pytest.raises(StepRefused, match="row 2: modulus must be 1000, got 100"):
        run(request_for(tmp_path, 2, INPUTS))


def test_a_step_that_is_asked_to_stop_writes_nothing(tmp_path):
    history, _ = made_history(count=300)
    lay_out(tmp_path, history, [found(240)], train=240)
    before = (tmp_path / SCORER_FILE).read_bytes()
    entry._stop.set()
    try:
        assert run(request_for(tmp_path, 2, INPUTS)).status == "halted"
    finally:
        entry._stop.clear()
    assert (tmp_path / SCORER_FILE).read_bytes() == before
