"""Take the secrets out of what a run and its steps say, before any view or document shows it.

A step may quote its parameters in every sentence that it writes; its result stays as it wrote it,
in a file that only its owner may read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.attempt import Attempted
from agents.decide import Decision
from agents.health import Verdict
from agents.parameters import masked_parameters
from agents.run import RunReport, StepReport
from agents.secrets import mask, mask_text, secrets_in
from steps.contract import REQUEST_FILE, Note, Progress, StepRequest, StepResult


def masked_report(report: RunReport) -> RunReport:
    """A run as it may be shown: no parameter's secret is in any of its sentences."""
    secrets = frozenset[str]().union(
        *(
            secrets_in({p.name: p.value for p in attempt.spec.parameters})
            for step in report.steps
            for attempt in step.attempts
        )
    )
    return replace(
        report,
        message=mask_text(report.message, secrets),
        steps=tuple(_step(step, secrets) for step in report.steps),
        events=tuple((code, mask_text(said, secrets)) for code, said in report.events),
    )


def masked_result(result: StepResult, secrets: Collection[str]) -> StepResult:
    """What a step says of itself, as it may be shown. Names, numbers and paths stay."""
    families = {
        name: family.model_copy(
            update={
                "error": family.error and mask_text(family.error, secrets),
                "notes": _notes(family.notes, secrets),
                "params": mask(family.params, "", secrets),
            }
        )
        for name, family in result.families.items()
    }
    changes: dict[str, Any] = {
        "headline": mask_text(result.headline, secrets),
        "families": families,
        "notes": _notes(result.notes, secrets),
        "what_next": _texts(result.what_next, secrets),
    }
    if result.signal is not None:
        reasons = _texts(result.signal.reasons, secrets)
        changes["signal"] = result.signal.model_copy(update={"reasons": reasons})
    if result.awaiting is not None:
        reason = mask_text(result.awaiting.reason, secrets)
        changes["awaiting"] = result.awaiting.model_copy(update={"reason": reason})
    if result.error is not None:
        said = {
            "message": mask_text(result.error.message, secrets),
            "detail": mask_text(result.error.detail, secrets),
        }
        changes["error"] = result.error.model_copy(update=said)
    return result.model_copy(update=changes)


def masked_progress(progress: Progress, secrets: Collection[str]) -> Progress:
    """A snapshot as it may be shown."""
    said = {
        "phase": mask_text(progress.phase, secrets),
        "message": mask_text(progress.message, secrets),
    }
    return progress.model_copy(update=said)


def secrets_of_attempt(folder: Path) -> frozenset[str]:
    """The secrets among the parameters of an attempt; none where its request cannot be read."""
    try:
        text = (folder / REQUEST_FILE).read_text(encoding="utf-8")
        return secrets_in(StepRequest.model_validate_json(text).params)
    except (OSError, UnicodeDecodeError, ValidationError):
        return frozenset()


def _step(report: StepReport, secrets: Collection[str]) -> StepReport:
    return replace(
        report,
        attempts=tuple(_attempt(attempt, secrets) for attempt in report.attempts),
        decision=_decision(report.decision, secrets),
        earlier=report.earlier and masked_result(report.earlier, secrets),
    )


def _attempt(attempt: Attempted, secrets: Collection[str]) -> Attempted:
    return replace(
        attempt,
        spec=replace(attempt.spec, parameters=masked_parameters(attempt.spec.parameters)),
        result=attempt.result and masked_result(attempt.result, secrets),
        verdict=_verdict(attempt.verdict, secrets),
    )


def _verdict(verdict: Verdict, secrets: Collection[str]) -> Verdict:
    issues = tuple(
        replace(issue, message=mask_text(issue.message, secrets)) for issue in verdict.issues
    )
    return replace(verdict, message=mask_text(verdict.message, secrets), issues=issues)


def _decision(decision: Decision, secrets: Collection[str]) -> Decision:
    return replace(
        decision,
        reason=mask_text(decision.reason, secrets),
        passed_over=_texts(decision.passed_over, secrets),
    )


def _notes(notes: tuple[Note, ...], secrets: Collection[str]) -> tuple[Note, ...]:
    return tuple(
        note.model_copy(update={"message": mask_text(note.message, secrets)}) for note in notes
    )


def _texts(texts: tuple[str, ...], secrets: Collection[str]) -> tuple[str, ...]:
    return tuple(mask_text(text, secrets) for text in texts)
