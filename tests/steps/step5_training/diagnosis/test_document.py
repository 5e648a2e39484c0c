"""The file of a run: whole, small, readable, and without passwords."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from gpu.protocol.observations import (
    CURVE_POINTS,
    Attribution,
    Curve,
    Importance,
    LayerHealth,
    NetworkHealth,
)
from steps.contract.diagnostics import (
    FamilyDiagnostics,
    RunFacts,
    TrainingDiagnostics,
    TrialRow,
    is_earlier_attempt,
)
from steps.step5_training.diagnosis.document import compact_json, without_secrets, write_document
from steps.step5_training.diagnosis.residuals import compare


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite", "sqlite"),
        ("sqlite:///own.db", "sqlite:///own.db"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://:s3cret@host/db", "postgresql://:***@host/db"),
        ("mysql+pymysql://me:a@b/s3cret@host:33/db", "mysql+pymysql://me:***@host:33/db"),
        ("postgresql://host/db?user=me&password=s3cret", "postgresql://host/db?user=***&password=***"),
    ],
)  # fmt: skip
def test_no_parameter_shows_a_password(url, shown):
    assert without_secrets({"study_storage": url, "trials": 3}) == {
        "study_storage": shown,
        "trials": 3,
    }


def test_each_attempt_of_a_run_stays_and_the_last_has_the_runs_name(tmp_path):
    def write(attempt):
        run = RunFacts(
            step=5, attempt=attempt, params={}, versions={}, devices=(), seconds={},
            splits_fingerprint="",
        )  # fmt: skip
        document = TrainingDiagnostics(
            run_id="r", created_at=datetime(2026, 11, 22, tzinfo=UTC), headline=str(attempt),
            collected=True, winner=None, signal=None, families={}, run=run,
        )  # fmt: skip
        write_document(tmp_path, document)

    for attempt in (1, 3, 3):
        write(attempt)
    history = tmp_path / "diagnostics_outputs" / "history"
    found = {path.name: json.loads(path.read_bytes())["headline"] for path in history.iterdir()}
    assert found == {"r.json": "3", "r-attempt1.json": "1"}
    assert is_earlier_attempt("r-attempt1")
    assert not is_earlier_attempt("r")


def test_long_lists_stand_on_one_line_each_and_the_document_reads_back():
    family = FamilyDiagnostics(
        severity="ok",
        findings=(),
        status="complete",
        metrics={"a": 1.0, "b": 0.25},
        devices=("CPU slot 0", "Gerät 1"),
        parameter_importance={},
    )
    text = compact_json(family)
    assert FamilyDiagnostics.model_validate_json(text) == family
    lines = text.splitlines()
    assert ' "devices": ["CPU slot 0","Gerät 1"],' in lines
    assert '  "a": 1.0,' in lines


def test_a_number_that_json_does_not_know_is_refused():
    family = FamilyDiagnostics(
        severity="ok", findings=(), status="complete", rounds=1, metrics={"a": float(np.inf)}
    )
    with pytest.raises(ValueError, match="JSON"):
        compact_json(family)
    assert json.loads(compact_json(family.model_copy(update={"metrics": {}})))["rounds"] == 1


def large_family(n_features, trials, folds=5, epochs=61, layers=4):
    """As much as a family can tell of a search, with numbers as they are written."""
    rng = np.random.default_rng(0)

    def numbers(n):
        return tuple(float(f"{value:.6g}") for value in rng.lognormal(size=n))

    def curve(fold):
        losses = (numbers(CURVE_POINTS), numbers(CURVE_POINTS))
        rounds = tuple(range(1, CURVE_POINTS + 1))
        return Curve(
            fold=fold, rounds=rounds, train=losses[0], validation=losses[1], best_round=7,
            rounds_run=CURVE_POINTS,
        )  # fmt: skip

    def layer(i):
        of_epochs = [numbers(epochs) for _ in range(5)]
        names = ("gradient_norm", "weight_norm", "activation_mean", "activation_std", "dead_pct")
        return LayerHealth(
            name=f"hidden {i}", units=256, weight_edges=numbers(31), weight_counts=(1000,) * 30,
            **dict(zip(names, of_epochs, strict=True)),
        )  # fmt: skip

    def attribution(row):
        return Attribution(
            which="best", row=row, target=1.5, prediction=1.25, method="shap", base=0.5,
            contributions=numbers(n_features),
        )  # fmt: skip

    y = rng.normal(size=5000)
    parts = [compare(p, y, y + 0.1, np.arange(5000), 0) for p in ("holdout", "out_of_fold")]
    params = {f"parameter_{i}": float(rng.random()) for i in range(6)}
    return FamilyDiagnostics(
        severity="ok",
        findings=(),
        status="complete",
        curves=tuple(curve(fold) for fold in range(folds)),
        importances=tuple(
            Importance(kind=kind, values=numbers(n_features)) for kind in ("gain", "split")
        ),
        attributions=tuple(attribution(row) for row in range(10)),
        network=NetworkHealth(
            probe_rows=1024,
            epochs=tuple(range(epochs)),
            layers=tuple(layer(i) for i in range(layers)),
            feature_gradients=numbers(n_features),
        ),
        residuals=tuple(parts),
        trials=tuple(
            TrialRow(
                position=i,
                state="complete",
                score=rng.random(),
                folds=5,
                duration_s=1.5,
                params=params,
            )
            for i in range(trials)
        ),
    )


def test_four_families_with_62_features_and_50_trials_stay_small():
    assert 4 * len(compact_json(large_family(62, 50))) < 1_000_000
