"""What the sections of a policy are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Step = Annotated[int, Field(ge=0)]


def key(default: Any, effect: str, acts: str) -> Any:
    """A key of the policy: what it does, and when a change of it acts."""
    return Field(default=default, description=effect, json_schema_extra={"acts": acts})


class Section(BaseModel):
    """A part of the policy; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
