"""Step 0's parameters, checked. The manifest declares the same names; a test holds them in step."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from steps.forensics.settings import IntakeSettings
from steps.step0_regimes.segments import most_tests

# Fewer tests than this are not made of any history that is long enough.
_TESTS = 10


class RegimeSettings(IntakeSettings):
    """All parameters of Step 0; agent_manifests/regimes.json describes each."""

    regime_alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    regime_permutations: Annotated[int, Field(ge=1)] = 999
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _can_reject(self) -> Self:
        if most_tests(self.regime_alpha, self.regime_permutations) < _TESTS:
            wanted = int(_TESTS / self.regime_alpha / 10) + 1
            raise ValueError(
                f"regime_permutations must be at least {wanted} for a regime_alpha of "
                f"{self.regime_alpha:g}, got {self.regime_permutations}"
            )
        return self
