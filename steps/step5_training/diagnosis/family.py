"""Bring together what is known of one family, and judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gpu.params import Family
from gpu.protocol import FinalFit, FitDone, TrainFailed
from steps.contract import FamilyResult, Note
from steps.contract.diagnostics import FamilyDiagnostics, Finding, FoldHealth, Residuals
from steps.policies import Policy
from steps.step5_training.diagnosis.changes import with_changes
from steps.step5_training.diagnosis.faults import absent_finding, count_kinds, find_faults
from steps.step5_training.diagnosis.metrics import (
    diverged_metrics,
    fold_metrics,
    importance_metrics,
    network_metrics,
    train_r2,
)
from steps.step5_training.diagnosis.observed import Observed, read_observed
from steps.step5_training.diagnosis.residuals import compare
from steps.step5_training.diagnosis.rules import Level, Standing, judge_metrics
from steps.step5_training.diagnosis.trial_history import parameter_importance, trial_rows
from steps.step5_training.families import SPECS
from steps.step5_training.folds import Splits
from steps.step5_training.judged import Judged
from steps.step5_training.settings import Settings
from steps.step5_training.studies import Studies
from steps.step5_training.study import FamilyStudy
from steps.tables import Table

Vector = NDArray[np.float64]
Severity = Literal["ok", "warning", "critical"]
_WORST_FIRST: tuple[Level, ...] = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What all families of a run are judged on.

    y: (n_rows,). out_of_fold, holdout: by family, (n_rows,) each, NaN where nothing is predicted.
    """

    y: Vector
    n_features: int
    splits: Splits
    out_of_fold: Mapping[str, Vector]
    holdout: Mapping[str, Vector]
    settings: Settings
    policy: Policy


def diagnose_all(
    results: Mapping[Family, FamilyResult],
    studies: Studies,
    judged: Judged,
    table: Table,
    splits: Splits,
    settings: Settings,
    policy: Policy,
) -> dict[Family, FamilyDiagnostics]:
    """Every family of the results, in their order."""
    out_of_fold, holdout = studies.predictions(judged.comparison, table.n_rows, splits.holdout_rows)
    ground = Ground(table.y, table.n_features, splits, out_of_fold, holdout, settings, policy)
    found: dict[Family, FamilyDiagnostics] = {}
    for family, result in results.items():
        if family not in studies.by_family:
            found[family] = untrained(result)
            continue
        standing = Standing(
            own=judged.signals[family].verdict if family in judged.signals else None,
            best=judged.signal.verdict if judged.signal else None,
            needs_harm=policy.health.critical_needs_harm,
        )
        fit = judged.comparison.fits.get(family)
        study = studies.by_family[family]
        found[family] = diagnose(family, result, study, fit, ground, standing)
    return found


def diagnose(
    family: Family,
    result: FamilyResult,
    study: FamilyStudy,
    fit: tuple[FinalFit, FitDone | TrainFailed] | None,
    ground: Ground,
    standing: Standing,
) -> FamilyDiagnostics:
    """Everything known of a family that has trained. result: its status and scores.

    With diagnostics off in the policy no more than its faults, and "warning" at least.
    """
    job, outcome = fit if fit is not None else (None, None)
    bounds = ground.policy.metric_bounds
    faults = find_faults(study, outcome, bounds.diverged_trial_pct)
    if not ground.policy.training.diagnostics:
        findings = _ordered(faults, family, ground)
        return FamilyDiagnostics(
            severity=_at_least_warning(severity_of(result.status, findings)),
            findings=findings,
            status=result.status,
            error=result.error,
            cv=result.cv,
            holdout=result.holdout,
            **_counts(result),
        )
    complete, best = result.status == "complete", study.best
    seen = read_observed(
        study.files.curves_path(best.position, full=best is study.confirmation) if best else None,
        tuple(score.fold for score in best.scores) if best else (),
        job if complete else None,
        ground.n_features,
    )
    metrics = _metrics(family, study, seen, ground)
    found = list(faults)
    if complete:
        found += judge_metrics(metrics, bounds, standing)
        found += [absent_finding(seen.absent)] if seen.absent else []
    findings = _ordered(found, family, ground)
    return FamilyDiagnostics(
        severity=severity_of(result.status, findings),
        findings=findings,
        status=result.status,
        error=result.error,
        cv=result.cv,
        holdout=result.holdout,
        metrics=metrics,
        folds=_folds(study),
        curves=seen.curves,
        final_curve=seen.fit.curve,
        importances=seen.fit.importances,
        attributions=seen.fit.attributions,
        network=seen.fit.network,
        residuals=_residuals(family, ground),
        trials=trial_rows(study.finished, study.ranking_folds),
        **_counts(result),
        parameter_importance=parameter_importance(study.finished, study.space, study.ranking_folds),
        params=best.record if best else None,
        rounds=job.rounds if job else None,
        folds_pruned=result.folds_pruned,
        seconds={"search": round(_search_s(study), 3), **seen.fit.seconds},
        peak_rss_mib=seen.fit.peak_rss_mib,
        peak_vram_mib=seen.fit.peak_vram_mib,
        devices=_devices(study, outcome),
        absent=seen.absent,
    )


