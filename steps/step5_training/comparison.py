"""What goes into a comparison of families while it runs, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu.params import Family
from gpu.protocol import FinalFit, FitDone, TrainFailed

TIME_IS_UP = "time budget used up"


@dataclass(frozen=True, slots=True)
class Orders:
    """What people want at this moment: stop everything (why), and families switched off (why)."""

    stop: str | None = None
    families_off: Mapping[Family, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the search came to.

    fits: final fits by family. switched_off: families that people switched off meanwhile, and why.
    stopped: why everything ended early.
    """

    fits: dict[Family, tuple[FinalFit, FitDone | TrainFailed]]
    switched_off: dict[Family, str]
    training_s: dict[Family, float]
    stopped: str | None
    out_of_time: bool
