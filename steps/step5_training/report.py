"""Turn what a run came to into files and a StepResult."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from gpu.params import CHECKPOINT_FORMATS, Family
from gpu.protocol import FinalFit, FitDone, TrainFailed
from steps import __version__
from steps.artifacts import (
    SIDECAR,
    Sidecar,
    feature_schema_hash,
    publish,
    version_folder,
    write_sidecar,
)
from steps.contract import FamilyResult, Note, Output, Signal, StepError, StepRequest, StepResult
from steps.files import sha256_file
from steps.policies import Policy
from steps.step5_training.diagnostics import FoldCurve, write_diagnostics
from steps.step5_training.evaluate import Evaluation
from steps.step5_training.scheduler import Comparison
from steps.step5_training.settings import Settings
from steps.step5_training.studies import Studies
from steps.step5_training.study import FamilyStudy
from steps.tables import Table

AGENT = "reinforcement"


@dataclass(frozen=True, slots=True)
class Judged:
    """The comparison with its scores, and a verdict on each family that has a model.

    Where none has, winner, cv and holdout are None.
    """

    comparison: Comparison
    notes: tuple[Note, ...]
    cv: Evaluation | None = None
    holdout: Evaluation | None = None
    winner: Family | None = None
    signals: Mapping[str, Signal] = field(default_factory=dict)

    @property
    def signal(self) -> Signal | None:
        """The verdict on the winner."""
        return None if self.winner is None else self.signals[self.winner]


def halted_result(request: StepRequest, reason: str, studies: Studies) -> StepResult:
    """The result of a run that people stopped: finished trials are kept in the studies."""
    done = sum(len(study.finished) for study in studies.by_family.values())
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="halted",
        headline=f"Stopped: {reason}. {done} finished trials are kept.",
        families={f: _family_result(s, None, None, 0.0) for f, s in studies.by_family.items()},
        notes=studies.notes,
        what_next=('go on where it stopped: the same command with "resume": true in --params',),
    )


def publish_run(
    request: StepRequest,
    policy: Policy,
    settings: Settings,
    table: Table,
    studies: Studies,
    judged: Judged,
) -> StepResult:
    """Write checkpoints, sidecars and diagnostics; put the models in force; say what happened."""
    workspace = Path(request.workspace)
    families = _families(studies, judged, settings)
    notes = (*studies.notes, *judged.notes)
    outputs: list[Path] = []
    withheld = False
    if judged.winner is not None and judged.signal is not None:
        withheld = judged.signal.verdict == "leaked" and not policy.publish.leaked
        folder = version_folder(workspace, request.run_id)
        for family, (job, outcome) in judged.comparison.fits.items():
            if isinstance(outcome, FitDone) and families[family].cv is not None:
                _store(folder / family, request, table, judged, family, job, outcome)
        _copy_winner(folder, judged.winner)
        if not withheld:
            publish(workspace, AGENT, folder)
            folder = workspace / "models" / AGENT
        outputs = [folder / SIDECAR, folder / f"best_model.{CHECKPOINT_FORMATS[judged.winner]}"]
        families = {
            name: result.model_copy(
                update={"checkpoint": _shown(_checkpoint(folder / name, name), workspace)}
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
            winner=judged.winner,
            signal=judged.signal,
            notes=notes,
        )
    )
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status=_result_status(judged),
        headline=_headline(judged, families, table.target, withheld=withheld),
        outputs=tuple(
            Output(path=_shown(p, workspace), sha256=sha256_file(p), bytes=p.stat().st_size)
            for p in outputs
        ),
        families=families,
        winner=judged.winner,
        signal=judged.signal,
        notes=notes,
        what_next=_what_next(judged, withheld=withheld),
        error=_error(judged, families),
    )


def _families(studies: Studies, judged: Judged, settings: Settings) -> dict[str, FamilyResult]:
    results: dict[str, FamilyResult] = {}
    for family in settings.families:
        if family in studies.skipped:
            reason = studies.skipped[family]
            results[family] = FamilyResult(status="skipped", error=reason)
            continue
        fit = judged.comparison.fits.get(family)
        off = judged.comparison.switched_off.get(family)
        study = studies.by_family[family]
        result = _family_result(
            study, fit[1] if fit else None, off, judged.comparison.training_s[family]
        )
        if result.status == "complete" and judged.cv is not None and judged.holdout is not None:
            scored = {
                "cv": judged.cv.scores.get(family),
                "holdout": judged.holdout.scores.get(family),
            }
            result = result.model_copy(update=scored)
        results[family] = result
    return results


def _family_result(
    study: FamilyStudy, fit: FitDone | TrainFailed | None, off: str | None, training_s: float
) -> FamilyResult:
    finished = study.finished
    states = Counter(trial.state.name for trial in finished)
    notes = _findings(study)
    best = study.best
    error = off
    if error is None and not isinstance(fit, FitDone):
        error = _why_no_model(study, fit)
    folds_fitted = sum(len(trial.scores) for trial in finished)
    pruned = [trial for trial in finished if trial.state.name == "PRUNED"]
    n_folds = len(best.scores) if best else 0
    status = "skipped" if off else "complete" if error is None else "failed"
    return FamilyResult.model_validate(
        {
            "status": status,
            "severity": "critical" if status == "failed" else "warning" if notes else "ok",
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


def _findings(study: FamilyStudy) -> list[Note]:
    failed = [trial for trial in study.finished if trial.failure]
    if not failed:
        return []
    message = (
        f"{len(failed)} of {len(study.finished)} trials failed; the last: {failed[-1].failure}"
    )
    return [Note(level="warning", code="trials_failed", message=message)]


def _store(
    folder: Path,
    request: StepRequest,
    table: Table,
    judged: Judged,
    family: Family,
    job: FinalFit,
    outcome: FitDone,
) -> None:
    assert judged.cv is not None  # noqa: S101  # a family with a model has scores
    assert judged.holdout is not None  # noqa: S101
    folder.mkdir()
    checkpoint = _checkpoint(folder, family)
    shutil.copyfile(job.checkpoint_path, checkpoint)
    path = Path("models") / AGENT / family / checkpoint.name
    write_sidecar(
        Sidecar(
            run_id=request.run_id,
            created_at=datetime.now(UTC),
            model_type=family,
            checkpoint_path=str(path),
            checkpoint_format=CHECKPOINT_FORMATS[family],
            checkpoint_sha256=outcome.checkpoint_sha256,
            target=table.target,
            feature_names=table.feature_names,
            feature_schema_hash=feature_schema_hash(table.feature_names),
            preprocessing={
                "table": table.schema.model_dump(mode="json"),
                "kinds": table.kinds,
                "levels": [int(n) for n in table.levels],
                "model": outcome.preprocessing,
            },
            params=job.params,
            rounds=job.rounds,
            versions={family: outcome.library_version, "watcher": __version__},
            metrics={
                "cv": judged.cv.scores[family],
                "holdout": judged.holdout.scores[family],
            },
            signal=judged.signals[family],
        ),
        folder,
    )


def _copy_winner(folder: Path, winner: Family) -> None:
    """The winner's two files also lie at the top, under the names that other programs read."""
    own = folder / winner
    sidecar = Sidecar.model_validate_json((own / SIDECAR).read_bytes())
    checkpoint = _checkpoint(own, winner)
    os.link(checkpoint, folder / checkpoint.name)
    top = Path("models") / AGENT / checkpoint.name
    write_sidecar(sidecar.model_copy(update={"checkpoint_path": str(top)}), folder)


