"""Judge a result or diagnostics file as a run would, and say what would follow; run nothing.

Verdict and decision come from the very functions that a run uses (health, decide). What the file is
shows in its content, not in its name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from agents.bounds import Bound
from agents.decide import TRAINING_STEP, Decision, Tried, decide
from agents.errors import UsageError
from agents.health import Ending, Verdict, judge
from agents.manifests import Manifest
from agents.parameters import Given, merge_params
from agents.reports.masking import masked_result, secrets_of_attempt
from steps.contract import (
    REQUEST_FILE,
    ExitCode,
    FamilyResult,
    Note,
    Signal,
    StepError,
    StepRequest,
    StepResult,
)
from steps.policies import Policy, validation_message

_MOST_BYTES = 100_000_000
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a file comes to.

    kind: what the file is. assumed: what is taken for granted, since the file does not say it.
    exit_code: the decision's; of a retry 1, since as it stands the step has failed.
    """

    file: Path
    kind: Literal["result", "diagnostics"]
    result: StepResult
    verdict: Verdict
    decision: Decision
    exit_code: ExitCode
    assumed: tuple[str, ...]


def evaluate(path: Path, policy: Policy, manifests: Sequence[Manifest]) -> Evaluation:
    """Judge a step's result.json or a training_diagnostics.json, with no retry made so far.

    policy: the one in force. Raises UsageError naming file and key for any other file.
    """
    document = _read(path)
    if {"status", "headline"} <= document.keys():
        kind: Literal["result", "diagnostics"] = "result"
        result = _validated(StepResult, document, path)
        assumed = ["its output files are as it says; nothing was looked at but this file"]
    elif "families" in document and "run_id" in document:
        kind = "diagnostics"
        result = _as_result(_validated(_Diagnostics, document, path))
        assumed = [
            f"it is of step {TRAINING_STEP}, whose process ended in good order",
            "a diagnostics file does not say whether models were published",
        ]
    else:
        have = ", ".join(sorted(document)[:8]) or "none"
        raise UsageError(
            f"{path}: must be a step's result (keys status, headline) or training diagnostics "
            f"(keys run_id, families), got keys {have}"
        )
    result = masked_result(result, secrets_of_attempt(path.parent))
    values, bounds, origin = _parameters(path, result, manifests)
    verdict = judge(result.step, _ending(result), result)
    decision = decide(verdict, result.step, Tried(), policy.retries, values, bounds)
    if result.awaiting is not None and decision.action == "next":
        reason = f"waits for an approval: {result.awaiting.reason}"
        decision = Decision("stop", reason, ExitCode.WAITING_FOR_APPROVAL)
    code = ExitCode.STEP_FAILED if decision.action == "retry" else decision.exit_code
    return Evaluation(path, kind, result, verdict, decision, code, (*assumed, origin))


