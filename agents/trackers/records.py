"""Turn training diagnostics into what trackers keep: series of numbers, single numbers, texts.

Names are alike in all trackers: what is measured, "/", of what. The fold or the layer comes last,
so that a tracker puts the curves that belong together side by side.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.secrets import mask, mask_text
from steps.contract import Estimate, Scores
from steps.contract.diagnostics import FamilyDiagnostics, TrainingDiagnostics


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers in order. steps: rounds, epochs, folds or trials; values: one a step."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FamilyRecords:
    """One family. params: as its trainer got them; texts: Markdown by name."""

    family: str
    params: dict[str, Any]
    numbers: dict[str, float]
    series: tuple[Series, ...]
    texts: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class RunRecords:
    """A run. numbers: the winner's scores, so that runs can be compared; params: of the step."""

    run_id: str
    created_at: datetime
    headline: str
    params: dict[str, Any]
    numbers: dict[str, float]
    tags: dict[str, str]
    families: tuple[FamilyRecords, ...]


def run_records(found: TrainingDiagnostics, secrets: Collection[str] = ()) -> RunRecords:
    """Everything that trackers keep of a run; families that never trained are left out.

    secrets: texts that nothing of it may hold, beside those of a known shape.
    """
    families = tuple(
        _family(found, name, family, secrets)
        for name, family in found.families.items()
        if family.status != "skipped"
    )
    winner = found.families.get(found.winner) if found.winner else None
    tags = {
        "watcher.run_id": found.run_id,
        "watcher.winner": found.winner or "none",
        "watcher.verdict": found.signal.verdict if found.signal else "unknown",
    }
    if found.table is not None:
        tags |= {"watcher.table": found.table.path, "watcher.target": found.table.target_name}
    return RunRecords(
        run_id=found.run_id,
        created_at=found.created_at,
        headline=mask_text(found.headline, secrets),
        params=mask(found.run.params, "", secrets) if found.run is not None else {},
        numbers=_scores(winner) if winner is not None else {},
        tags=tags,
        families=families,
    )


def param_text(value: Any) -> str:
    """A parameter's value as trackers keep it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _family(
    found: TrainingDiagnostics, name: str, family: FamilyDiagnostics, secrets: Collection[str]
) -> FamilyRecords:
    numbers = _scores(family)
    numbers |= {f"health/{metric}": value for metric, value in family.metrics.items()}
    numbers |= {f"seconds/{phase}": value for phase, value in family.seconds.items()}
    numbers |= {f"param_importance/{param}": v for param, v in family.parameter_importance.items()}
    for where, peak in (("rss", family.peak_rss_mib), ("vram", family.peak_vram_mib)):
        if peak is not None:
            numbers[f"memory/peak_{where}_mib"] = peak
    tags = {
        "watcher.run_id": found.run_id,
        "watcher.family": name,
        "watcher.severity": family.severity,
        "watcher.status": family.status,
        "watcher.is_winner": "true" if name == found.winner else "false",
    }
    return FamilyRecords(
        family=name,
        params=mask(family.params or {}, "", secrets),
        numbers=numbers,
        series=tuple(_series(family)),
        texts={k: mask_text(text, secrets) for k, text in _texts(found, family).items()},
        tags=tags,
    )


def _scores(family: FamilyDiagnostics) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for part, scores in (("cv", family.cv), ("holdout", family.holdout)):
        for name, estimate in _estimates(scores):
            numbers[f"{part}/{name}"] = estimate.value
            if estimate.ci95 is not None:
                numbers[f"{part}/{name}_low"], numbers[f"{part}/{name}_high"] = estimate.ci95
    return numbers


def _estimates(scores: Scores | None) -> Iterator[tuple[str, Estimate]]:
    for name in Scores.model_fields:
        estimate = getattr(scores, name, None)
        if estimate is not None:
            yield name, estimate


def _series(family: FamilyDiagnostics) -> Iterator[Series]:
    curves = [*family.curves, *([family.final_curve] if family.final_curve else [])]
    for curve in curves:
        of = "final_fit" if curve.fold is None else f"fold_{curve.fold}"
        yield Series(f"train_mse/{of}", curve.rounds, curve.train)
        if curve.validation is not None:
            yield Series(f"validation_mse/{of}", curve.rounds, curve.validation)
    if family.folds:
        folds = tuple(fold.fold for fold in family.folds)
        for name in ("r2", "train_mse", "val_mse", "best_round"):
            values = tuple(float(getattr(fold, name)) for fold in family.folds)
            yield Series(f"folds/{name}", folds, values)
    scored = [(trial.position, trial.score) for trial in family.trials if trial.score is not None]
    if scored:
        positions, scores = zip(*scored, strict=True)
        yield Series("trials/score", positions, scores)
    if family.network is not None:
        for layer in family.network.layers:
            for name in ("gradient_norm", "weight_norm", "activation_mean", "activation_std"):
                values = getattr(layer, name)
                yield Series(f"{name}/{layer.name}", family.network.epochs, values)
            if layer.dead_pct is not None:
                yield Series(f"dead_pct/{layer.name}", family.network.epochs, layer.dead_pct)


def _texts(found: TrainingDiagnostics, family: FamilyDiagnostics) -> dict[str, str]:
    texts = {"headline": found.headline}
    if family.params is not None:
        # As a block of code: nothing in it is Markdown.
        lines = json.dumps(family.params, indent=1, ensure_ascii=False, default=str).splitlines()
        texts["params"] = "\n".join(f"    {line}" for line in lines)
    findings = [f"- {finding.level}: {finding.message}" for finding in family.findings]
    texts["findings"] = "\n".join(findings) or f"- {family.severity}: nothing was found"
    if family.error:
        texts["error"] = "\n".join(f"    {line}" for line in family.error.splitlines())
    if family.absent:
        texts["not known"] = "\n".join(f"- {sentence}" for sentence in family.absent)
    return texts
