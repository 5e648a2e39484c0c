"""When a metric of training diagnostics is a warning, and when it is critical."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from steps.policies.base import Section, key

Limit = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Bounds(Section):
    """Two limits of a metric; null: the metric is measured, and nothing follows from it."""

    warning: Limit | None = None
    critical: Limit | None = None


class HighIsBad(Bounds):
    """A metric that is better the lower it is: a finding at the limit or over it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if None not in (self.warning, self.critical) and self.warning > self.critical:  # type: ignore[operator]
            raise ValueError(
                f"warning must not be over critical, got {self.warning:g} and {self.critical:g}"
            )
        return self


class LowIsBad(Bounds):
    """A metric that is better the higher it is: a finding at the limit or under it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if None not in (self.warning, self.critical) and self.warning < self.critical:  # type: ignore[operator]
            raise ValueError(
                f"warning must not be under critical, got {self.warning:g} and {self.critical:g}"
            )
        return self


def _high(warning: float, critical: float) -> HighIsBad:
    return HighIsBad(warning=warning, critical=critical)


class MetricBounds(Section):
    """The limits of every metric that findings come from; docs/chapter-14 has the formulas."""

    nn_dead_neuron_pct: HighIsBad = key(
        _high(25, 50), "Share of a network's hidden units that are dead, percent.", "when judged"
    )
    nn_gradient_spread_ratio: HighIsBad = key(
        _high(100, 1000), "Largest over median gradient of the features' weights.", "when judged"
    )
    nn_gradient_growth: HighIsBad = key(
        _high(100, 1000), "Largest gradient norm of an epoch over that of the first.", "when judged"
    )
    nn_gradient_decay: HighIsBad = key(
        _high(1000, 100000),
        "Gradient of the last layer over that of the first, each by its weights.",
        "when judged",
    )
    overfit_ratio: HighIsBad = key(
        _high(1.3, 1.5), "Validation loss over training loss.", "when judged"
    )
    early_stop_ratio: LowIsBad = key(
        LowIsBad(warning=0.3, critical=0.15),
        "Best round over the rounds that were run.",
        "when judged",
    )
    unused_feature_pct: HighIsBad = key(
        _high(40, 70), "Share of the features that the model does not use, percent.", "when judged"
    )
    fold_instability: HighIsBad = key(
        _high(0.5, 1.0), "Standard deviation of R2 over folds, over its mean.", "when judged"
    )
    diverged_trial_pct: HighIsBad = key(
        _high(10, 50), "Share of the trials that diverged, percent.", "when judged"
    )


class HealthPolicy(Section):
    """How metrics become a family's severity."""

    critical_needs_harm: bool = key(
        True,
        "true: overfit_ratio, early_stop_ratio, unused_feature_pct and fold_instability are "
        "critical only in a family that finds no signal where another one does; else warnings. "
        "false: their bounds alone decide.",
        "when judged",
    )
