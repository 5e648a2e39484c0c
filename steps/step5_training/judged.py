"""What a comparison came to, with the scores and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpu.params import Family
from steps.contract import Note, Signal
from steps.contract.diagnostics import PairComparison
from steps.step5_training.comparison import Comparison
from steps.step5_training.evaluate import Evaluation


@dataclass(frozen=True, slots=True)
class Judged:
    """The comparison with its scores, and a verdict on each family that has a model.

    best: the family with the highest R2 in cross-validation. Where no family has a model, best, cv
    and holdout are None. comparisons: of the best with every other, the closest first.
    """

    comparison: Comparison
    notes: tuple[Note, ...]
    cv: Evaluation | None = None
    holdout: Evaluation | None = None
    best: Family | None = None
    signals: Mapping[str, Signal] = field(default_factory=dict)
    comparisons: tuple[PairComparison, ...] = ()

    @property
    def signal(self) -> Signal | None:
        """The verdict on the best family, and so on the whole."""
        return None if self.best is None else self.signals[self.best]

    @property
    def winner(self) -> Family | None:
        """The best family, unless it is no better than noise: noise is never crowned."""
        return None if self.signal is None or self.signal.verdict == "none" else self.best
