"""Work out the change of a parameter that the policy's rules would make for a finding. Pure.

The retry loop decides for itself, with the manifest's bounds and what this run has tried before
(agents/remedies.py); this is what a person may type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from gpu.params import Family
from steps.contract.diagnostics import Finding
from steps.policies import Remedy
from steps.step5_training.settings import Settings

STEP = 5
# The other parameters concern every family.
_NETWORK = frozenset(
    {"epochs", "patience", "clip_norm", "batch_mode", "optimizer", "normalize_features"}
    | {"use_leaky_relu", "nn_precision", "max_learning_rate", "dropout", "n_concurrent_nn"}
)
_TREES = frozenset(
    {"n_estimators", "early_stopping_rounds", "coarse_bins", "tree_parallel_workers"}
)


def with_changes(
    findings: Sequence[Finding], family: Family, remedies: Sequence[Remedy], settings: Settings
) -> tuple[Finding, ...]:
    """The findings, each with the change of the first rule that answers it, if there is one."""
    return tuple(
        finding.model_copy(update={"change": change})
        if (change := suggested_change(finding.code, family, remedies, settings))
        else finding
        for finding in findings
    )


def suggested_change(
    code: str, family: Family, remedies: Sequence[Remedy], settings: Settings
) -> dict[str, Any] | None:
    """Parameter and new value; None where no rule for the code changes what the family trains with.

    A number moves as the retry loop moves it: exactly, whole numbers on in the same direction, and
    never to 0, which means "not set".
    """
    for rule in remedies:
        if rule.finding != code or rule.step not in {None, STEP}:
            continue
        name = rule.parameter
        if name not in Settings.model_fields or not _concerns(name, family):
            continue
        before = getattr(settings, name)
        after = rule.set if rule.sets else _moved(rule, before)
        if (after is None and not rule.sets) or after == before:
            continue
        try:
            Settings.model_validate({**settings.model_dump(), name: after})
        except ValidationError:
            continue  # there is no room inside the bounds
        return {name: after}
    return None


def _concerns(parameter: str, family: Family) -> bool:
    return parameter not in (_TREES if family == "neural_net" else _NETWORK)


def _moved(rule: Remedy, before: Any) -> int | float | None:
    start = before or rule.when_unset
    if isinstance(start, bool) or not isinstance(start, int | float):
        return None
    # As people write it: a tenth of 0.1 is 0.01, and 1.1 x 10 is 11.
    wanted = Fraction(repr(start))
    if rule.multiply is not None:
        wanted *= Fraction(repr(rule.multiply))
    else:
        wanted += Fraction(repr(rule.add or 0.0))
    if not _is_whole(rule.parameter):
        return float(wanted) or None
    whole = math.floor(wanted) if wanted < Fraction(repr(start)) else math.ceil(wanted)
    return whole or 1


def _is_whole(parameter: str) -> bool:
    """Whether a parameter of Step 5 is a whole number."""
    return isinstance(Settings.model_fields[parameter].default, int)
