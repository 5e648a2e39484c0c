"""Real tables run through the whole path, and score about as well as they are known to."""

from __future__ import annotations

import shutil

import pytest

from gpu.params import FAMILIES

# file, target, the family (None: all four), and the R2 that the best must reach on the holdout with
# this little effort.
TABLES = {
    "california_housing": ("california_housing.csv", "median_house_value", None, 0.75),
    "protein": ("protein.csv.gz", "y", "lightgbm", 0.40),
    "ames": ("ames.csv.gz", "Sale_Price", "catboost", 0.80),
    "elevators": ("elevators.csv.gz", "y", "neural_net", 0.80),
    "cps1988": ("cps1988.csv.gz", "wage", "xgboost", 0.20),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_is_learnt_and_scored(name, data_dir, workspace):
    file, target, family, reach = TABLES[name]
    only = {} if family is None else {"compare_models": False, "model_type": family}
    shutil.copy(data_dir / file, workspace.root)
    answer = workspace.step5(
        file, target=target, trials=1, k_folds=2, epochs=8, n_estimators=100, seed=1, **only
    )
    assert answer.code == 0, answer.err
    result = answer.result
    assert {f: r["status"] for f, r in result["families"].items()} == dict.fromkeys(
        FAMILIES if family is None else [family], "complete"
    )
    best = result["families"][result["winner"]]
    assert best["holdout"]["r2"]["value"] > reach
    assert abs(best["holdout"]["r2"]["value"] - best["cv"]["r2"]["value"]) < 0.1
    assert result["signal"]["verdict"] == "strong"
    assert not [note for note in result["notes"] if note["level"] == "critical"]
    predicted = workspace.watcher("--predict", file, "--output", "scored.csv")
    assert predicted.code == 0, predicted.err
    lines = (workspace.root / "scored.csv").read_text().splitlines()
    assert len(lines) > 2000
