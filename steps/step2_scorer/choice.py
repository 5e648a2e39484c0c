"""Choose how evidence is weighed by what that predicts, one draw ahead, inside train.

Each draw of train is predicted from those before it (Dawid's prequential analysis, 1984), and the
loss is -log of the probability that it had: log M where nothing is known. Other parameters than
the defaults must predict better beyond chance: over disjoint blocks of draws, by a paired t-test
with Bonferroni's correction for all that were tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special  # scipy.stats takes a second to import

from steps.forensics.mixture import Belief, Floats, Mixture
from steps.step2_scorer.evidence import Evidence

CORRUPTIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.35)
RECENCIES = (50, 200, 1000)
# Told what is tried next; may raise to end it.
BeforeEach = Callable[[Belief], None]

ALPHA = 0.05
BLOCKS = 10
_FEWEST_IN_BLOCK = 10


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting and what it cost, nats a draw."""

    corruption: float
    recency_draws: int | None
    log_loss: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen. tried: the defaults first. p_value: of the best one's gain over the
    defaults, corrected; None where nothing else was better. draws: how many were predicted.
    """

    belief: Belief
    tried: tuple[Tried, ...]
    draws: int
    p_value: float | None

    @property
    def log_loss_default(self) -> float:
        """Nats a draw, with the defaults."""
        return self.tried[0].log_loss

    @property
    def log_loss_chosen(self) -> float:
        """Nats a draw, with what was chosen."""
        chosen = (self.belief.corruption, self.belief.recency_draws)
        return next(t.log_loss for t in self.tried if (t.corruption, t.recency_draws) == chosen)


def choose(streams: Sequence[Evidence], default: Belief, before_each: BeforeEach) -> Choice:
    """Try corruption, then recency with the best of it. Needs at least one stream."""
    losses: dict[Belief, Floats] = {}

    def best_of(beliefs: Sequence[Belief]) -> Belief:
        for belief in beliefs:
            if belief not in losses:
                before_each(belief)
                losses[belief] = np.concatenate([_losses(belief, one) for one in streams])
        return min(beliefs, key=lambda belief: float(losses[belief].mean()))

    longest = max(one.recorded.size for one in streams)
    # A share under one draw of all there are cannot be told from none.
    corruptions = [c for c in CORRUPTIONS if c * longest >= 1]
    best = best_of([default, *(replace(default, corruption=c) for c in corruptions)])
    recencies = [r for r in RECENCIES if 2 * r <= longest]
    best = best_of([best, *(replace(best, recency_draws=r) for r in recencies)])
    draws = losses[default].size
    p_value = None
    if best != default:
        gained = losses[default] - losses[best]
        p_value = min(1.0, _p_of_gain(gained, streams) * (len(losses) - 1))
    tried = tuple(Tried(b.corruption, b.recency_draws, float(x.mean())) for b, x in losses.items())
    chosen = best if p_value is not None and p_value <= ALPHA else default
    return Choice(chosen, tried, draws, p_value)


def _losses(belief: Belief, evidence: Evidence) -> Floats:
    """-log of the probability (readable draws,) of each draw, given the ones before it."""
    mixture = Mixture(belief, evidence.log_prior)
    losses = []
    for said, recorded in zip(evidence.said.T, evidence.recorded.tolist(), strict=True):
        if recorded >= 0:
            losses.append(-math.log(mixture.probability_of(recorded, said)))
        mixture.update(said, recorded)
    return np.array(losses, np.float64)


def _p_of_gain(gained: Floats, streams: Sequence[Evidence]) -> float:
    """One-sided paired t-test over blocks of draws, in each stream by itself; 1 for too few."""
    means: list[float] = []
    done = 0
    for evidence in streams:
        draws = int(np.count_nonzero(evidence.recorded >= 0))
        if draws >= BLOCKS * _FEWEST_IN_BLOCK:
            own = gained[done : done + draws]
            means += [float(block.mean()) for block in np.array_split(own, BLOCKS)]
        done += draws
    if not means:
        return 1.0
    mean, spread = float(np.mean(means)), float(np.std(means, ddof=1))
    if spread == 0:
        return 1.0 if mean <= 0 else 0.0
    # The upper tail is the lower one of the negative.
    return float(special.stdtr(len(means) - 1, -mean / (spread / len(means) ** 0.5)))
