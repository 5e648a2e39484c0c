"""Judge metrics by the policy's bounds: metrics in, findings out. Pure.

A symptom (overfitting, an early peak, unused features, unstable folds) is found in healthy models
too, above all in boosted trees. With the policy's health.critical_needs_harm it is critical only
where it does harm: in a family that finds no signal although another family does. A fault of the
process (dead units, gradients) needs no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from steps.contract.diagnostics import Finding
from steps.policies.health import Bounds, LowIsBad, MetricBounds

Level = Literal["info", "warning", "critical"]
Verdict = Literal["strong", "weak", "none", "leaked"]

# Overfitting is harmless where so much of the training R2 is left on validation rows.
HARMLESS_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Rule:
    """What a metric over its bound means.

    says: the number in words, {value} in it. symptom: critical only where it does harm.
    """

    metric: str
    code: str
    says: str
    meaning: str
    remedy: str
    symptom: bool = False
    unit: str = ""


RULES = (
    Rule(
        "nn_dead_neuron_pct",
        "dead_units",
        "{value} % of the hidden units are dead",
        "A unit whose output is the same on every row learns nothing and carries nothing.",
        "Use LeakyReLU (use_leaky_relu true), or lower max_learning_rate.",
        unit=" %",
    ),
    Rule(
        "nn_gradient_growth",
        "exploding_gradients",
        "the gradient grew to {value} times what it was before training",
        "Steps became too large to learn from, so the training was about to diverge.",
        "Lower max_learning_rate.",
    ),
    Rule(
        "nn_gradient_decay",
        "vanishing_gradients",
        "the last layer's gradient is {value} times the first layer's, weight by weight",
        "The first layers hardly learn, because almost nothing of the loss reaches them.",
        "Use LeakyReLU (use_leaky_relu true), or fewer hidden layers.",
    ),
    Rule(
        "nn_gradient_spread_ratio",
        "gradient_spread",
        "the largest gradient of a feature is {value} times the median one",
        "One feature outweighs all others by its scale, so the network learns from that one only.",
        "Standardise the features (normalize_features true), or cap or transform that one.",
    ),
    Rule(
        "overfit_ratio",
        "overfit",
        "the validation loss is {value} times the training loss",
        "The model has learnt rows by heart, which helps with no new row.",
        "Stop earlier (early_stopping_rounds, patience), or give it more rows or fewer features.",
        symptom=True,
    ),
    Rule(
        "early_stop_ratio",
        "early_peak",
        "the best round came after {value} of the rounds that were run",
        "The validation loss only rose after the first few rounds: learning is too fast, or there "
        "is little to learn.",
        "Lower the learning rate (max_learning_rate for the network), or look for better features.",
        symptom=True,
    ),
    Rule(
        "unused_feature_pct",
        "unused_features",
        "{value} % of the features are not used",
        "Features that no prediction depends on cost time and hide those that matter.",
        "Leave those of importance 0 out (exclude_features).",
        symptom=True,
        unit=" %",
    ),
    Rule(
        "fold_instability",
        "fold_instability",
        "the standard deviation of R2 over the folds is {value} times its mean (or times 0.05, "
        "where the mean is nearer to 0)",
        "How good the model is depends on which rows it meets.",
        "Use more rows, fewer folds (k_folds), or split group or time if rows belong together.",
        symptom=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a family stands in its comparison.

    own: the verdict on the family, best: on the table, which is the best family's; None where there
    is no model to judge. needs_harm: health.critical_needs_harm of the policy.
    """

    own: Verdict | None
    best: Verdict | None
    needs_harm: bool

    @property
    def harmed(self) -> bool:
        """It finds nothing where another family finds something."""
        return self.own == "none" and self.best in {"strong", "weak"}


def judge_metrics(
    metrics: Mapping[str, float], bounds: MetricBounds, standing: Standing
) -> list[Finding]:
    """A finding for each metric that has passed a bound, in the order of RULES."""
    found = []
    for rule in RULES:
        if rule.metric not in metrics:
            continue
        passed = passed_bound(metrics[rule.metric], getattr(bounds, rule.metric))
        if passed is not None:
            found.append(_finding(rule, metrics, *passed, standing))
    return found


def passed_bound(value: float, bounds: Bounds) -> tuple[Level, float] | None:
    """The worse limit that a value has reached, and its level; None if it has reached none."""
    sign = -1.0 if isinstance(bounds, LowIsBad) else 1.0
    if bounds.critical is not None and sign * value >= sign * bounds.critical:
        return "critical", bounds.critical
    if bounds.warning is not None and sign * value >= sign * bounds.warning:
        return "warning", bounds.warning
    return None


def _finding(
    rule: Rule, metrics: Mapping[str, float], level: Level, bound: float, standing: Standing
) -> Finding:
    value = metrics[rule.metric]
    message = f"{rule.says.format(value=_number(value))} ({level} from {bound:g}{rule.unit})"
    weight = (level, "")
    if rule.symptom and standing.needs_harm:
        weight = _weighed(rule, metrics, level, standing)
    return Finding(
        level=weight[0],
        code=rule.code,
        message=message + weight[1],
        metric=rule.metric,
        value=value,
        bound=bound,
        meaning=rule.meaning,
        remedy=rule.remedy,
    )


def _weighed(
    rule: Rule, metrics: Mapping[str, float], level: Level, standing: Standing
) -> tuple[Level, str]:
    """The level of a symptom by the harm that it does, and the words for it."""
    if level == "critical" and standing.harmed:
        return "critical", "; the family finds no signal where another one does"
    if rule.code == "overfit" and _keeps_its_r2(metrics):
        said = f"R2 is {metrics['cv_r2']:.3f} there, {metrics['train_r2']:.3f} on training rows"
        return "info", f"; harmless: {said}"
    if level == "warning":
        return "warning", ""
    if standing.own is None:
        return "warning", "; a warning only, as there is no score to see its harm in"
    if "leaked" in {standing.own, standing.best}:
        return "warning", "; a warning only, as the target is leaked"
    if standing.own == "none":
        return "warning", "; a warning only, as no family finds a signal here"
    return "warning", f"; a warning only, as the family's verdict is {standing.own} all the same"


def _keeps_its_r2(metrics: Mapping[str, float]) -> bool:
    if "train_r2" not in metrics or "cv_r2" not in metrics:
        return False
    return metrics["cv_r2"] > 0 and metrics["cv_r2"] >= HARMLESS_SHARE * metrics["train_r2"]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
