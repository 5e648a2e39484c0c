"""What every way of fitting the tree families has to do, and what each reports back."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from gpu.params import Family


class Trial(BaseModel):
    """What to fit. params: the whole record. expected_s: of one thread, for the order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family
    number: int
    params: dict[str, Any]
    expected_s: float = 0.0

    @property
    def name(self) -> str:
        """Unique among the trials."""
        return f"{self.family}-{self.number}"


class Task(BaseModel):
    """A table folder and the trials; scores go to the outcome file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    trials: tuple[Trial, ...]
    outcome: str


class Outcome(BaseModel):
    """r2: mean over the folds of each trial. fit_s, fit_cpu_s: of its fits alone, if measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r2: dict[str, float]
    fit_s: dict[str, float] = {}
    fit_cpu_s: dict[str, float] = {}
