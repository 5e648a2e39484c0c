"""Say what each family came to: its status, its counts, its scores, and how healthy it is."""

from __future__ import annotations

from collections import Counter

from gpu.params import Family
from gpu.protocol import FitDone, TrainFailed
from steps.contract import FamilyResult
from steps.contract.diagnostics import FamilyDiagnostics
from steps.policies import Policy
from steps.step5_training.diagnosis.family import findings_as_notes, severity_of
from steps.step5_training.diagnosis.faults import find_faults
from steps.step5_training.judged import Judged
from steps.step5_training.settings import Settings
from steps.step5_training.studies import Studies
from steps.step5_training.study import FamilyStudy


def family_results(
    studies: Studies, judged: Judged, settings: Settings
) -> dict[Family, FamilyResult]:
    """Every family that was asked for, in that order; their health is not judged yet."""
    results: dict[Family, FamilyResult] = {}
    for family in settings.families:
        if family in studies.skipped:
            results[family] = studies.skipped[family]
            continue
        fit = judged.comparison.fits.get(family)
        result = _counted(
            studies.by_family[family],
            fit[1] if fit else None,
            judged.comparison.training_s[family],
            skipped=judged.comparison.switched_off.get(family),
        )
        results[family] = _scored(result, family, judged)
    return results


def with_health(result: FamilyResult, health: FamilyDiagnostics) -> FamilyResult:
    """The result with the severity of its diagnostics, and their findings as notes."""
    notes = findings_as_notes(health.findings)
    return result.model_copy(update={"severity": health.severity, "notes": notes})


def stopped_results(studies: Studies, reason: str, policy: Policy) -> dict[Family, FamilyResult]:
    """What the families had come to when people ended the run."""
    results: dict[Family, FamilyResult] = {}
    for family, study in studies.by_family.items():
        result = _counted(study, None, 0.0, stopped=reason)
        faults = find_faults(study, None, policy.metric_bounds.diverged_trial_pct)
        severity = severity_of(result.status, faults)
        changes = {"severity": severity, "notes": findings_as_notes(faults)}
        results[family] = result.model_copy(update=changes)
    return {**results, **studies.skipped}


def _scored(result: FamilyResult, family: Family, judged: Judged) -> FamilyResult:
    if result.status != "complete":
        return result
    if judged.cv is None or judged.holdout is None or family not in judged.cv.scores:
        lost = "its out-of-fold predictions are gone, so it cannot be scored"
        return result.model_copy(update={"status": "failed", "error": lost})
    scores = {"cv": judged.cv.scores[family], "holdout": judged.holdout.scores[family]}
    return result.model_copy(update=scores)


def _counted(
    study: FamilyStudy,
    fit: FitDone | TrainFailed | None,
    training_s: float,
    *,
    skipped: str | None = None,
    stopped: str | None = None,
) -> FamilyResult:
    finished = study.finished
    states = Counter(trial.state.name for trial in finished)
    best = study.best
    error = skipped or stopped
    if error is None and not isinstance(fit, FitDone):
        error = _why_no_model(study, fit)
    # A finalist that was cut off was not left out because it was behind.
    cut_off = study.cut_off
    pruned = [t for t in finished if t.state.name == "PRUNED" and t.position not in cut_off]
    status = "complete" if error is None else "failed"
    if skipped or stopped:
        status = "skipped" if skipped else "stopped"
    return FamilyResult.model_validate(
        {
            "status": status,
            "trials_complete": states["COMPLETE"],
            "trials_pruned": states["PRUNED"],
            "trials_failed": states["FAIL"],
            "folds_fitted": sum(len(trial.scores) for trial in finished),
            "folds_pruned": sum(study.n_folds - len(t.scores) for t in pruned),
            "best_trial": best.position if best else None,
            "params": best.record if best else None,
            "training_s": round(training_s, 2),
            "error": error,
        }
    )


def _why_no_model(study: FamilyStudy, fit: FitDone | TrainFailed | None) -> str:
    if isinstance(fit, TrainFailed):
        return f"the final fit failed: {fit.kind}: {fit.message}"
    if study.best is not None:
        return study.stopped or "the final fit did not run"
    failures = [trial.failure for trial in study.finished if trial.failure]
    if study.stopped is not None or study.search_ended is not None:
        return study.stopped or study.search_ended or ""
    return f"every trial failed; {failures[-1]}" if failures else "no trial was finished"
