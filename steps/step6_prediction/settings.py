"""Step 6's parameters, checked. The manifest declares the same names; a test keeps them in step."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from steps.forensics.mixture import HAZARD
from steps.forensics.settings import StepSettings


class PredictionSettings(StepSettings):
    """All parameters of Step 6; agent_manifests/prediction.json describes each."""

    draw_history: str | None = None
    next_count: Annotated[int, Field(ge=1)] = 10
    hazard: Annotated[float, Field(ge=0, lt=1)] = HAZARD
    mixture_size: Annotated[int, Field(ge=1)] = 2000
    seed: Annotated[int, Field(ge=0)] = 0
