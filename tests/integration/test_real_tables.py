"""Real tables run through the whole path, and score about as well as they are known to."""

from __future__ import annotations

import shutil

import pytest

from gpu.params import FAMILIES

# file, target, and the R2 that the best family must reach on the holdout with this little effort.
TABLES = {
    "california_housing": ("california_housing.csv", "median_house_value", 0.75),
    "protein": ("protein.csv.gz", "y", 0.40),
    "ames": ("ames.csv.gz", "Sale_Price", 0.80),
    "elevators": ("elevators.csv.gz", "y", 0.80),
    "cps1988": ("cps1988.csv.gz", "wage", 0.20),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", TABLES)
def test_all_four_families_learn_it(name, data_dir, workspace):
    file, target, reach = TABLES[name]
    shutil.copy(data_dir / file, workspace.root)
    answer = workspace.step5(
        file, target=target, trials=1, k_folds=2, epochs=6, n_estimators=100, seed=1
    )
    assert answer.code == 0, answer.err
    result = answer.result
    assert {f: r["status"] for f, r in result["families"].items()} == dict.fromkeys(
        FAMILIES, "complete"
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