class _Known(BaseModel):
    """What is read of a diagnostics file; a newer watcher may have written more into it."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Note(_Known):
    level: Literal["info", "warning", "critical"]
    code: str
    message: str

    def note(self) -> Note:
        return Note(level=self.level, code=self.code, message=self.message)


class _Signal(_Known):
    verdict: Literal["strong", "weak", "none", "leaked"]
    reasons: tuple[str, ...] = ()
    leaked_features: tuple[str, ...] = ()
    exclude_features: tuple[str, ...] = ()
    p_value: float | None = None


class _Family(_Known):
    severity: Literal["ok", "warning", "critical"]
    findings: tuple[_Note, ...]
    status: Literal["complete", "failed", "skipped", "stopped"]
    error: str | None = None


class _Diagnostics(_Known):
    schema_version: Literal[1, 2] = 1
    run_id: str
    winner: str | None = None
    signal: _Signal | None = None
    families: dict[str, _Family]
    notes: tuple[_Note, ...] = ()


def _as_result(found: _Diagnostics) -> StepResult:
    """The result that the step has written with such diagnostics, as far as these tell."""
    signal = found.signal
    status: Literal["complete", "no_signal", "failed"] = "complete"
    if signal is None:
        status = "failed"
    elif signal.verdict == "none":
        status = "no_signal"
    families = {
        name: FamilyResult(
            status=family.status,
            severity=family.severity,
            error=family.error,
            notes=tuple(note.note() for note in family.findings),
        )
        for name, family in found.families.items()
    }
    verdict = f"signal {signal.verdict}" if signal else "no family has a model"
    return StepResult(
        run_id=found.run_id,
        step=TRAINING_STEP,
        attempt=1,
        status=status,
        headline=f"Diagnostics of run {found.run_id}: winner {found.winner or 'none'}, {verdict}.",
        families=families,
        winner=found.winner,
        signal=Signal(
            verdict=signal.verdict,
            reasons=signal.reasons,
            leaked_features=signal.leaked_features,
            exclude_features=signal.exclude_features,
            p_value=signal.p_value,
        )
        if signal
        else None,
        notes=tuple(note.note() for note in found.notes),
        error=_error(families) if signal is None else None,
    )


def _error(families: dict[str, FamilyResult]) -> StepError:
    tried = [family for family in families.values() if family.status != "skipped"]
    reasons = "; ".join(f"{name}: {family.error}" for name, family in families.items())
    if not tried:
        return StepError(kind="blocked", message=f"no family may train: {reasons}")
    of_memory = all(any(n.code == "out_of_memory" for n in family.notes) for family in tried)
    return StepError(
        kind="out_of_memory" if of_memory else "internal",
        message=f"no family has a model: {reasons}",
    )


def _ending(result: StepResult) -> Ending:
    """The ending of a process that wrote this result and exited as it should."""
    return Ending(
        exit_code=1 if result.status == "failed" else 0,
        signal=None,
        duration_s=0.0,
        limit_s=0.0,
        asked_to="halt" if result.status == "halted" else None,
    )


def _parameters(
    path: Path, result: StepResult, manifests: Sequence[Manifest]
) -> tuple[dict[str, Any], dict[str, Bound], str]:
    """The parameters of the attempt, the manifest's bounds, and where the former come from."""
    manifest = next((m for m in manifests if m.step == result.step), None)
    if manifest is None:
        return {}, {}, f"step {result.step} has no manifest here: no rule can change a parameter"
    values = {p.name: p.value for p in merge_params(manifest, Given({}))}
    request_path = path.with_name(REQUEST_FILE)
    try:
        request = StepRequest.model_validate_json(request_path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        request = None
    wanted = (result.run_id, result.step, result.attempt)
    if request is None or (request.run_id, request.step, request.attempt) != wanted:
        origin = f"its parameters are those of {manifest.file_name}"
    else:
        values |= {name: v for name, v in request.params.items() if name in values}
        origin = f"its parameters are those of {REQUEST_FILE} beside it"
    return values, dict(manifest.parameter_bounds), origin


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            stat = os.fstat(file.fileno())
            if not S_ISREG(stat.st_mode):
                raise UsageError(f"{path}: must be a regular file, got another kind")
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            size = max(len(content), stat.st_size)
            raise UsageError(f"{path}: must be at most {_MOST_BYTES} bytes, got {size}")
        document = json.loads(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as fault:
        raise UsageError(f"{path}: cannot be read: {fault.strerror or fault}") from None
    except UnicodeDecodeError as fault:
        raise UsageError(
            f"{path}: must be UTF-8 text, got byte {fault.start} that is not"
        ) from None
    except json.JSONDecodeError as fault:
        place = f"line {fault.lineno}, column {fault.colno}"
        raise UsageError(f"{path}: not valid JSON at {place}: {fault.msg}") from None
    except (RecursionError, ValueError) as fault:
        raise UsageError(f"{path}: not valid JSON: {fault}") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path}: must be an object {{...}}, got a {type(document).__name__}")
    return document


def _without_waiting(path: str, flags: int) -> int:
    # A pipe that nobody writes into would hold up whoever opens it.
    return os.open(path, flags | os.O_NONBLOCK)


def _validated(model: type[_Model], document: dict[str, Any], path: Path) -> _Model:
    try:
        return model.model_validate(document)
    except ValidationError as fault:
        raise UsageError(f"{path}: {validation_message(fault)}") from None
