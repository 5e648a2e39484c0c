from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from steps.errors import StepRefused
from steps.forensics.scored import ScoredFacts, read_scored_facts, write_scored

FACTS = ScoredFacts(
    survivors_sha256="a" * 64,
    train_sha256="b" * 64,
    holdout_sha256="c" * 64,
    survivors=2,
    controls=0,
    proven=0,
    copies=0,
    holdout_trials=10,
    feature_names=("x",),
)


def test_the_facts_lie_in_the_tables_own_file(tmp_path):
    path = tmp_path / "scored.parquet"
    write_scored(path, {"x": np.array([1.0, 2.0])}, FACTS)
    assert read_scored_facts(path) == FACTS
    assert parquet.read_table(path).column_names == ["x"]


def test_a_table_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "scored.parquet"
    parquet.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(StepRefused, match="one without its facts"):
        read_scored_facts(path)
    path.write_text("no table")
    with pytest.raises(StepRefused, match="cannot be read"):
        read_scored_facts(path)
