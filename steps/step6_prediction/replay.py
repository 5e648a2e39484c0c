"""Replay the draws held back: predict each from what was known before it, and test the predictions.

The tests are exact under the null that every draw is uniform, whatever was predicted: a pool of k
values holds the draw with the chance k / M. Values of equal probability fill a pool in an order
drawn anew for each draw, so that a bias of the machine towards some values is no help.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steps.forensics.binomial import upper_p
from steps.forensics.documents import CandidateRecord, HypothesisTest, PoolDraw
from steps.forensics.history import ALL
from steps.forensics.mixture import SILENT, Belief, Mixture, log_priors
from steps.prng.mappings import Draws
from steps.step6_prediction.known import Known

Floats = NDArray[np.float64]

POOLS = {"tight": 20, "balanced": 100, "wide": 300}


@dataclass(frozen=True, eq=False)
class Replay:
    """What came of it. trials: draws that could be read. log_loss: nats a draw, None without one.

    leader: the candidate that is likeliest to be at work by now, None where none was mixed.
    next_draw: probability (M,) of each value of the next draw of its stream, all known draws
    considered.
    """

    tests: tuple[HypothesisTest, ...]
    trials: int
    log_loss: float | None
    log_loss_uniform: float
    leader: CandidateRecord | None
    next_draw: Floats


def replay(
    mixed: Sequence[CandidateRecord],
    said: Draws,
    known: Known,
    belief: Belief,
    *,
    rng: np.random.Generator,
    should_stop: Callable[[], bool],
) -> Replay | None:
    """Mix the candidates; None where it was told to stop. said: as said_of_all has it, 1 ahead.

    Each session is replayed by itself, with its own candidates and those of all draws: two machines
    that take turns do not end each other.
    """
    modulus, draws = belief.modulus, known.draws
    ranks, losses = [], []
    leader: CandidateRecord | None = None
    best, ahead = 0.0, np.full(modulus, 1 / modulus)
    for stream in known.lanes:
        rows = [r for r, c in enumerate(mixed) if c.stream in {ALL, stream}]
        mixture = Mixture(belief, log_priors([mixed[row] for row in rows]))
        own = said[rows]
        for draw in known.rows(stream):
            if should_stop():
                return None
            if draw >= known.held_from and draws[draw] >= 0:
                probabilities = mixture.next_draw(own[:, draw])
                ranks.append(_rank(probabilities, int(draws[draw]), rng))
                losses.append(-math.log(probabilities[draws[draw]]))
            mixture.update(own[:, draw], int(draws[draw]))
        alive = mixture.alive
        if rows and float(alive.max()) > best:
            first = int(alive.argmax())
            best, leader = float(alive[first]), mixed[rows[first]]
            # The next draw of one stream is not that of another.
            apart = [mixed[row].stream != leader.stream for row in rows]
            ahead = mixture.next_draw(np.where(apart, SILENT, own[:, -1]))
    return Replay(
        tests=_tests(np.array(ranks, np.int64), losses, modulus),
        trials=len(ranks),
        log_loss=math.fsum(losses) / len(losses) if losses else None,
        log_loss_uniform=math.log(modulus),
        leader=leader,
        next_draw=ahead,
    )


def pool_of(probabilities: Floats, size: int, rng: np.random.Generator) -> list[int]:
    """The likeliest values, the likeliest first; equal ones in random order."""
    order = rng.permutation(probabilities.size)
    best = order[np.argsort(-probabilities[order], kind="stable")]
    chosen: list[int] = best[:size].tolist()
    return chosen


def pools_of(probabilities: Floats, low: int, rng: np.random.Generator) -> dict[str, Any]:
    """Candidates and pools of the document, in the history's own values; never more than there are.

    low: what the history writes for 0.
    """
    widest = pool_of(probabilities, max(POOLS.values()), rng)
    return {
        "candidates": tuple(
            PoolDraw(draw=value + low, probability=float(probabilities[value])) for value in widest
        ),
        "pools": {
            name: tuple(value + low for value in widest[:size]) for name, size in POOLS.items()
        },
    }


def _rank(probabilities: Floats, value: int, rng: np.random.Generator) -> int:
    """The value's place among all by probability, from 0; among equal ones at random."""
    own = probabilities[value]
    above = int(np.count_nonzero(probabilities > own))
    return above + int(rng.integers(0, np.count_nonzero(probabilities == own)))


def _tests(
    ranks: NDArray[np.int64], losses: Sequence[float], modulus: int
) -> tuple[HypothesisTest, ...]:
    """Not corrected yet: that is for the whole document."""
    trials = ranks.size
    if trials == 0:
        return ()
    tests = []
    for name, size in POOLS.items():
        if size >= modulus:
            continue
        hits = int(np.count_nonzero(ranks < size))
        chance = size / modulus
        p_value = upper_p(hits, trials, chance)
        tests.append(
            HypothesisTest(
                name=f"{name} pool",
                statistic=hits,
                p_value=p_value,
                p_corrected=p_value,
                sentence=f"{hits} of {trials} draws held back were among the {size} likeliest "
                f"values; chance gives {trials * chance:.1f}",
            )
        )
    # A martingale under uniform draws: it exceeds 1 / p with probability p at most (Ville 1939).
    gain = math.fsum(math.log(modulus) - loss for loss in losses)
    p_value = math.exp(min(0.0, max(-gain, -700.0)))
    tests.append(
        HypothesisTest(
            name="log-loss",
            statistic=gain / trials,
            p_value=p_value,
            p_corrected=p_value,
            sentence=f"the probabilities given beforehand gain {gain / trials:+.4f} nats a draw on "
            "uniform guessing",
        )
    )
    return tuple(tests)