def _checkpoint(folder: Path, family: str) -> Path:
    return folder / f"best_model.{CHECKPOINT_FORMATS[family]}"  # type: ignore[index]


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


def _result_status(judged: Judged) -> Literal["complete", "failed", "no_signal"]:
    if judged.signal is None:
        return "failed"
    return "no_signal" if judged.signal.verdict == "none" else "complete"


def _error(judged: Judged, families: dict[str, FamilyResult]) -> StepError | None:
    if judged.signal is not None:
        return None
    if all(result.status == "skipped" for result in families.values()):
        return StepError(kind="blocked", message="every family is switched off by policy")
    reasons = "; ".join(f"{name}: {result.error}" for name, result in families.items())
    kind = "out_of_memory" if all("oom: " in (r.error or "") for r in families.values()) else None
    return StepError(kind=kind or "internal", message=f"no family has a model: {reasons}")


def _headline(
    judged: Judged, families: dict[str, FamilyResult], target: str, *, withheld: bool
) -> str:
    signal, winner = judged.signal, judged.winner
    if signal is None or winner is None:
        error = _error(judged, families)
        return f"Step 5 failed: {error.message if error else 'no family has a model'}"
    match signal.verdict:
        case "none":
            return (
                f"No signal: nothing here predicts {target} reliably better than its mean. "
                f"{signal.reasons[0]}."
            )
        case "leaked":
            fate = "The winner is not published." if withheld else "Published by consent of policy."
            return f"Leaked: {signal.reasons[0]}. {fate}"
        case _:
            result = families[winner]
            assert result.cv is not None  # noqa: S101  # the winner has scores
            assert result.holdout is not None  # noqa: S101
            return (
                f"Signal {signal.verdict}. {winner} wins: R2 {result.cv.r2.value:.4f} in "
                f"cross-validation, {result.holdout.r2.value:.4f} on the holdout."
            )


def _what_next(judged: Judged, *, withheld: bool) -> tuple[str, ...]:
    if judged.signal is None:
        return ()
    match judged.signal.verdict:
        case "none":
            return ("look for other features, or more rows; predictions are refused meanwhile",)
        case "leaked" if judged.signal.leaked_features:
            names = json.dumps(list(judged.signal.leaked_features))
            lines = [f'rerun without them: add "exclude_features": {names} to --params']
            if withheld:
                lines.append("or set publish.leaked to true in watcher_policies.json")
            return tuple(lines)
        case "leaked":
            return ("find the feature that knows the target, and exclude it",)
        case _:
            return ("watcher --predict NEW_ROWS.csv --output predictions.csv",)


def _shown(path: Path, workspace: Path) -> str:
    return str(path.relative_to(workspace))
