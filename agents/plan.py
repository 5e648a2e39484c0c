"""Work out which steps run, why, and with what. Pure: manifests and values in, a plan out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.errors import UsageError
from agents.manifests import Manifest
from agents.parameters import Given, Parameter, merge_params, refuse_unknown
from steps.policies import Policy


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that will run. limit_s: seconds; limit_origin and reason: for people."""

    manifest: Manifest
    reason: str
    parameters: tuple[Parameter, ...]
    limit_s: float
    limit_origin: str

    @property
    def values(self) -> dict[str, Any]:
        """Every parameter of the step by name."""
        return {parameter.name: parameter.value for parameter in self.parameters}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, in order. start, end: the range of step numbers asked for."""

    start: int
    end: int
    given: Given
    steps: tuple[PlannedStep, ...]


def plan_steps(
    manifests: Sequence[Manifest],
    start: int | None,
    end: int | None,
    given: Given,
    policy: Policy,
) -> Plan:
    """Plan the steps start..end (None: the lowest and the highest there is).

    given: the parameters a person asked for. Raises UsageError or ParameterError.
    """
    numbers = [manifest.step for manifest in manifests]
    first = min(numbers) if start is None else start
    last = max(numbers) if end is None else end
    have = ", ".join(f"{manifest.step} ({manifest.agent_name})" for manifest in manifests)
    for flag, number in (("--start-step", start), ("--end-step", end)):
        if number is not None and number not in numbers:
            raise UsageError(f"{flag} must be a step that has a manifest: {have}; got {number}")
    if first > last:
        raise UsageError(f"--start-step must be at most --end-step, got {first} and {last}")
    chosen = [manifest for manifest in manifests if first <= manifest.step <= last]
    refuse_unknown(given.values, chosen)
    if start is None and end is None:
        reason = "every step that has a manifest was asked for"
    elif first == last:
        reason = f"asked for: step {first}"
    else:
        reason = f"asked for: it is in the range {first}..{last}"
    return Plan(first, last, given, tuple(_planned(m, reason, given, policy) for m in chosen))


def _planned(manifest: Manifest, reason: str, given: Given, policy: Policy) -> PlannedStep:
    if str(manifest.step) in policy.steps.timeout_minutes:
        origin = f"policy: steps.timeout_minutes.{manifest.step}"
    elif manifest.timeout_minutes is not None:
        origin = f"{manifest.file_name}: timeout_minutes"
    else:
        origin = "policy: steps.default_timeout_minutes"
    return PlannedStep(
        manifest,
        reason,
        merge_params(manifest, given),
        policy.timeout_s(manifest.step, manifest.timeout_minutes),
        origin,
    )
