"""Choose the one change of a parameter that answers what was found, by the policy's rules. Pure.

Rules are tried in the policy's order. The first one counts that matches a finding and the step,
was not used in this run, and really changes a parameter that the step's manifest declares; what
comes out is always inside the manifest's bounds. 0 and null mean "not set" to a rule that
calculates, so no calculation arrives at 0: half of 1 is 1, never "as many as there are".
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydantic import JsonValue

from agents.bounds import Bound, IntegerBound, NumberBound, check_value
from agents.errors import ParameterError
from agents.secrets import has_secret, mask
from steps.contract import Frozen
from steps.policies import Remedy
from steps.strict_json import shown


class Change(Frozen):
    """One parameter gets another value. because: one phrase for people.

    rule_key: the rule's content (see rule_key), so that it is known again in another process and
    in an edited policy.
    """

    rule_key: str
    parameter: str
    before: JsonValue
    after: JsonValue
    because: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the rules came to. change: None if no rule applies.

    passed_over: why each rule that matches a finding, and comes before the one that was chosen,
    was not.
    """

    change: Change | None
    passed_over: tuple[str, ...]


def answer(
    step: int,
    findings: Sequence[str],
    rules: Sequence[Remedy],
    used: Collection[str],
    parameters: Mapping[str, Any],
    bounds: Mapping[str, Bound],
) -> Answer:
    """Find the rule that answers the findings of a step, and what it changes.

    used: keys of the rules that this run has used. parameters: the step's present values, one for
    each of `bounds`, the manifest's parameter_bounds.
    """
    passed_over: list[str] = []
    for rule in rules:
        if rule.finding not in findings or rule.step not in {None, step}:
            continue
        outcome = _apply(rule, step, used, parameters, bounds)
        if isinstance(outcome, Change):
            return Answer(outcome, tuple(passed_over))
        passed_over.append(f"{rule_words(rule)}: {outcome.why}")
    return Answer(None, tuple(passed_over))


def rule_key(rule: Remedy) -> str:
    """What a rule is known by: its content as JSON, keys sorted, nothing that is not said."""
    content = rule.model_dump(mode="json")
    said = {
        key: value
        for key, value in content.items()
        if value is not None or (key == "set" and rule.sets)
    }
    return json.dumps(said, sort_keys=True)


def rule_words(rule: Remedy) -> str:
    """A rule in words: "timeout: trials x 0.5"."""
    if rule.multiply is not None:
        change = f"x {rule.multiply:g}"
    elif rule.add is not None:
        change = f"{'-' if rule.add < 0 else '+'} {abs(rule.add):g}"
    else:
        change = f"= {shown(mask(rule.set, rule.parameter))}"
    return f"{rule.finding}: {rule.parameter} {change}"


@dataclass(frozen=True, slots=True)
class _Unfit:
    """Why a rule does not apply."""

    why: str


def _apply(
    rule: Remedy,
    step: int,
    used: Collection[str],
    parameters: Mapping[str, Any],
    bounds: Mapping[str, Bound],
) -> Change | _Unfit:
    key, name = rule_key(rule), rule.parameter
    if key in used:
        return _Unfit("was used in this run")
    if name not in bounds:
        return _Unfit(f"step {step} has no such parameter")
    before, bound = parameters[name], bounds[name]
    if has_secret(before, name) or has_secret(rule.set, name):
        # What a retry changes is told in the ledger and on screens.
        return _Unfit(f"{name} holds a secret; no rule changes it")
    value = rule.set if rule.sets else _calculated(rule, bound, before)
    if isinstance(value, _Unfit):
        return value
    try:
        after = check_value(name, bound, value)
    except ParameterError as fault:
        return _Unfit(str(fault))
    if after == before:
        return _Unfit(f"{name} is {shown(before)} and would stay so")
    because = f"{rule.finding}: {name} {shown(after)} instead of {shown(before)}"
    return Change(rule_key=key, parameter=name, before=before, after=after, because=because)


def _calculated(rule: Remedy, bound: Bound, before: Any) -> int | float | _Unfit:
    """What multiply or add makes of a value, moved into the bound."""
    if not isinstance(bound, IntegerBound | NumberBound):
        return _Unfit(f"{rule.parameter} is no number")
    start_value = before if before else rule.when_unset
    if start_value is None:
        return _Unfit(f"{rule.parameter} is {shown(before)} and the rule has no when_unset")
    start = _exact(start_value)
    if rule.multiply is not None:
        wanted = start * _exact(rule.multiply)
    else:
        wanted = start + _exact(rule.add or 0.0)
    moved = _inside(bound, start, wanted)
    if moved is None:
        return _Unfit(f"{rule.parameter} would be 0, which means not set")
    if isinstance(bound, IntegerBound):
        return int(moved)
    try:
        return float(moved) or _Unfit(f"{rule.parameter} would be 0, which means not set")
    except OverflowError:
        return _Unfit(f"{rule.parameter} would be beyond all numbers")


def _inside(
    bound: IntegerBound | NumberBound, start: Fraction, wanted: Fraction
) -> Fraction | None:
    """The value a bound allows for `wanted`, further on in the same direction where there is one.

    None: only 0 is left.
    """
    down = wanted < start
    low = None if bound.min is None else _exact(bound.min)
    high = None if bound.max is None else _exact(bound.max)
    if bound.choices is not None:
        known = sorted(_exact(choice) for choice in bound.choices if choice)
        known = [c for c in known if (low is None or c >= low) and (high is None or c <= high)]
        if start * wanted > 0:  # half of a learning rate is never a negative one
            known = [c for c in known if c * start > 0]
        if not known:
            return None
        if down:
            return max((c for c in known if c <= wanted), default=known[0])
        return min((c for c in known if c >= wanted), default=known[-1])
    if isinstance(bound, IntegerBound):
        wanted = Fraction(math.floor(wanted) if down else math.ceil(wanted))
    if low is not None:
        wanted = max(wanted, low)
    if high is not None:
        wanted = min(wanted, high)
    if wanted == 0 and isinstance(bound, IntegerBound) and start != 0:
        wanted = Fraction(1 if start > 0 else -1)
    return wanted or None


def _exact(number: int | float) -> Fraction:
    # As people write it: 0.1 is a tenth here, so that 1.1 x 10 is 11 and rounds up to no 12.
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))
