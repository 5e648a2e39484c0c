"""Decide what follows a verdict: the next step, a retry, or a stop. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from agents.health import Verdict
from steps.contract import ExitCode
from steps.policies import RetriesPolicy

# Its "no signal" is a finding; of any other step, and of predict, it is a refusal.
TRAINING_STEP = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and why.

    exit_code: the run's exit code if this is its last decision. wait_s: pause before a retry,
    seconds. changes: parameter values that the retry gets instead.
    """

    action: Literal["next", "retry", "stop"]
    reason: str
    exit_code: ExitCode = ExitCode.DONE
    wait_s: float = 0.0
    changes: dict[str, Any] = field(default_factory=dict)


def decide(
    verdict: Verdict, step: int, step_retries: int, run_retries: int, policy: RetriesPolicy
) -> Decision:
    """Decide after one attempt.

    step_retries, run_retries: retries already made of this step, and of all steps of the run.
    """
    match verdict.outcome:
        case "complete":
            return Decision("next", verdict.message)
        case "no_signal" if step == TRAINING_STEP:
            return Decision("next", verdict.message)
        case "no_signal":
            return Decision("stop", verdict.message, ExitCode.NO_SIGNAL)
        case "halted" | "blocked":
            return Decision("stop", verdict.message, ExitCode.HALTED)
        case "interrupted":
            return Decision("stop", verdict.message, ExitCode.INTERRUPTED)
        case "usage":
            return Decision("stop", f"{verdict.message}; a retry would end alike", ExitCode.USAGE)
        case "bad_input":
            reason = f"{verdict.message}; a retry would end alike"
            return Decision("stop", reason, ExitCode.STEP_FAILED)
        case "timeout":
            return _retry(verdict, ExitCode.TIMEOUT, step_retries, run_retries, policy)
        case "out_of_memory" | "internal" | "crash" | "bad_result":
            return _retry(verdict, ExitCode.STEP_FAILED, step_retries, run_retries, policy)


def _retry(
    verdict: Verdict, give_up: ExitCode, step_retries: int, run_retries: int, policy: RetriesPolicy
) -> Decision:
    if step_retries >= policy.max_per_step:
        reason = f"{verdict.message}; retries.max_per_step is {policy.max_per_step}"
        return Decision("stop", reason, give_up)
    if run_retries >= policy.max_per_run:
        reason = f"{verdict.message}; retries.max_per_run is {policy.max_per_run}"
        return Decision("stop", reason, give_up)
    wait_s = min(policy.backoff_s * 2.0**step_retries, 3600.0)
    reason = f"{verdict.message}; retry {step_retries + 1} of {policy.max_per_step}"
    return Decision("retry", reason, wait_s=wait_s)
