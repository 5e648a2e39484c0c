"""Step 1's parameters, checked. The manifest declares the same names; a test holds them in step."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from steps.errors import StepRefused
from steps.forensics.settings import IntakeSettings
from steps.prng import GENERATORS, MAPPINGS
from steps.prng.base import GeneratorError
from steps.prng.generators import generator_named
from steps.prng.mappings import MappingError, mapping_named
from steps.step1_window.seed_devices import SeedDevice


class WindowSettings(IntakeSettings):
    """All parameters of Step 1; agent_manifests/window_optimizer.json describes each."""

    effort: Literal["quick", "standard", "deep"] = "quick"
    max_gap: Annotated[int, Field(ge=0, le=100_000)] | None = None
    generators: tuple[str, ...] = ()
    mappings: tuple[str, ...] = ()
    corruption: Annotated[float, Field(ge=0, le=0.3)] = 0.1
    missing_rate: Annotated[float, Field(ge=0, le=0.3)] = 0.02
    holdout_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    survivors_kept: Annotated[int, Field(ge=1, le=100_000)] = 2000
    search_minutes: Annotated[float, Field(gt=0)] | None = None
    threads: Annotated[int, Field(ge=0)] = 0
    seed_search_device: SeedDevice = "cpu"

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Generators and mappings to search, in the registry's order; none named means all.

        Raises StepRefused "usage" for a name that does not exist.
        """
        try:
            asked = {generator_named(name).name for name in self.generators}
            through = {mapping_named(name).name for name in self.mappings}
        except (GeneratorError, MappingError) as error:
            raise StepRefused("usage", str(error)) from error
        return (
            tuple(name for name in GENERATORS if not asked or name in asked),
            tuple(name for name in MAPPINGS if not through or name in through),
        )
