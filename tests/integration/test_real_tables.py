"""Real tables run through the whole path, and score about as well as they are known to."""

from __future__ import annotations

import shutil

import pytest
from tests_integration import Workspace

from gpu.params import FAMILIES

# file, target, the family, and the R2 that it must reach on the holdout with this little effort.
TABLES = {
    "protein": ("protein.csv.gz", "y", "lightgbm", 0.40),
    "ames": ("ames.csv.gz", "Sale_Price", "catboost", 0.80),
    "elevators": ("elevators.csv.gz", "y", "neural_net", 0.80),
    "cps1988": ("cps1988.csv.gz", "wage", "xgboost", 0.20),
}
LITTLE = {"trials": 1, "k_folds": 2, "epochs": 8, "n_estimators": 100, "seed": 1}


def check(result, families, reach):
    """result: a StepResult as JSON."""
    assert {f: r["status"] for f, r in result["families"].items()} == dict.fromkeys(
        families, "complete"
    )
    best = result["families"][result["winner"]]
    assert best["holdout"]["r2"]["value"] > reach
    assert abs(best["holdout"]["r2"]["value"] - best["cv"]["r2"]["value"]) < 0.1
    assert result["signal"]["verdict"] == "strong"
    assert not [note for note in result["notes"] if note["level"] == "critical"]


def check_scored(workspace, table):
    predicted = workspace.watcher("--predict", table, "--output", "scored.csv")
    assert predicted.code == 0, predicted.err
    lines = (workspace.root / "scored.csv").read_text().splitlines()
    assert len(lines) > 2000


@pytest.mark.real_data
def test_families_are_compared_on_a_real_table_by_the_command(data_dir, workspace):
    shutil.copy(data_dir / "california_housing.csv", workspace.root)
    table = {"table": "california_housing.csv", "target": "median_house_value"}
    answer = workspace.step5(**table, **LITTLE)
    assert answer.code == 0, answer.err
    check(answer.result, FAMILIES, 0.75)
    check_scored(workspace, table["table"])


@pytest.mark.real_data
@pytest.mark.parametrize("name", TABLES)
def test_a_real_table_is_learnt(name, data_dir, step5):
    file, target, family, reach = TABLES[name]
    step5.table = shutil.copy(data_dir / file, step5.root / file)
    result = step5.run_here(target=target, model_type=family, **LITTLE)
    check(result.model_dump(mode="json"), [family], reach)
    if name == "ames":  # the one with the most kinds of columns
        check_scored(Workspace(step5.root), file)
