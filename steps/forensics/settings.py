"""Parameters of the steps of the forensics, checked; manifests declare the same names."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from steps.errors import StepRefused
from steps.forensics.intake import IntakeOptions
from steps.policies import validation_message


class StepSettings(BaseModel):
    """Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IntakeSettings(StepSettings):
    """What a step that reads a draw history is told about it; see IntakeOptions."""

    draw_history: str | None = None
    draw_column: str | None = None
    date_column: str | None = None
    session_column: str | None = None
    draw_min: int | None = None
    draw_max: int | None = None
    session_order: tuple[str, ...] = ()

    def intake(self) -> IntakeOptions:
        """How the history is to be read."""
        return IntakeOptions(
            draw_column=self.draw_column,
            date_column=self.date_column,
            session_column=self.session_column,
            draw_min=self.draw_min,
            draw_max=self.draw_max,
            session_order=self.session_order,
        )


Settings = TypeVar("Settings", bound=StepSettings)


def read_settings(kind: type[Settings], params: dict[str, Any]) -> Settings:
    """Check a request's parameters; raises StepRefused "usage" that names the one at fault."""
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        first = error.errors()[0]
        # A rule between parameters: the values of all of them say nothing.
        said = validation_message(error) if first["loc"] else str(first["ctx"]["error"])
        raise StepRefused("usage", said) from None
