"""Remember what succeeded with what, so that a run skips the steps that nothing has changed for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.attempt import Attempted
from agents.decide import TRAINING_STEP, Decision
from agents.freshness import StepFacts, SuccessFacts
from agents.parameters import Parameter
from agents.plan import PlannedStep
from agents.recall.fingerprints import CACHE_FILE, Fingerprints
from agents.recall.step_facts import NotRecorded, ask_freshness, facts_after, facts_before
from agents.run import Run
from steps.contract import RESULT_FILE, StepResult
from steps.policies import Policy

# A switched-off family is as a parameter of the result.
_FAMILIES = "policy.training.families"


class HashingStopped(Exception):
    """A halt or an interrupt came while a large file was hashed."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A step that need not run. result: what it said when it ran, if that can still be read.

    since: the run that it ran in.
    """

    decision: Decision
    since: str
    evidence: dict[str, Any]
    result: StepResult | None


class Recall:
    """What one run knows of earlier successes; asked before a step, told after it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._workspace = run.around.workspace
        self._hashes = Fingerprints(
            self._workspace.state_folder / CACHE_FILE,
            note=lambda message: run.note("fingerprints", message),
        )
        self._before: dict[int, StepFacts] = {}

    def fresh(
        self, planned: PlannedStep, inputs: Mapping[str, str], forced: str | None
    ) -> Fresh | None:
        """Why the step need not run, or None: then it must, and it is said why.

        Ask once for each step, before any retry has changed its parameters. Raises HashingStopped
        when people want the run to stop meanwhile.
        """
        step = planned.manifest.step
        row = self._run.ledger.last_success(step)
        facts, freshness = ask_freshness(
            planned.manifest,
            depended_on(planned, self._run.watch.policy),
            inputs,
            row,
            self._workspace,
            self._hashes,
            forced=forced,
            progress=self._look_up,
        )
        self._before[step] = facts
        if freshness.run or row is None:
            self._run.record("runs", f"step {step} runs: {freshness.sentence}")
            return None
        evidence = {"since": row["run_id"], "attempt": row["attempt"]}
        decision = Decision("skip", freshness.sentence)
        folder = self._workspace.attempt_folder(row["run_id"], f"step{step}", row["attempt"])
        return Fresh(decision, row["run_id"], evidence, _result(folder / RESULT_FILE))

    def look_again(self, planned: PlannedStep, inputs: Mapping[str, str]) -> None:
        """Before a retry: what the step depends on now; planned: as asked for, unchanged."""
        self._before[planned.manifest.step] = facts_before(
            planned.manifest,
            depended_on(planned, self._run.watch.policy),
            inputs,
            self._hashes,
            self._look_up,
        )

    def inputs(self, step: int) -> dict[str, dict[str, str]]:
        """Path and SHA-256 of each input, for the ledger."""
        return {
            fact.name: {"path": fact.path, "sha256": fact.sha256}
            for fact in self._before[step].inputs
        }

    def sha256(self, path: Path) -> str | None:
        """The hash of an output, kept for what comes after."""
        return self._hashes.sha256(path)

    def success(self, planned: PlannedStep, attempted: Attempted) -> SuccessFacts | None:
        """What to record of a success; what it depended on is as it was when `fresh` was asked.

        None, and it is said why, where no later run may rely on it.
        """
        step, run = planned.manifest.step, self._run
        assert attempted.result is not None  # noqa: S101 - a success has one
        allowed = self._before[step].parameters.get(_FAMILIES, {})
        off = [name for name, f in attempted.result.families.items() if f.status == "skipped"]
        if isinstance(allowed, dict) and any(allowed.get(name) for name in off):
            why = f"{', '.join(off)} was skipped in it"
            run.note("not_recorded", f"step {step} counts as not fresh: {why}")
            return None
        facts = facts_after(
            self._before[step],
            planned.manifest,
            attempted.result,
            self._workspace,
            self._hashes,
            {p.name: p.value for p in planned.parameters if p.origin == "retry"},
        )
        if isinstance(facts, NotRecorded):
            run.note("not_recorded", facts.reason)
            return None
        return facts

    def _look_up(self, _done: int, _total: int) -> None:
        if self._run.watch.tick() is not None:
            raise HashingStopped


def depended_on(planned: PlannedStep, policy: Policy) -> tuple[Parameter, ...]:
    """A step's parameters; of the training step also what the policy lets train and publish."""
    if planned.manifest.step != TRAINING_STEP:
        return planned.parameters
    families = policy.training.families.model_dump()
    publish = policy.publish.model_dump()
    return (
        *planned.parameters,
        Parameter(_FAMILIES, families, "default"),
        Parameter("policy.publish", publish, "default"),
        Parameter("policy.training.diagnostics", policy.training.diagnostics, "default"),
    )


def _result(path: Path) -> StepResult | None:
    try:
        return StepResult.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):  # removed since: the decision says all that counts
        return None
