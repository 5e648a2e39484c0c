"""What goes into a comparison of families while it runs, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu.params import Family
from gpu.protocol import FinalFit, FitDone, TrainFailed

TIME_IS_UP = "time budget used up"
SWITCHED_OFF = "switched off by policy"


@dataclass(frozen=True, slots=True)
class Gpus:
    """Which GPUs people allow. off: by UUID or number, those that must not be used."""

    use: bool = True
    off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Orders:
    """What people want at this moment.

    stop: why everything is to end, or None. last: why nothing more is to start while what runs is
    finished, or None. families_off: families switched off, and why. persistent: workers serve many
    trials. tree_workers: most tree trials at once, 0 for as many as there are devices. networks:
    most networks in one computation, 0 for as many as memory allows. diagnostics: trainers
    tell what they see.
    """

    stop: str | None = None
    last: str | None = None
    families_off: Mapping[Family, str] = field(default_factory=dict)
    persistent: bool = True
    tree_workers: int = 0
    networks: int = 0
    gpus: Gpus = Gpus()
    diagnostics: bool = True


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
