"""Training diagnostics made by hand, as Step 5 would write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu.protocol.observations import (
    Attribution,
    Curve,
    Importance,
    LayerHealth,
    NetworkHealth,
)
from steps.contract import Estimate, Note, Scores, Signal
from steps.contract.diagnostics import (
    FamilyDiagnostics,
    Finding,
    FoldHealth,
    Histogram,
    PairComparison,
    Residuals,
    RunFacts,
    TableFacts,
    TrainingDiagnostics,
    TrialRow,
)

FEATURES = (
    "median_income",
    "longitude",
    "latitude",
    "housing_median_age",
    "total_rooms",
    "total_bedrooms",
    "population",
    "households",
    "ocean_proximity",
)
KINDS = (*("numeric",) * 8, "categorical")
R2 = {"catboost": 0.842, "lightgbm": 0.838, "xgboost": 0.829, "neural_net": 0.771}
KIND_OF = {
    "catboost": ("PredictionValuesChange",),
    "lightgbm": ("gain", "split"),
    "xgboost": ("gain", "weight"),
    "neural_net": ("input_gradient",),
}
SD = 115_000.0


def scores(r2: float, width: float) -> Scores:
    rmse = SD * np.sqrt(max(0.0, 1 - r2))
    return Scores(
        r2=Estimate(value=r2, ci95=(r2 - width, r2 + width)),
        rmse=Estimate(value=rmse, ci95=(rmse * 0.97, rmse * 1.03)),
        mae=Estimate(value=rmse * 0.66, ci95=(rmse * 0.64, rmse * 0.68)),
        spearman=Estimate(value=float(np.sqrt(max(0.0, r2)))),
    )


def curve(rng, fold, r2, unit_rounds):
    rounds_run = int(unit_rounds * rng.uniform(0.8, 1.2))
    best = max(1, int(rounds_run * (0.85 if r2 > 0.1 else 0.06)))
    at = np.unique(np.r_[1, np.linspace(1, rounds_run, 60).astype(int), best, rounds_run])
    left = max(0.02, 1 - r2)
    decay = np.exp(-4 * at / rounds_run)
    train = SD**2 * (left * 0.7 + (1 - left * 0.7) * decay) * rng.normal(1, 0.004, len(at))
    overfit = 0.05 * left * np.maximum(0, at - best) / rounds_run
    val = SD**2 * (left + (1 - left) * decay + overfit) * rng.normal(1, 0.006, len(at))
    return Curve(
        fold=fold,
        rounds=tuple(int(a) for a in at),
        train=tuple(train),
        validation=None if fold is None else tuple(val),
        best_round=best,
        rounds_run=rounds_run,
    )


def histogram(values, bins=30):
    counts, edges = np.histogram(values, bins=bins)
    return Histogram(edges=tuple(edges), counts=tuple(int(c) for c in counts))


def residuals(rng, part, r2, rows=500):
    targets = rng.gamma(3, 70_000, rows)
    found = max(r2, 0.0)
    predictions = targets.mean() + found * (targets - targets.mean())
    predictions += rng.normal(0, SD * np.sqrt(found * (1 - found)) + 500, rows)
    tenths = np.array_split(np.argsort(predictions), 10)
    return Residuals(
        part=part,
        rows=tuple(int(r) for r in rng.permutation(20_000)[:rows]),
        targets=tuple(targets),
        predictions=tuple(predictions),
        errors=histogram(targets - predictions),
        calibration=tuple((predictions[t].mean(), targets[t].mean()) for t in tenths),
    )


def attributions(rng, name, n):
    rows = []
    for which, spread in (("best", 200.0), ("worst", 180_000.0)):
        for _ in range(5):
            parts = rng.normal(0, 20_000, n) * np.linspace(2.5, 0.2, n)
            prediction = 207_000 + parts.sum()
            rows.append(
                Attribution(
                    which=which,
                    row=int(rng.integers(20_000)),
                    target=prediction + rng.normal(0, spread),
                    prediction=prediction,
                    method="gradient_x_input" if name == "neural_net" else "shap",
                    base=None if name == "neural_net" else 207_000.0,
                    contributions=tuple(parts),
                )
            )
    return tuple(rows)


def network(rng, n, dead):
    epochs = tuple(range(1, 41, 2))
    t = np.arange(len(epochs))
    layers = []
    for place, (layer, units) in enumerate((("hidden 1", 256), ("hidden 2", 128), ("output", 1))):
        counts, edges = np.histogram(rng.normal(0, 0.3 / (place + 1), 2000), bins=25)
        is_output = layer == "output"
        layers.append(
            LayerHealth(
                name=layer,
                units=units,
                gradient_norm=tuple(0.5 / (3**place) * np.exp(-t / 9) * rng.uniform(0.9, 1.1, 20)),
                weight_norm=tuple(8 - 2 * place + 0.15 * t),
                activation_mean=tuple(0.2 + 0.01 * t),
                activation_std=tuple(0.6 + 0.02 * t / (place + 1)),
                dead_pct=None if is_output else tuple(dead * (1 - np.exp(-t / 5)) / (place + 1)),
                weight_edges=tuple(edges),
                weight_counts=tuple(int(c) for c in counts),
            )
        )
    return NetworkHealth(
        probe_rows=512,
        epochs=epochs,
        layers=tuple(layers),
        feature_gradients=tuple(np.linspace(0.4, 0.02, n)),
    )


def params_of(rng, name):
    if name == "neural_net":
        return {
            "learning_rate": float(10 ** rng.uniform(-3, -2)),
            "hidden_layers": [[64], [256], [128, 64], [256, 128]][int(rng.integers(4))],
            "dropout": float(rng.uniform(0, 0.3)),
            "weight_decay": float(10 ** rng.uniform(-6, -2)),
            "batch_size": int(2 ** rng.integers(6, 10)),
            "epochs": 60,
        }
    deep = {"lightgbm": "num_leaves", "catboost": "depth", "xgboost": "max_depth"}[name]
    return {
        "learning_rate": float(10 ** rng.uniform(-1.7, -0.52)),
        deep: int(rng.integers(4, 11)),
        "subsample": float(rng.uniform(0.5, 1)),
        "reg_lambda": float(10 ** rng.uniform(-1, 1)),
        "max_bin": 64,
    }


def trials(rng, name, r2, count):
    rows = []
    for position in range(count):
        params = params_of(rng, name)
        score = r2 - abs(rng.normal(0, 0.02)) - 0.05 * np.exp(-position / 5)
        state = "pruned" if rng.random() < 0.12 and position > 3 else "complete"
        if position == 7 and name == "neural_net":
            state, score = "failed", 0.0
        rows.append(
            TrialRow(
                position=position,
                state=state,
                score=float(score) if state == "complete" else None,
                folds=5 if state == "complete" else 2,
                duration_s=float(rng.uniform(2, 9)),
                params=params,
                failure="diverged: loss is not finite" if state == "failed" else "",
            )
        )
    return tuple(rows)


def family(rng, name, r2, features, findings=(), severity="ok", dead=6.0, leak=None):
    n, unit_rounds = len(features), 55 if name == "neural_net" else 420
    curves = tuple(curve(rng, fold, r2, unit_rounds) for fold in range(5))
    weights = np.sort(rng.dirichlet(np.full(n, 0.6)))[::-1]
    if leak is not None:
        weights = np.full(n, 0.0)
        weights[leak] = 1.0
    done = trials(rng, name, r2, 40)
    searched = {k: v for k, v in done[0].params.items() if k not in {"max_bin", "epochs"}}
    return FamilyDiagnostics(
        severity=severity,
        findings=findings,
        status="complete",
        cv=scores(r2, 0.008 if r2 > 0.1 else 0.004),
        holdout=scores(r2 - 0.004, 0.012 if r2 > 0.1 else 0.006),
        metrics={
            "overfit_ratio": 1.2143,
            "early_stop_ratio": 0.85,
            "unused_feature_pct": 0.0,
            "fold_instability": 0.011,
            "diverged_trial_pct": 0.0,
            **({"nn_dead_neuron_pct": dead} if name == "neural_net" else {}),
        },
        folds=tuple(
            FoldHealth(
                fold=c.fold,
                r2=r2 + rng.normal(0, 0.01),
                train_mse=c.train[-1],
                val_mse=min(c.validation),
                best_round=c.best_round,
                rounds_run=c.rounds_run,
                duration_s=3.2,
            )
            for c in curves
        ),
        curves=curves,
        final_curve=curve(rng, None, r2, unit_rounds),
        importances=tuple(Importance(kind=k, values=tuple(weights)) for k in KIND_OF[name]),
        attributions=attributions(rng, name, n),
        network=network(rng, n, dead) if name == "neural_net" else None,
        residuals=(residuals(rng, "holdout", r2), residuals(rng, "out_of_fold", r2)),
        trials=done,
        parameter_importance=dict(
            zip(searched, sorted(rng.dirichlet(np.ones(len(searched))), reverse=True), strict=True)
        ),
        params=done[12].params,
        rounds=40 if name == "neural_net" else 361,
        folds_pruned=12,
        seconds={"search": 183.4, "load": 1.2, "fit": 6.1, "predict": 0.3, "observe": 0.9},
        peak_rss_mib=812.5,
        devices=("cpu-slot-0", "cpu-slot-1"),
        checkpoint=f"models/.versions/20261122-020000-ab12/{name}/best_model.bin",
    )


def pair(best, other, gap, verdict):
    estimate = Estimate(value=gap, ci95=(gap - 0.004, gap + 0.004))
    p_value = 0.31 if verdict == "tie" else 0.0004
    return PairComparison(
        best=best, other=other, cv_r2=estimate, holdout_r2=estimate, p_value=p_value,
        verdict=verdict,
    )  # fmt: skip


OVERFIT = Finding(
    level="warning",
    code="overfit",
    message="validation loss is 1.41 times the training loss",
    metric="overfit_ratio",
    value=1.41,
    bound=1.3,
    meaning="The model knows its training rows better than new ones.",
    remedy="Stronger regularisation, or shallower trees.",
    change={"early_stopping_rounds": 20},
)
DEAD = Finding(
    level="critical",
    code="dead_units",
    message="61 % of the hidden units are dead",
    metric="nn_dead_neuron_pct",
    value=61.0,
    bound=50.0,
    meaning="They say the same whatever the row, so the network is smaller than it looks.",
    remedy="A lower learning rate, or LeakyReLU instead of ReLU.",
    change={"use_leaky_relu": True, "max_learning_rate": 0.003},
)


def diagnostics(kind: str, **changes: Any) -> TrainingDiagnostics:
    """kind: strong, none or leaked."""
    rng = np.random.default_rng(7)
    features, kinds, target, path = FEATURES, KINDS, "median_house_value", "housing.csv"
    match kind:
        case "strong":
            r2, winner, headline = R2, "catboost", "catboost predicts median_house_value"
            signal = Signal(
                verdict="strong",
                reasons=(
                    "holdout R2 0.838 (0.826 to 0.850): far above zero, and so is CV R2 0.842",
                    "the permutation test against the mean predictor: p < 0.001 for 4 families",
                ),
                p_value=0.0004,
            )
            comparisons = (
                pair("catboost", "lightgbm", 0.002, "tie"),
                pair("catboost", "xgboost", 0.013, "better"),
                pair("catboost", "neural_net", 0.07, "better"),
            )
        case "none":
            r2 = {name: 0.0004 - 0.0009 * i for i, name in enumerate(R2)}
            winner, headline = None, "No signal: nothing here predicts draw"
            target, path = "draw", "draws.parquet"
            features = tuple(f"score_{i:02}" for i in range(24))
            kinds = ("numeric",) * 24
            signal = Signal(
                verdict="none",
                reasons=("the best family, catboost, has CV R2 0.0004 (-0.0036 to 0.0044)",),
                p_value=0.44,
            )
            comparisons = ()
        case _:
            r2, winner = dict.fromkeys(R2, 0.9997), "xgboost"
            headline = "Leaked: price_in_cents gives price away"
            target, path = "price", "sales.csv"
            features, kinds = ("price_in_cents", *FEATURES), ("numeric", *KINDS)
            signal = Signal(
                verdict="leaked",
                reasons=("price_in_cents is the target on another scale (correlation 1.0000)",),
                leaked_features=("price_in_cents",),
                exclude_features=("price_in_cents",),
                p_value=0.0002,
            )
            comparisons = ()
    families = {}
    for name in R2:
        findings, severity, dead = (), "ok", 6.0
        if name == "neural_net" and kind == "none":
            findings, severity, dead = (DEAD, OVERFIT), "critical", 61.0
        elif name == "xgboost" and kind == "strong":
            findings, severity = (OVERFIT,), "warning"
        leak = 0 if kind == "leaked" else None
        families[name] = family(rng, name, r2[name], features, findings, severity, dead, leak)
    made = TrainingDiagnostics(
        run_id=f"20261122-0200{len(kind):02}-ab12",
        created_at=datetime(2026, 11, 22, 2, 14, tzinfo=UTC),
        headline=headline,
        collected=True,
        winner=winner,
        signal=signal,
        families=families,
        comparisons=comparisons,
        table=TableFacts(
            path=path,
            rows=20_640,
            feature_names=features,
            kinds=kinds,
            target_name=target,
            target=histogram(rng.gamma(3, 70_000, 5000)),
            target_mean=206_855.8,
            target_sd=SD,
            search_rows=16_512,
            holdout_rows=4_128,
            folds=5,
            split="random",
            fingerprint="5f2d9c1e0a7b4488",
        ),
        run=RunFacts(
            step=5,
            attempt=1,
            params={"survivors": path, "target": target, "trials": 40, "exclude_features": []},
            versions={"catboost": "1.2.10", "torch": "2.13.0", "watcher": "0.1.0"},
            devices=("cpu-slot-0", "cpu-slot-1"),
            seconds={"read": 0.8, "search": 412.0, "final fits": 24.0, "report": 1.1},
            splits_fingerprint="c0ffee1122334455",
        ),
        notes=(
            Note(level="info", code="missing_values", message="total_bedrooms: 207 are missing"),
            Note(level="warning", code="duplicate_rows", message="14 rows equal an earlier one"),
        ),
    )
    return made.model_copy(update=changes)


@pytest.fixture(scope="module")
def made() -> Callable[..., TrainingDiagnostics]:
    """Diagnostics of a run: made("strong"), made("none"), made("leaked"), with fields changed."""
    return diagnostics


@pytest.fixture
def kept(folder) -> Callable[[TrainingDiagnostics], Path]:
    """Keeps diagnostics in the workspace as Step 5 does; returns the copy by run."""

    def keep(found: TrainingDiagnostics) -> Path:
        text = found.model_dump_json(indent=1)
        outputs = folder.root / "diagnostics_outputs"
        (outputs / "history").mkdir(parents=True, exist_ok=True)
        (outputs / "training_diagnostics.json").write_text(text)
        copy = outputs / "history" / f"{found.run_id}.json"
        copy.write_text(text)
        return copy

    return keep
