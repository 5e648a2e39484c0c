"""Step 2's parameters, checked. The manifest declares the same names; a test holds them in step."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from steps.forensics.settings import StepSettings


class ScorerSettings(StepSettings):
    """All parameters of Step 2; agent_manifests/scorer_meta.json describes each."""

    tune_scorer: bool = True
    scorer_corruption: Annotated[float, Field(gt=0, lt=1)] = 0.01
    scorer_recency_draws: Annotated[int, Field(ge=1)] | None = None
