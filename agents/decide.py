"""Decide what follows a verdict: the next step, a retry, or a stop. Pure.

A retry is paid from a budget: one for each kind of trouble, one for the step, one for the run. It
changes at most one parameter, by the policy's rules (see remedies), and is remembered in Tried,
which can be made again from the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import JsonValue, ValidationError

from agents.bounds import Bound
from agents.errors import LedgerError
from agents.health import Verdict
from agents.remedies import Change, answer
from steps.contract import ExitCode, Frozen
from steps.policies import RetriesPolicy, validation_message

# Its "no signal" is a finding; of any other step, and of predict, it is a refusal.
TRAINING_STEP = 5

Budget = Literal["bug", "memory", "timeout", "health"]
RetriedOutcome = Literal["internal", "crash", "bad_result", "out_of_memory", "timeout", "unhealthy"]
_BUDGETS: dict[RetriedOutcome, Budget] = {
    "internal": "bug",
    "crash": "bug",
    "bad_result": "bug",
    "out_of_memory": "memory",
    "timeout": "timeout",
    "unhealthy": "health",
}
_LONGEST_WAIT_S = 3600.0


class Retry(Frozen):
    """One retry: of which step, after which outcome, from which budget, with which change."""

    step: int
    outcome: RetriedOutcome
    budget: Budget
    change: Change | None = None

    @property
    def rule_key(self) -> str | None:
        """The rule of the policy that it used up."""
        return self.change.rule_key if self.change else None

    @property
    def said(self) -> str:
        """The retry as a part of the run's story."""
        how = f"with {self.change.because}" if self.change else "with the same parameters"
        return f"step {self.step} after {self.outcome}, {how}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and why.

    exit_code: the run's exit code if this is its last decision. wait_s: pause before a retry,
    seconds. changes: parameter values that the retry gets instead. retry: what it is remembered
    as. passed_over: rules that match a finding, and why they were not used.
    """

    action: Literal["next", "retry", "stop", "skip"]
    reason: str
    exit_code: ExitCode = ExitCode.DONE
    wait_s: float = 0.0
    changes: dict[str, Any] = field(default_factory=dict)
    retry: Retry | None = None
    passed_over: tuple[str, ...] = ()

    def evidence(self) -> dict[str, Any]:
        """What the ledger keeps beside the verdict's facts; Tried.from_rows reads it."""
        kept: dict[str, Any] = {}
        if self.retry is not None:
            kept["retry"] = self.retry.model_dump(mode="json")
        if self.passed_over:
            kept["passed_over"] = list(self.passed_over)
        return kept


@dataclass(frozen=True, slots=True)
class Tried:
    """Every retry of a run so far, in order."""

    retries: tuple[Retry, ...] = ()

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Make it again from the ledger's decisions of one run, in order.

        rows: `step`, `action` and `evidence` are read; evidence is JSON text, or parsed already.
        Raises LedgerError for a retry that does not say what it was.
        """
        return cls(tuple(_retry_of(row) for row in rows if row["action"] == "retry"))

    def after(self, decision: Decision) -> Self:
        """What has been tried once this decision is carried out."""
        return self if decision.retry is None else type(self)((*self.retries, decision.retry))

    def of_step(self, step: int) -> tuple[Retry, ...]:
        """The retries of one step."""
        return tuple(retry for retry in self.retries if retry.step == step)

    def count(self, step: int, budget: Budget) -> int:
        """How many retries of a step one budget has paid."""
        return sum(retry.budget == budget for retry in self.of_step(step))

    def changes(self, step: int) -> dict[str, JsonValue]:
        """The values that the retries have given to a step's parameters; the last one counts."""
        changes = [retry.change for retry in self.of_step(step) if retry.change]
        return {change.parameter: change.after for change in changes}

    @property
    def rule_keys(self) -> frozenset[str]:
        """The rules that were used; none is used again in this run."""
        return frozenset(retry.rule_key for retry in self.retries if retry.rule_key is not None)

    @property
    def story(self) -> tuple[str, ...]:
        """One sentence a retry."""
        return tuple(retry.said for retry in self.retries)


