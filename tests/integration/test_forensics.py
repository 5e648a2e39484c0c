"""A draw history from end to end: the secret is found and foretells; true randomness is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

# One generator and one family: what each step does alone is tested beside it.
QUICK = {
    "draw_history": "history.json",
    "effort": "quick",
    "generators": ["java"],
    "mappings": ["next_int"],
    "compare_models": False,
    "trials": 1,
    "n_estimators": 20,
}
# Draws of a lottery, some ten years of them: all that there are take a minute.
NEWEST = 5000
PIPELINE = ("--run-pipeline", "--start-step", "0", "--end-step", "6", "--json")


def examine(workspace, **params):
    answer = workspace.watcher(*PIPELINE, "--params", json.dumps({**QUICK, **params}))
    path = workspace.root / "predictions" / "next_draw_prediction.json"
    return answer, json.loads(path.read_text(encoding="utf-8"))


def test_a_secret_seed_is_found_and_the_next_draws_are_foretold(workspace):
    machine = {"generator": "java", "seed": 271_828_182_845_904, "count": 300}
    wrong = {"corruption_rate": 0.05, "noise_seed": 1}
    made = workspace.watcher("--simulate", "history.json", "--params", json.dumps(machine | wrong))
    assert made.code == 0, made.err
    answer, prediction = examine(workspace)
    assert answer.code == 0, answer.err
    assert [step["outcome"] for step in answer.document["steps"]][-1] == "complete"
    assert prediction["run_id"] == answer.document["run_id"]
    assert prediction["verdict"] == "seed found"
    truth = json.loads((workspace.root / "history.json.truth.json").read_text())
    assert prediction["next_draws"] == truth["next_draws"]
    assert prediction["source"]["seed"] == truth["seeds"][0][0]
    assert prediction["candidates"][0]["draw"] == truth["next_draws"][0]
    # The same line again finds nothing that has changed.
    again = workspace.watcher(*PIPELINE, "--params", json.dumps(QUICK))
    assert {step["outcome"] for step in again.document["steps"]} == {"skipped"}
    # A verdict on another history is neither fresh nor made from what the first one left.
    records = json.loads((workspace.root / "history.json").read_text())
    (workspace.root / "history.json").write_text(json.dumps(records[:-1]))
    stale = workspace.watcher(
        "--run-pipeline", "--start-step", "6", "--end-step", "6", "--json", "--params",
        json.dumps({"draw_history": "history.json"}),
    )  # fmt: skip
    assert stale.code == 1
    assert "the history has changed since step 1" in stale.document["message"]


def test_draws_of_no_generator_searched_are_no_better_than_chance(workspace):
    drawn = np.random.default_rng(0).integers(0, 1000, 300).tolist()
    history = [{"date": f"{1900 + k}-01-01", "draw": draw} for k, draw in enumerate(drawn)]
    (workspace.root / "history.json").write_text(json.dumps(history))
    answer, prediction = examine(workspace)
    assert answer.code == 12, answer.err
    assert answer.document["status"] == "refused"
    assert prediction["verdict"] == "no better than chance"
    assert prediction["candidates"] == []
    assert prediction["next_draws"] == []
    assert prediction["hypotheses_tried"] > 1e15
    assert any(row["enough"] for row in prediction["power"])
    assert prediction["signal"] == "none"


@pytest.mark.real_data
def test_a_lottery_s_draws_are_no_better_than_chance(data_dir, workspace):
    records = json.loads((data_dir / "va_pick3.json").read_text(encoding="utf-8"))
    assert len(records) > NEWEST
    (workspace.root / "va_pick3.json").write_text(json.dumps(records[-NEWEST:]))
    answer, prediction = examine(workspace, draw_history="va_pick3.json")
    assert answer.code == 12, answer.err
    assert prediction["verdict"] == "no better than chance"
