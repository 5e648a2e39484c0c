"""Step 4's parameters, checked. The manifest declares the same names; a test holds them in step."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from steps.forensics.settings import StepSettings


class CapacitySettings(StepSettings):
    """All parameters of Step 4; agent_manifests/ml_meta.json describes each."""

    survivors: str | None = None
    time_budget_minutes: Annotated[float, Field(gt=0)] | None = None
