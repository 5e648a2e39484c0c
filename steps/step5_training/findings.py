"""Say what went wrong with a family, in notes whose codes a retry can match."""

from __future__ import annotations

from collections import Counter

from gpu.protocol import FitDone, TrainFailed
from steps.contract import Note
from steps.step5_training.study import FamilyStudy
from steps.step5_training.trials import Finished

# Trials of which so many have failed for one reason have failed "mostly" for it.
MOST = 0.5


def findings(study: FamilyStudy, fit: FitDone | TrainFailed | None) -> list[Note]:
    """The worst first; empty for a family without fault. fit: None where none was made."""
    failed = [trial for trial in study.finished if trial.failure]
    kinds = Counter(failure_kind(trial) for trial in failed)
    notes = [*_diverged(study, fit, kinds), *_out_of_memory(study, fit, kinds)]
    notes.sort(key=lambda note: note.level != "critical")
    if failed:
        message = f"{len(failed)} of {_trials(study)} failed; the last: {failed[-1].failure}"
        notes.append(Note(level="warning", code="trials_failed", message=message))
    return notes


def failure_kind(trial: Finished) -> str:
    """Of a failed trial: what its worker called the failure; "" for one that was given up."""
    kind, colon, _ = trial.failure.partition(": ")
    return kind if colon else ""


def _diverged(
    study: FamilyStudy, fit: FitDone | TrainFailed | None, kinds: Counter[str]
) -> list[Note]:
    if isinstance(fit, TrainFailed) and fit.kind == "diverged":
        message = f"the final fit diverged: {fit.message}"
        return [Note(level="critical", code="diverged", message=message)]
    count = kinds["diverged"]
    if not count or count < MOST * len(study.finished):
        return []
    message = f"{count} of {_trials(study)} diverged: their losses or scores were not finite"
    if study.best is None:
        message += "; none was left"
    elif study.best.mean_r2 <= 0:
        message += f"; the best that was left is of no use (R2 {study.best.mean_r2:.3f})"
    else:
        return [Note(level="warning", code="diverged", message=message)]
    return [Note(level="critical", code="diverged", message=message)]


def _out_of_memory(
    study: FamilyStudy, fit: FitDone | TrainFailed | None, kinds: Counter[str]
) -> list[Note]:
    if isinstance(fit, TrainFailed) and fit.kind == "oom":
        message = f"memory ran out in the final fit: {fit.message}"
        return [Note(level="critical", code="out_of_memory", message=message)]
    count = kinds["oom"]
    if study.best is not None or not count or count < MOST * len(study.finished):
        return []
    message = f"{count} of {_trials(study)} ran out of memory, one at a time too; none was left"
    return [Note(level="critical", code="out_of_memory", message=message)]


def _trials(study: FamilyStudy) -> str:
    count = len(study.finished)
    return "1 trial" if count == 1 else f"{count} trials"
