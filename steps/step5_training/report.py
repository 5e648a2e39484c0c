"""Turn what a run came to into files and a StepResult."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from gpu.params import CHECKPOINT_FORMATS, Family
from gpu.protocol import FitDone, TrainFailed
from steps.artifacts import (
    SIDECAR,
    keep_last_versions,
    publish,
    version_folder,
    version_in_force,
)
from steps.contract import FamilyResult, Note, Output, StepRequest, StepResult
from steps.files import sha256_file
from steps.policies import Policy
from steps.step5_training.comparison import TIME_IS_UP
from steps.step5_training.diagnostics import DIAGNOSTICS_OFF, FoldCurve, write_diagnostics
from steps.step5_training.findings import findings
from steps.step5_training.gate import asks_first
from steps.step5_training.judged import Judged
from steps.step5_training.models import AGENT, checkpoint_in, copy_winner, store_model
from steps.step5_training.orders import LAST_TRIAL
from steps.step5_training.settings import Settings
from steps.step5_training.skip_registry import count_run, registry_file
from steps.step5_training.studies import Studies
from steps.step5_training.study import FamilyStudy
from steps.step5_training.wording import (
    headline,
    placement_notes,
    pruning_note,
    resolution_note,
    result_error,
    result_status,
    what_next,
)
from steps.tables import Table


def halted_result(
    request: StepRequest, reason: str, studies: Studies, placement: Sequence[str]
) -> StepResult:
    """The result of a run that people stopped: finished trials are kept in the studies."""
    by_family = studies.by_family.items()
    done = sum(len(study.finished) for _, study in by_family)
    again = "go on where it stopped: watcher --run-pipeline --resume"
    allow = "first set training.stop_after_trial to false in watcher_policies.json"
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="halted",
        headline=f"Stopped: {reason}. {done} finished trials are kept.",
        families={
            **{f: _family_result(s, None, 0.0, stopped=reason) for f, s in by_family},
            **studies.skipped,
        },
        notes=(*studies.notes, *placement_notes(placement)),
        what_next=(allow, again) if reason == LAST_TRIAL else (again,),
    )


def publish_run(
    request: StepRequest,
    policy: Policy,
    settings: Settings,
    table: Table,
    studies: Studies,
    judged: Judged,
    now: datetime,
) -> StepResult:
    """Write checkpoints, sidecars and diagnostics; put the models in force; say what happened."""
    workspace = Path(request.workspace)
    diagnosed = policy.training.diagnostics
    families = _families(studies, judged, settings, diagnosed=diagnosed)
    notes = (
        *studies.notes,
        *judged.notes,
        *pruning_note(families),
        *resolution_note(studies.by_family.values()),
        *([] if diagnosed else [DIAGNOSTICS_OFF]),
        *count_families(request, families, policy, now),
    )
    outputs: list[Path] = []
    withheld, before, awaiting = False, None, None
    if judged.best is not None and judged.signal is not None:
        withheld = judged.signal.verdict == "leaked" and not policy.publish.leaked
        before = version_in_force(workspace, AGENT)
        folder = version_folder(workspace, AGENT, request.run_id, request.attempt)
        for family, (job, outcome) in judged.comparison.fits.items():
            if isinstance(outcome, FitDone) and families[family].cv is not None:
                store_model(folder / family, request.run_id, table, judged, family, job, outcome)
        copy_winner(folder, judged.best)
        if not withheld:
            awaiting = asks_first(workspace, AGENT, folder, policy)
        if withheld or awaiting is not None:
            keep_last_versions(workspace, folder)
        else:
            publish(workspace, AGENT, folder)
            folder = workspace / "models" / AGENT
        outputs = [folder / SIDECAR, folder / f"best_model.{CHECKPOINT_FORMATS[judged.best]}"]
        families = {
            name: result.model_copy(
                update={"checkpoint": _shown(checkpoint_in(folder / name, name), workspace)}
            )
            if result.status == "complete"
            else result
            for name, result in families.items()
        }
    outputs.append(
        write_diagnostics(
            workspace,
            request.run_id,
            families,
            {family: _folds(study) for family, study in studies.by_family.items()},
            collected=diagnosed,
            winner=judged.winner,
            signal=judged.signal,
            notes=notes,
        )
    )
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status=result_status(judged),
        headline=headline(judged, families, table.target, withheld=withheld, awaiting=awaiting),
        outputs=tuple(
            Output(path=_shown(p, workspace), sha256=sha256_file(p), bytes=p.stat().st_size)
            for p in outputs
        ),
        families=dict(families),
        winner=judged.winner,
        signal=judged.signal,
        notes=notes,
        what_next=what_next(judged, before, request.run_id, withheld=withheld, awaiting=awaiting),
        awaiting=awaiting,
        error=result_error(judged, families),
    )


def count_families(
    request: StepRequest, families: Mapping[Family, FamilyResult], policy: Policy, now: datetime
) -> tuple[Note, ...]:
    """Count the run in the skip registry; returns what people should know of it."""
    # A budget that people made too short says nothing of a family's health.
    counted: dict[str, FamilyResult] = {
        name: result for name, result in families.items() if result.error != TIME_IS_UP
    }
    file = registry_file(Path(request.workspace))
    return count_run(file, request.run_id, counted, policy.skip, now)


def _families(
    studies: Studies, judged: Judged, settings: Settings, *, diagnosed: bool
) -> dict[Family, FamilyResult]:
    results: dict[Family, FamilyResult] = {}
    for family in settings.families:
        if family in studies.skipped:
            results[family] = studies.skipped[family]
            continue
        fit = judged.comparison.fits.get(family)
        result = _family_result(
            studies.by_family[family],
            fit[1] if fit else None,
            judged.comparison.training_s[family],
            skipped=judged.comparison.switched_off.get(family),
        )
        result = _scored(result, family, judged)
        if not diagnosed and result.severity == "ok":
            result = result.model_copy(update={"severity": "warning"})  # nobody has looked
        results[family] = result
    return results


def _scored(result: FamilyResult, family: Family, judged: Judged) -> FamilyResult:
    if result.status != "complete":
        return result
    if judged.cv is None or judged.holdout is None or family not in judged.cv.scores:
        lost = "its out-of-fold predictions are gone, so it cannot be scored"
        return result.model_copy(update={"status": "failed", "severity": "critical", "error": lost})
    scores = {"cv": judged.cv.scores[family], "holdout": judged.holdout.scores[family]}
    return result.model_copy(update=scores)


def _family_result(
    study: FamilyStudy,
    fit: FitDone | TrainFailed | None,
    training_s: float,
    *,
    skipped: str | None = None,
    stopped: str | None = None,
) -> FamilyResult:
    finished = study.finished
    states = Counter(trial.state.name for trial in finished)
    notes = findings(study, fit)
    best = study.best
    error = skipped or stopped
    if error is None and not isinstance(fit, FitDone):
        error = _why_no_model(study, fit)
    folds_fitted = sum(len(trial.scores) for trial in finished)
    pruned = [trial for trial in finished if trial.state.name == "PRUNED"]
    n_folds = len(best.scores) if best else 0
    status = "complete" if error is None else "failed"
    if skipped or stopped:
        status = "skipped" if skipped else "stopped"
    return FamilyResult.model_validate(
        {
            "status": status,
            "severity": _severity(status, notes),
            "trials_complete": states["COMPLETE"],
            "trials_pruned": states["PRUNED"],
            "trials_failed": states["FAIL"],
            "folds_fitted": folds_fitted,
            "folds_pruned": sum(n_folds - len(trial.scores) for trial in pruned),
            "best_trial": best.position if best else None,
            "params": best.record if best else None,
            "training_s": round(training_s, 2),
            "error": error,
            "notes": notes,
        }
    )


def _why_no_model(study: FamilyStudy, fit: FitDone | TrainFailed | None) -> str:
    if isinstance(fit, TrainFailed):
        return f"the final fit failed: {fit.kind}: {fit.message}"
    if study.best is not None:
        return study.stopped or "the final fit did not run"
    failures = [trial.failure for trial in study.finished if trial.failure]
    if study.stopped is not None:
        return study.stopped
    return f"every trial failed; {failures[-1]}" if failures else "no trial was finished"


def _severity(status: str, notes: Sequence[Note]) -> str:
    grave = status == "complete" and any(note.level == "critical" for note in notes)
    if grave or status == "failed":
        return "critical"
    return "warning" if notes else "ok"


def _folds(study: FamilyStudy) -> tuple[FoldCurve, ...]:
    if study.best is None:
        return ()
    return tuple(
        FoldCurve(
            fold=score.fold,
            r2=score.r2,
            train_mse=score.train_mse,
            val_mse=score.val_mse,
            best_round=score.best_round,
            rounds_run=score.rounds_run,
        )
        for score in study.best.scores
    )


def _shown(path: Path, workspace: Path) -> str:
    return str(path.relative_to(workspace))
