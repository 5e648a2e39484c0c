"""Turn what a run came to into files and a StepResult."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from gpu.params import CHECKPOINT_FORMATS, Family
from gpu.protocol import FitDone
from steps.artifacts import (
    SIDECAR,
    keep_last_versions,
    publish,
    version_folder,
    version_in_force,
)
from steps.contract import FamilyResult, Note, Output, StepRequest, StepResult
from steps.contract.diagnostics import TrainingDiagnostics
from steps.files import sha256_file
from steps.policies import Policy
from steps.step5_training.comparison import TIME_IS_UP
from steps.step5_training.diagnosis.document import (
    DIAGNOSTICS_OFF,
    run_facts,
    table_facts,
    write_document,
    write_parts,
)
from steps.step5_training.diagnosis.family import diagnose_all
from steps.step5_training.diagnosis.trial_history import thinned_note
from steps.step5_training.folds import Splits
from steps.step5_training.gate import asks_first
from steps.step5_training.judged import Judged
from steps.step5_training.models import AGENT, checkpoint_in, copy_winner, store_model
from steps.step5_training.orders import LAST_TRIAL
from steps.step5_training.results import family_results, stopped_results, with_health
from steps.step5_training.settings import Settings
from steps.step5_training.skip_registry import count_run, registry_file
from steps.step5_training.studies import Studies
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
    request: StepRequest,
    reason: str,
    studies: Studies,
    placement: Sequence[str],
    policy: Policy,
) -> StepResult:
    """The result of a run that people stopped: finished trials are kept in the studies."""
    done = sum(len(study.finished) for study in studies.by_family.values())
    again = "go on where it stopped: watcher --run-pipeline --resume"
    allow = "first set training.stop_after_trial to false in watcher_policies.json"
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status="halted",
        headline=f"Stopped: {reason}. {done} finished trials are kept.",
        families=dict(stopped_results(studies, reason, policy)),
        notes=(*studies.notes, *placement_notes(placement)),
        what_next=(allow, again) if reason == LAST_TRIAL else (again,),
    )


def publish_run(
    request: StepRequest,
    policy: Policy,
    settings: Settings,
    table: Table,
    splits: Splits,
    studies: Studies,
    judged: Judged,
    now: datetime,
    seconds: Mapping[str, float],
) -> StepResult:
    """Write checkpoints, sidecars and diagnostics; put the models in force; say what happened.

    seconds: wall time of the step until now, by phase.
    """
    workspace = Path(request.workspace)
    results = family_results(studies, judged, settings)
    health = diagnose_all(results, studies, judged, table, splits, settings, policy)
    families = {name: with_health(result, health[name]) for name, result in results.items()}
    notes = (
        *studies.notes,
        *judged.notes,
        *pruning_note(families),
        *resolution_note(studies.by_family.values()),
        *([] if policy.training.diagnostics else [DIAGNOSTICS_OFF]),
        *count_families(request, families, policy, now),
    )
    outputs: list[Path] = []
    withheld, before, awaiting = False, None, None
    if judged.best is not None and judged.signal is not None:
        withheld = judged.signal.verdict == "leaked" and not policy.publish.leaked
        before = version_in_force(workspace, AGENT)
        version = version_folder(workspace, AGENT, request.run_id, request.attempt)
        for family, (job, outcome) in judged.comparison.fits.items():
            if isinstance(outcome, FitDone) and families[family].cv is not None:
                store_model(version / family, request.run_id, table, judged, family, job, outcome)
        copy_winner(version, judged.best)
        if not withheld:
            awaiting = asks_first(workspace, AGENT, version, policy)
        stays = withheld or awaiting is not None
        folder = version if stays else workspace / "models" / AGENT
        for name, result in families.items():
            if result.status == "complete":
                path = {"checkpoint": _shown(checkpoint_in(folder / name, name), workspace)}
                families[name] = result.model_copy(update=path)
                health[name] = health[name].model_copy(update=path)
        write_parts(version, request.run_id, table.feature_names, health, judged.best)
        if stays:
            keep_last_versions(workspace, version)
        else:
            publish(workspace, AGENT, version)
        outputs = [folder / SIDECAR, folder / f"best_model.{CHECKPOINT_FORMATS[judged.best]}"]
    said = headline(judged, families, table.target, withheld=withheld, awaiting=awaiting)
    shown = thinned_note({name: len(s.finished) for name, s in studies.by_family.items()})
    document = TrainingDiagnostics(
        run_id=request.run_id,
        created_at=now.astimezone(UTC),
        headline=said,
        collected=policy.training.diagnostics,
        winner=judged.winner,
        signal=judged.signal,
        families=dict(health),
        comparisons=judged.comparisons,
        table=table_facts(table, splits, settings, workspace),
        run=run_facts(request, settings, splits, judged.comparison.fits, health, seconds),
        notes=(*notes, *shown),
    )
    outputs.append(write_document(workspace, document))
    return StepResult(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        status=result_status(judged),
        headline=said,
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


def _shown(path: Path, workspace: Path) -> str:
    return str(path.relative_to(workspace))
