"""A worse model does not replace a better one where people want to be asked first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steps.artifacts import SIDECAR, WAITS_FILE, Sidecar, feature_schema_hash, write_sidecar
from steps.contract import Estimate, Scores, Signal
from steps.policies import Policy
from steps.step5_training.gate import asks_first

ASKING = Policy.model_validate({"approvals": {"before_replacing_better": True}})
NEW = Path("models/.versions/new")


def scores(r2):
    return Scores(r2=Estimate(value=r2), rmse=Estimate(value=1.0), mae=Estimate(value=1.0))


def put(workspace, folder, run_id, r2, target="price"):
    """A winner's sidecar. The holdout decides, so that of cross-validation says the opposite."""
    path = workspace / folder
    path.mkdir(parents=True)
    write_sidecar(
        Sidecar(
            run_id=run_id,
            created_at="2026-01-01T00:00:00Z",
            model_type="lightgbm",
            checkpoint_path="models/reinforcement/best_model.txt",
            checkpoint_format="txt",
            checkpoint_sha256="0" * 64,
            target=target,
            feature_names=("size",),
            feature_schema_hash=feature_schema_hash(("size",)),
            preprocessing={},
            params={},
            rounds=1,
            versions={},
            metrics={"cv": scores(-r2), "holdout": scores(r2)},
            signal=Signal(verdict="strong", reasons=()),
        ),
        path,
    )


def ask(workspace, policy=ASKING):
    return asks_first(workspace, "reinforcement", workspace / NEW, policy)


def test_a_worse_model_waits_and_the_reason_has_both_scores(tmp_path):
    put(tmp_path, "models/reinforcement", "old-run", 0.81)
    put(tmp_path, NEW, "new-run", 0.75)
    awaiting = ask(tmp_path)
    assert (awaiting.what, awaiting.agent) == ("publish", "reinforcement")
    assert awaiting.version == str(NEW)
    assert awaiting.in_force is None  # a plain folder, as in a copied workspace
    assert "old-run) has R2 0.810 on its holdout" in awaiting.reason
    assert "the new one (lightgbm) 0.750" in awaiting.reason


def test_the_version_that_would_be_replaced_is_named_and_the_new_one_marked_as_waiting(tmp_path):
    put(tmp_path, "models/.versions/old", "old-run", 0.81)
    (tmp_path / "models/reinforcement").symlink_to(".versions/old", target_is_directory=True)
    put(tmp_path, NEW, "new-run", 0.75)
    assert ask(tmp_path).in_force == "models/.versions/old"
    assert (tmp_path / NEW / WAITS_FILE).read_text() == "models/.versions/old"


@pytest.mark.parametrize("r2", [0.81, 0.9])
def test_an_equal_or_better_model_is_published_without_asking(tmp_path, r2):
    put(tmp_path, "models/reinforcement", "old", 0.81)
    put(tmp_path, NEW, "new", r2)
    assert ask(tmp_path) is None


def test_another_target_is_asked_about_however_good_it_is(tmp_path):
    put(tmp_path, "models/reinforcement", "old", 0.5)
    put(tmp_path, NEW, "new", 0.9, target="rent")
    assert "the targets differ: price in force, rent in the new one" in ask(tmp_path).reason


def test_nobody_asks_where_the_policy_does_not_want_it_or_nothing_is_in_force(tmp_path):
    put(tmp_path, NEW, "new", 0.1)
    assert ask(tmp_path) is None
    put(tmp_path, "models/reinforcement", "old", 0.9)
    assert ask(tmp_path, Policy()) is None
    assert ask(tmp_path) is not None


def test_a_model_in_force_that_cannot_be_read_is_asked_about(tmp_path):
    put(tmp_path, "models/reinforcement", "old", 0.5)
    put(tmp_path, NEW, "new", 0.9)
    path = tmp_path / "models/reinforcement" / SIDECAR
    path.write_text(json.dumps({**json.loads(path.read_text()), "target": None}))
    assert "cannot be compared" in ask(tmp_path).reason
