"""How often, and how changed, a failed step is tried again."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from steps.policies.base import Section, Step, key

Count = Annotated[int, Field(ge=0, le=20)]


class Remedy(Section):
    """One rule of the retry loop: a finding, and the change of a parameter that answers it.

    Exactly one of multiply, add and set. A rule is used once in a run; its result stays inside
    the manifest's bounds.
    """

    finding: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = Field(
        description="An outcome (timeout, out_of_memory) or the code of a finding (dead_units)."
    )
    parameter: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    multiply: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    add: Annotated[float, Field(allow_inf_nan=False)] | None = None
    set: JsonValue = None
    when_unset: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="The value to change where the parameter is null or 0.",
    )
    step: Step | None = Field(default=None, description="Only this step; null: any.")

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        given = [name for name in ("multiply", "add", "set") if getattr(self, name) is not None]
        # null is a value that a rule may set, and what keys that are not given are written as.
        if len(given) != 1 and (given or "set" not in self.model_fields_set):
            got = " and ".join(given) or "none"
            raise ValueError(f"must have exactly one of multiply, add and set, got {got}")
        return self

    @property
    def sets(self) -> bool:
        """Whether the rule sets a value; else it calculates one from the value before."""
        return self.multiply is None and self.add is None


_REMEDIES = (
    Remedy(finding="timeout", parameter="trials", multiply=0.5),
    Remedy(finding="out_of_memory", parameter="n_concurrent_nn", multiply=0.5, when_unset=8),
    Remedy(finding="out_of_memory", parameter="slots", multiply=0.5, when_unset=2),
    Remedy(finding="diverged", parameter="max_learning_rate", multiply=0.3, when_unset=0.01),
    Remedy(
        finding="exploding_gradients", parameter="max_learning_rate", multiply=0.3, when_unset=0.01
    ),
    Remedy(finding="dead_units", parameter="use_leaky_relu", set=True),
    Remedy(finding="dead_units", parameter="max_learning_rate", multiply=0.3, when_unset=0.01),
    Remedy(finding="vanishing_gradients", parameter="use_leaky_relu", set=True),
    Remedy(finding="gradient_spread", parameter="normalize_features", set=True),
    Remedy(finding="early_peak", parameter="max_learning_rate", multiply=0.3, when_unset=0.01),
    Remedy(finding="overfit", parameter="early_stopping_rounds", multiply=0.5),
)


class BudgetsPolicy(Section):
    """Retries of one step in one run, by what went wrong; max_per_step holds over all of them."""

    bug: Count = key(
        1, "After an exception, a crash or a bad result.", "when an attempt has failed"
    )
    memory: Count = key(3, "After memory ran out.", "when an attempt has failed")
    timeout: Count = key(2, "After the time limit.", "when an attempt has failed")
    health: Count = key(
        2, "After a critical finding about the winner.", "when an attempt has failed"
    )


class RetriesPolicy(Section):
    """How often, and how changed, a failed step is tried again."""

    max_per_step: Count = key(3, "Retries of one step in one run.", "when an attempt has failed")
    max_per_run: Annotated[int, Field(ge=0, le=100)] = key(
        10, "Retries of all steps in one run.", "when an attempt has failed"
    )
    budgets: BudgetsPolicy = BudgetsPolicy()
    backoff_s: Annotated[float, Field(ge=0, le=3600)] = key(
        5.0,
        "Seconds before the first retry of a step; doubled for each further one, an hour at most.",
        "when an attempt has failed",
    )
    remedies: tuple[Remedy, ...] = key(
        _REMEDIES,
        "What a retry changes, by finding; the first rule that was not used in this run.",
        "when an attempt has failed",
    )
    when_used_up: Literal["fail", "ask"] = key(
        "fail",
        "fail: the run ends with exit code 1 or 124; ask: with 11, an approval tries once more.",
        "when an attempt has failed",
    )
