"""What the study needs to know of a family: its search space and how to complete a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution

from gpu.params import Family, Params
from steps.step5_training.settings import Settings

SearchSpace = dict[str, BaseDistribution]


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """One family.

    search_space: (settings, rows in one training fold) -> the distributions to search.
    complete: (values drawn from them, settings) -> the whole record, as the trainer takes it.
    rounds_param: the parameter that a final fit's fixed number of rounds stands for.
    sources: where the ranges come from.
    shared: names whose values all trials of one batch of asks have in common, and which therefore
    train as one computation; empty for families whose trials train alone.
    full_resolution: what a record may have in place of the coarser values that the search uses.
    """

    family: Family
    search_space: Callable[[Settings, int], SearchSpace]
    complete: Callable[[Mapping[str, Any], Settings], Params]
    rounds_param: str
    sources: tuple[str, ...]
    shared: tuple[str, ...] = ()
    full_resolution: Mapping[str, Any] = field(default_factory=dict)