def untrained(result: FamilyResult) -> FamilyDiagnostics:
    """Of a family that was not to train in this run."""
    return FamilyDiagnostics(
        severity=result.severity, findings=(), status=result.status, error=result.error
    )


def severity_of(status: str, findings: Sequence[Finding]) -> Severity:
    """The worst finding's, for a family that is complete; one that failed is critical.

    Of one that people skipped or stopped a finding is no more than a warning.
    """
    levels = {finding.level for finding in findings}
    if status == "failed" or (status == "complete" and "critical" in levels):
        return "critical"
    return "warning" if levels & {"critical", "warning"} else "ok"


def findings_as_notes(findings: Sequence[Finding]) -> tuple[Note, ...]:
    """The findings that a person must see: number, bound, meaning and remedy in one message."""
    return tuple(
        Note(
            level=finding.level,
            code=finding.code,
            message=f"{finding.message.rstrip('.')}. {finding.meaning} {finding.remedy}".strip(),
        )
        for finding in findings
        if finding.level != "info"
    )


def _ordered(findings: Sequence[Finding], family: Family, ground: Ground) -> tuple[Finding, ...]:
    """The worst first, each with what the policy's rules would change."""
    worst_first = sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.level))
    return with_changes(worst_first, family, ground.policy.retries.remedies, ground.settings)


def _counts(result: FamilyResult) -> dict[str, int]:
    """Of all trials: the rows of a long search are thinned."""
    return {
        "trials_complete": result.trials_complete,
        "trials_pruned": result.trials_pruned,
        "trials_failed": result.trials_failed,
    }


def _at_least_warning(severity: Severity) -> Severity:
    return "warning" if severity == "ok" else severity


def _metrics(
    family: Family, study: FamilyStudy, seen: Observed, ground: Ground
) -> dict[str, float]:
    diverged = count_kinds(study.finished)["diverged"]
    metrics = diverged_metrics(diverged, len(study.finished))
    if (best := study.best) is not None:
        most_rounds = int(best.record[SPECS[family].rounds_param])
        by_index = {fold.index: fold.train_rows for fold in ground.splits.folds}
        variances = [float(ground.y[by_index[score.fold]].var()) for score in best.scores]
        metrics |= fold_metrics(best.scores, most_rounds) | train_r2(best.scores, variances)
    metrics |= importance_metrics(seen.fit.importances) | network_metrics(seen.fit.network)
    return metrics


def _folds(study: FamilyStudy) -> tuple[FoldHealth, ...]:
    scores = study.best.scores if study.best else ()
    return tuple(FoldHealth.model_validate(score.model_dump()) for score in scores)


def _residuals(family: Family, ground: Ground) -> tuple[Residuals, ...]:
    if family not in ground.holdout:
        return ()
    seed, splits = ground.settings.seed, ground.splits
    held = compare("holdout", ground.y, ground.holdout[family], splits.holdout_rows, seed)
    folds = compare("out_of_fold", ground.y, ground.out_of_fold[family], splits.search_rows, seed)
    return tuple(part for part in (held, folds) if part is not None)


def _search_s(study: FamilyStudy) -> float:
    """Device time of its trials, those of earlier runs too where it was resumed."""
    full = study.tried_full
    return sum(t.wall_s for t in study.finished) + (full.wall_s if full else 0.0)


def _devices(study: FamilyStudy, outcome: FitDone | TrainFailed | None) -> tuple[str, ...]:
    names = [trial.device for trial in study.finished]
    names += [outcome.device] if isinstance(outcome, FitDone) else []
    return tuple(sorted({name for name in names if name}))
