"""Weigh candidates for a generator against no generator at all, and mix what they say.

Before any draw, no generator has the prior 1/2, and the candidates the other half as far as their
searches leave it to them: exp(-log_hypotheses) each. A candidate that is at work says "d": the draw
is d with the probability 1 - c, and any value, all alike, with c (the corruption); with a lane
weight l the share l of 1 - c goes to all values that leave the same remainder as d modulo q, the
largest power of two in M, as a generator does whose low bits alone are right.

Before every draw, with the hazard h, whatever is at work ends, as when a machine is seeded anew,
and what comes then is drawn from the prior. With w_j the weight of candidate j, w_0 of no
generator, p_j their priors, all summing to 1, a draw x makes of them

    w_j <- ((1 - h) w_j + h p_j) * M p(x | d_j),    w_0 <- (1 - h) w_0 + h p_0,

scaled to 1 again: the forward pass of a hidden Markov model (Rabiner 1989), known as Fixed Share
(Herbster and Warmuth 1998). A candidate that misses fades, whatever it has explained before, and
one that takes over pays for its search once. The next draw has the probabilities

    P(v) = (1 - sum_j W_j) / M + sum_j W_j p(v | d_j),    W_j = (1 - h) w_j + h p_j.

A candidate that is silent at a draw takes no part in it. All weights are kept as logarithms, so
nothing overflows however long a history is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.forensics.documents import CandidateRecord
from steps.prng.mappings import Draws
from steps.prng.recovery.found import UNREAD

Floats = NDArray[np.float64]

HAZARD = 1e-3
# What a candidate says where a draw is none of its own.
SILENT = -1


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of a candidate that is right.

    corruption: share of draws that something else has replaced, 0 < c < 1. hazard: chance to end
    before a draw, 0 <= h < 1. recency_draws: draws after which evidence counts half as much; None:
    it stays. lane_weight: of right low bits alone, 0 <= l < 1. Raises ValueError.
    """

    modulus: int
    corruption: float
    hazard: float = HAZARD
    recency_draws: int | None = None
    lane_weight: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.corruption < 1:
            raise ValueError(f"corruption must be over 0 and under 1, got {self.corruption}")
        for name, value in (("hazard", self.hazard), ("lane_weight", self.lane_weight)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 and under 1, got {value}")
        if self.recency_draws is not None and self.recency_draws < 1:
            raise ValueError(f"recency_draws must be 1 or more, got {self.recency_draws}")

    @property
    def lane(self) -> int:
        """The largest power of two in M."""
        return self.modulus & -self.modulus

    @property
    def keep(self) -> float:
        """The share of older evidence that is left after one more draw."""
        return 1.0 if self.recency_draws is None else 0.5 ** (1 / self.recency_draws)

    @property
    def log_ratios(self) -> tuple[float, float, float]:
        """Nats that a draw adds against uniform ones: where it matches, in its lane alone, not."""
        right = 1 - self.corruption
        in_lane = right * self.lane_weight * self.lane + self.corruption
        matching = right * (1 - self.lane_weight) * self.modulus + in_lane
        return math.log(matching), math.log(in_lane), math.log(self.corruption)


class Mixture:
    """Candidates (n,) with their weights, brought up to date draw by draw.

    log_prior: float (n,), log of each one's weight before any evidence, against 1 for no generator.
    """

    def __init__(self, belief: Belief, log_prior: Floats) -> None:
        self.belief = belief
        # No generator stands last.
        self._prior = _scaled(np.append(np.asarray(log_prior, np.float64), 0.0))
        self._logs = self._prior.copy()

    @property
    def alive(self) -> Floats:
        """Probability (n,) of each that it made the last draw."""
        alive: Floats = np.exp(self._logs[:-1])
        return alive

    def update(self, said: Draws, recorded: int) -> None:
        """Take in one draw. said: int64 (n,), SILENT for those it is not a draw of; recorded: -1
        where it could not be read.
        """
        belief = self.belief
        speaks = said != SILENT
        if belief.recency_draws is not None and recorded != UNREAD:
            # Old evidence fades geometrically (Kulhavy and Zarrop 1993).
            self._logs = belief.keep * self._logs + (1 - belief.keep) * self._prior
        self._logs = self._moved(speaks, belief.hazard)
        if recorded == UNREAD:
            return
        match, in_lane, miss = belief.log_ratios
        gained = np.where((said - recorded) % belief.lane == 0, in_lane, miss)
        gained[said == recorded] = match
        gained[~speaks] = 0.0
        self._logs[:-1] += gained
        self._logs = _scaled(self._logs)

    def follow(self, said: Draws, recorded: Draws) -> None:
        """Take in draws in order. said: int64 (n, count), recorded: int64 (count,)."""
        for draw in range(recorded.shape[0]):
            self.update(said[:, draw], int(recorded[draw]))

    def next_draw(self, said: Draws, hazard: float | None = None) -> Floats:
        """Probabilities (M,) of the next draw. said: int64 (n,), SILENT as in update. hazard: of
        this draw, where it is another than usual.
        """
        belief = self.belief
        modulus, lane = belief.modulus, belief.lane
        draws, right, uniform = self._predicted(said, hazard)
        probabilities = np.full(modulus, uniform)
        probabilities += np.bincount(draws, right * (1 - belief.lane_weight), modulus)
        if belief.lane_weight > 0:
            lanes = np.bincount(draws % lane, right * belief.lane_weight, lane) * lane / modulus
            probabilities += np.tile(lanes, modulus // lane)
        return probabilities

    def probability_of(self, recorded: int, said: Draws) -> float:
        """That of one value, as next_draw has it, in time that does not grow with M."""
        belief = self.belief
        draws, right, uniform = self._predicted(said, None)
        probability = uniform + (1 - belief.lane_weight) * float(right[draws == recorded].sum())
        if belief.lane_weight > 0:
            in_lane = float(right[(draws - recorded) % belief.lane == 0].sum())
            probability += belief.lane_weight * in_lane * belief.lane / belief.modulus
        return probability

    def _predicted(self, said: Draws, hazard: float | None) -> tuple[Draws, Floats, float]:
        """Draws (k,) of those that speak, the probability that each is right (k,), and that of any
        value by what is left over: no generator, the silent, and corruption.
        """
        belief = self.belief
        speaks = said != SILENT
        moved = self._moved(speaks, belief.hazard if hazard is None else hazard)
        right = np.exp(moved[:-1][speaks]) * (1 - belief.corruption)
        return said[speaks], right, max(0.0, 1 - float(right.sum())) / belief.modulus

    def _moved(self, speaks: NDArray[np.bool_], hazard: float) -> Floats:
        """Log weights (n + 1,) after something may have ended and been replaced."""
        if hazard == 0:
            return self._logs.copy()
        if speaks.all():
            ended = _log_sum(self._logs) + math.log(hazard)
            everyone: Floats = np.logaddexp(self._logs + math.log1p(-hazard), self._prior + ended)
            return everyone
        parties = np.append(speaks, True)
        own = self._logs[parties]
        fresh = _scaled(self._prior[parties]) + _log_sum(own) + math.log(hazard)
        moved = self._logs.copy()
        moved[parties] = np.logaddexp(own + math.log1p(-hazard), fresh)
        return moved


def log_priors(candidates: Sequence[CandidateRecord], searches: int = 1) -> Floats:
    """Log weights (n,) before any evidence, against 1 for no generator.

    A candidate that begins after draw 0 pays for its place, as in steps.prng.recovery.alignment.
    searches: among how many the other half of the prior is shared out, where log_hypotheses holds
    those of one search only (Step 1 has the number of its searches in them).
    """
    hypotheses = np.array([candidate.log_hypotheses for candidate in candidates], np.float64)
    places = [2.0 * c.stop if c.first > 0 and c.stop > 0 else 1.0 for c in candidates]
    return -hypotheses - np.log(np.array(places, np.float64)) - math.log(max(1, searches))


def _log_sum(logs: Floats) -> float:
    largest = float(logs.max())
    return largest + math.log(float(np.exp(logs - largest).sum()))


def _scaled(logs: Floats) -> Floats:
    return logs - _log_sum(logs)
