"""A table that Step 3 knows to hold nothing to learn ends Step 5 with none, not with an error."""

from __future__ import annotations

import json

import numpy as np

from steps.contract import StepRequest
from steps.forensics.scored import ScoredFacts, write_scored
from steps.step5_training.run import run


def request(folder, table):
    out_dir = folder / ".watcher" / "runs" / "r" / "step5-attempt1"
    out_dir.mkdir(parents=True, exist_ok=True)
    return StepRequest(
        run_id="r",
        step=5,
        attempt=1,
        params={},
        inputs={"survivors": str(table)},
        workspace=str(folder),
        policy_path="",
        out_dir=str(out_dir),
    )


def scored(path, reason):
    facts = ScoredFacts(
        survivors_sha256="a",
        train_sha256="b",
        holdout_sha256="c",
        survivors=2,
        controls=0,
        proven=0,
        copies=0,
        holdout_trials=9,
        feature_names=("gap",),
        nothing_to_learn=reason,
    )
    write_scored(path, {"gap": np.arange(2), "holdout_hits": np.zeros(2, np.int64)}, facts)


def test_the_reason_is_the_verdict_s_and_the_diagnostics_are_of_this_run(tmp_path):
    table = tmp_path / "survivors_with_scores.parquet"
    scored(table, "no candidate survived the search")
    result = run(request(tmp_path, table))
    assert result.status == "no_signal"
    assert result.signal is not None
    assert result.signal.reasons == ("no candidate survived the search",)
    written = tmp_path / "diagnostics_outputs" / "training_diagnostics.json"
    assert json.loads(written.read_text())["run_id"] == "r"
    assert [output.path for output in result.outputs] == [str(written.relative_to(tmp_path))]
    assert not (tmp_path / "models").exists()