def decide(
    verdict: Verdict,
    step: int,
    tried: Tried,
    policy: RetriesPolicy,
    parameters: Mapping[str, Any],
    bounds: Mapping[str, Bound],
) -> Decision:
    """Decide after one attempt.

    tried: the run's retries so far. parameters: what the attempt ran with, one for each of
    `bounds`, the manifest's parameter_bounds.
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
        case outcome:
            return _retry(verdict, outcome, step, tried, policy, parameters, bounds)


def _retry(
    verdict: Verdict,
    outcome: RetriedOutcome,
    step: int,
    tried: Tried,
    policy: RetriesPolicy,
    parameters: Mapping[str, Any],
    bounds: Mapping[str, Bound],
) -> Decision:
    """Retry if every budget has one left; a winner's health is retried with a change only."""
    if used_up := _used_up(outcome, step, tried, policy):
        return _give_up(verdict, outcome, tried, policy, " and ".join(used_up))
    found = answer(step, verdict.findings, policy.remedies, tried.rule_keys, parameters, bounds)
    budget = _BUDGETS[outcome]
    if found.change is None and budget == "health":
        why = "; ".join(found.passed_over) or f"none answers {', '.join(verdict.findings)}"
        why = f"no rule of retries.remedies applies ({why})"
        return _give_up(verdict, outcome, tried, policy, why, found.passed_over)
    before = len(tried.of_step(step))
    how = found.change.because if found.change else "the same parameters"
    return Decision(
        "retry",
        f"{verdict.message}; retry {before + 1} of {policy.max_per_step} with {how}",
        wait_s=min(policy.backoff_s * 2.0**before, _LONGEST_WAIT_S),
        changes={found.change.parameter: found.change.after} if found.change else {},
        retry=Retry(step=step, outcome=outcome, budget=budget, change=found.change),
        passed_over=found.passed_over,
    )


def _used_up(outcome: RetriedOutcome, step: int, tried: Tried, policy: RetriesPolicy) -> list[str]:
    """The budgets that pay for no further retry, each as its key and value."""
    budget = _BUDGETS[outcome]
    limits = (
        (f"retries.budgets.{budget}", tried.count(step, budget), getattr(policy.budgets, budget)),
        ("retries.max_per_step", len(tried.of_step(step)), policy.max_per_step),
        ("retries.max_per_run", len(tried.retries), policy.max_per_run),
    )
    return [f"{key} is {limit}" for key, made, limit in limits if made >= limit]


def _give_up(
    verdict: Verdict,
    outcome: RetriedOutcome,
    tried: Tried,
    policy: RetriesPolicy,
    why: str,
    passed_over: tuple[str, ...] = (),
) -> Decision:
    """Stop, and tell all that was tried."""
    story = "; ".join(tried.story) or "nothing else was tried"
    reason = f"{verdict.message}; given up: {why}; tried: {story}"
    if policy.when_used_up == "ask":
        reason += "; a person decides (retries.when_used_up is ask)"
        code = ExitCode.WAITING_FOR_APPROVAL
    else:
        code = ExitCode.TIMEOUT if outcome == "timeout" else ExitCode.STEP_FAILED
    return Decision("stop", reason, code, passed_over=passed_over)


def _retry_of(row: Mapping[str, Any]) -> Retry:
    evidence = row["evidence"]
    place = f"the decision to retry step {row['step']}"
    try:
        parsed = json.loads(evidence) if isinstance(evidence, str) else evidence
        retry = Retry.model_validate(parsed["retry"])
    except ValidationError as fault:
        raise LedgerError(f"{place}: evidence.retry: {validation_message(fault)}") from None
    except (ValueError, KeyError, TypeError):
        raise LedgerError(f"{place}: must have evidence.retry, got {evidence!r:.200}") from None
    if retry.step != row["step"]:
        raise LedgerError(f"{place}: evidence.retry.step: must be that step, got {retry.step}")
    return retry
