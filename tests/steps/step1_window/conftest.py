"""Small searches of histories whose origin is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from steps.contract import StepRequest, StepResult
from steps.forensics.candidates import read_survivors
from steps.forensics.documents import CandidateRecord, WindowConfig, read_document
from steps.prng.simulate_history import Scenario, simulate_history
from steps.step1_window.run import run


@dataclass(frozen=True)
class Searched:
    """What a run of the step has left."""

    result: StepResult
    config: WindowConfig | None
    survivors: list[CandidateRecord]
    workspace: Path


@pytest.fixture
def search(tmp_path):
    def make(records, *, inputs=None, **params):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "history.json").write_text(json.dumps(records))
        request = StepRequest(
            run_id="run",
            step=1,
            attempt=1,
            params={
                "draw_history": "history.json",
                "draw_min": 0,
                "draw_max": 999,
                "threads": 1,
                **params,
            },
            inputs={"draw_history": str(tmp_path / "history.json"), **(inputs or {})},
            workspace=str(tmp_path),
            policy_path="none",
            out_dir=str(tmp_path / "out"),
        )
        result = run(request)
        file = tmp_path / "optimal_window_config.json"
        table = tmp_path / "survivors.parquet"
        return Searched(
            result,
            read_document(file, WindowConfig) if file.exists() else None,
            read_survivors(table) if table.exists() else [],
            tmp_path,
        )

    return make


@pytest.fixture(scope="session")
def simulated():
    def make(*machines, count=300, seed=5, **scenario):
        made = simulate_history(
            Scenario(count=count, machines=machines, **scenario),
            np.random.default_rng(seed),
            np.random.default_rng(seed).bytes,
        )
        return made.records

    return make


@pytest.fixture(scope="session")
def machine():
    def make(generator="java", mapping="next_int", seeding="scramble", seed=987_654_321, **more):
        return {
            "kind": "pseudo",
            "generator": generator,
            "mapping": mapping,
            "seeding": seeding,
            "seed": seed,
            **more,
        }

    return make
