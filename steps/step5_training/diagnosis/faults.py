"""Say what went wrong with a family's trials and its final fit, in codes that a retry can match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gpu.protocol import FitDone, TrainFailed
from steps.contract.diagnostics import Finding
from steps.policies.health import HighIsBad
from steps.step5_training.diagnosis.metrics import diverged_metrics
from steps.step5_training.diagnosis.rules import passed_bound
from steps.step5_training.study import FamilyStudy
from steps.step5_training.trials import Finished

# Trials of which so many have failed for want of memory have failed "mostly" for it.
MOST = 0.5

_DIVERGED = {
    "meaning": "A loss that is not finite leaves no model: the steps were too large.",
    "remedy": "Lower max_learning_rate.",
}
# max_learning_rate is the network's alone.
_TREES_DIVERGED = {
    "meaning": "A loss that is not finite leaves no model.",
    "remedy": "Look for extreme values in the target, and cap or scale them.",
}
_OUT_OF_MEMORY = {
    "meaning": "The family needs more memory than a device had free.",
    "remedy": "Train fewer at once (slots, n_concurrent_nn), or free some memory.",
}


def find_faults(
    study: FamilyStudy, fit: FitDone | TrainFailed | None, bounds: HighIsBad
) -> list[Finding]:
    """Diverged, out_of_memory, trials_failed; empty for a family without fault.

    fit: None where none was made. bounds: of diverged_trial_pct. Trials that diverged are critical
    only where nothing usable is left.
    """
    failed = [trial for trial in study.finished if trial.failure]
    found = [*_diverged(study, fit, bounds), *_out_of_memory(study, fit)]
    if failed:
        message = f"{len(failed)} of {_trials(study)} failed; the last: {failed[-1].failure}"
        found.append(
            Finding(
                level="warning",
                code="trials_failed",
                message=message,
                meaning="The search has learnt from the other trials only.",
                remedy="Read why in the trial history.",
            )
        )
    return found


def absent_finding(absent: Sequence[str]) -> Finding:
    """Nobody has looked there, which is not the same as healthy."""
    return Finding(
        level="warning",
        code="diagnostics_absent",
        message=f"not everything was observed: {'; '.join(absent)}",
        meaning="What was not observed may be healthy or not.",
        remedy="Read the step's log; the models themselves are not affected.",
    )


def count_kinds(trials: Sequence[Finished]) -> Counter[str]:
    """How many trials failed in which way: what the worker called it."""
    return Counter(failure_kind(trial) for trial in trials if trial.failure)


def failure_kind(trial: Finished) -> str:
    """Of a failed trial: what its worker called the failure; "" for one that was given up."""
    kind, colon, _ = trial.failure.partition(": ")
    return kind if colon else ""


def _diverged(
    study: FamilyStudy, fit: FitDone | TrainFailed | None, bounds: HighIsBad
) -> list[Finding]:
    words = _DIVERGED if study.family == "neural_net" else _TREES_DIVERGED
    if isinstance(fit, TrainFailed) and fit.kind == "diverged":
        message = f"the final fit diverged: {fit.message}"
        return [Finding(level="critical", code="diverged", message=message, **words)]
    count = count_kinds(study.finished)["diverged"]
    share = diverged_metrics(count, len(study.finished)).get("diverged_trial_pct", 0.0)
    passed = passed_bound(share, bounds) if count else None
    if passed is None:
        return []
    level, bound = passed
    message = f"{count} of {_trials(study)} diverged: their losses or scores were not finite"
    message += f" ({level} from {bound:g} %)"
    if study.leading is None:
        message += "; none was left"
    elif study.leading.mean_r2 <= 0:
        message += f"; the best that was left is of no use (R2 {study.leading.mean_r2:.3f})"
    elif level == "critical":
        level = "warning"
        message += "; a warning only, as the best that was left is of use"
    return [
        Finding(
            level=level,
            code="diverged",
            message=message,
            metric="diverged_trial_pct",
            value=share,
            bound=bound,
            **words,
        )
    ]


def _out_of_memory(study: FamilyStudy, fit: FitDone | TrainFailed | None) -> list[Finding]:
    if isinstance(fit, TrainFailed) and fit.kind == "oom":
        message = f"memory ran out in the final fit: {fit.message}"
    else:
        count = count_kinds(study.finished)["oom"]
        if study.leading is not None or not count or count < MOST * len(study.finished):
            return []
        message = f"{count} of {_trials(study)} ran out of memory, one at a time too; none was left"
    return [Finding(level="critical", code="out_of_memory", message=message, **_OUT_OF_MEMORY)]


def _trials(study: FamilyStudy) -> str:
    count = len(study.finished)
    return "1 trial" if count == 1 else f"{count} trials"
