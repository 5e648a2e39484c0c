"""Step 3's parameters, checked. The manifest declares the same names; a test keeps them in step."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from steps.forensics.settings import StepSettings


class ScoringSettings(StepSettings):
    """All parameters of Step 3; agent_manifests/full_scoring.json describes each."""

    table_rows: Annotated[int, Field(ge=0)] = 2000
    seed: Annotated[int, Field(ge=0)] = 0
