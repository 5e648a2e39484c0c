"""A run's diagnostics with everything in them that trackers keep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from gpu.protocol.observations import Curve, LayerHealth, NetworkHealth
from steps.contract import Estimate, Scores, Signal
from steps.contract.diagnostics import (
    FamilyDiagnostics,
    Finding,
    FoldHealth,
    RunFacts,
    TrainingDiagnostics,
    TrialRow,
)

CREATED_AT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
PASSWORD = "hunter2xyz"


@pytest.fixture
def diagnostics() -> Callable[..., TrainingDiagnostics]:
    def make(**changes: Any) -> TrainingDiagnostics:
        facts: dict[str, Any] = {
            "run_id": "20261122-020318-ab12",
            "created_at": CREATED_AT,
            "headline": f"neural_net explains it, kept at postgresql://me:{PASSWORD}@db/x",
            "collected": True,
            "winner": "neural_net",
            "signal": Signal(verdict="strong", reasons=("the holdout says so",)),
            "families": {
                "neural_net": _network(),
                "xgboost": FamilyDiagnostics(
                    severity="warning", findings=(), status="failed", error="out of\nmemory"
                ),
                "catboost": FamilyDiagnostics(
                    severity="ok", findings=(), status="skipped", error="switched off"
                ),
            },
            "run": RunFacts(
                step=5,
                attempt=1,
                params={"trials": 20, "study_storage": f"postgresql://me:{PASSWORD}@db/x"},
                versions={},
                devices=(),
                seconds={},
                splits_fingerprint="",
            ),
        }
        return TrainingDiagnostics(**(facts | changes))

    return make


def _network() -> FamilyDiagnostics:
    def curve(fold: int | None) -> Curve:
        validation = None if fold is None else (3.0, 2.5)
        return Curve(
            fold=fold, rounds=(1, 5), train=(2.0, 1.0), validation=validation, best_round=5,
            rounds_run=5,
        )  # fmt: skip

    layer = LayerHealth(
        name="hidden 1",
        units=64,
        gradient_norm=(0.5, 0.25),
        weight_norm=(8.0, 9.0),
        activation_mean=(0.0, 0.1),
        activation_std=(1.0, 1.1),
        dead_pct=(0.0, 50.0),
        weight_edges=(0.0, 1.0),
        weight_counts=(64,),
    )
    output = layer.model_copy(update={"name": "output", "dead_pct": None})
    scores = Scores(
        r2=Estimate(value=0.8, ci95=(0.75, 0.85)), rmse=Estimate(value=2.0), mae=Estimate(value=1.5)
    )
    return FamilyDiagnostics(
        severity="critical",
        findings=(Finding(level="critical", code="dead_units", message="half of it is dead"),),
        status="complete",
        cv=scores,
        metrics={"overfit_ratio": 1.25},
        folds=(FoldHealth(fold=0, r2=0.8, train_mse=1, val_mse=2, best_round=5, rounds_run=5,
                          duration_s=1),),
        curves=(curve(0), curve(1)),
        final_curve=curve(None),
        network=NetworkHealth(
            probe_rows=512, epochs=(1, 2), layers=(layer, output), feature_gradients=(1.0,)
        ),
        trials=(
            TrialRow(position=0, state="complete", score=0.7, folds=5, duration_s=1, params={}),
            TrialRow(position=1, state="failed", score=None, folds=0, duration_s=1, params={}),
            TrialRow(position=2, state="complete", score=0.8, folds=5, duration_s=1, params={}),
        ),
        parameter_importance={"dropout": 1.0},
        params={"dropout": 0.1, "hidden_layers": [64, 32], "api_token": "tr0ub4dor"},
        seconds={"search": 12.5},
        peak_rss_mib=700.0,
    )  # fmt: skip
