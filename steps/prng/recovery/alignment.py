"""Lay recorded draws beside predicted ones: which stretch agrees, and where the record has holes.

A path over (draw, shift): a draw that the machine made and the record lacks moves the shift up by
one for good. Each path has a prior, so that the best of all paths is an honest likelihood ratio:
that the stretch begins with the first draw (or ends with the last) has 1/2, every other place
1 / (2 n); the first shift is one of all with equal chances; d draws missing at a place have
(1 - r) r^d, where r is the rate of missing draws. Of paths that are equally good, as they are where
the predicted draws repeat, the one with the least shift and the fewest missing draws is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steps.prng.recovery.compiled import compiled

Draws = NDArray[np.int64]

# Predicted where there is no draw: before the generator was seeded.
NO_DRAW = -2
_EQUALLY_GOOD = 1e-9


@dataclass(frozen=True, slots=True)
class Alignment:
    """The best path. Draws first..stop - 1 are explained; shift: of draw `first`.

    compared: the readable ones among them; missing: by how much the shift grew. log_ratio: nats
    against uniform draws, net of the path's prior.
    """

    first: int
    stop: int
    shift: int
    matches: int
    compared: int
    missing: int
    log_ratio: float


def align(
    recorded: Draws,
    predicted: Draws,
    slack: int,
    *,
    gain: float,
    loss: float,
    missing_rate: float,
) -> Alignment:
    """The best path of recorded draws (n,), -1 where unread, through predicted ones (n + 2 slack,).

    At shift s, -slack <= s <= slack, draw i is held against predicted[i + slack + s]; no path leads
    through a predicted draw under 0 (NO_DRAW). gain and loss: nats of a match and of a mismatch.
    missing_rate: 0 <= r < 1; with 0 there are no shifts.
    """
    if predicted.shape[0] != recorded.shape[0] + 2 * slack:
        raise ValueError(
            f"{recorded.shape[0]} draws and a slack of {slack} want "
            f"{recorded.shape[0] + 2 * slack} predicted draws, got {predicted.shape[0]}"
        )
    hole = math.log(missing_rate) if missing_rate > 0 else -math.inf
    whole = math.log(1 - missing_rate)
    best, counts = _best_path(recorded, predicted, slack, gain, loss, hole, whole)
    first, stop, shift, matches, compared, missing = (int(count) for count in counts)
    return Alignment(first, stop, shift, matches, compared, missing, float(best))


@compiled
def _best_path(
    recorded: Draws,
    predicted: Draws,
    slack: int,
    gain: float,
    loss: float,
    hole: float,
    whole: float,
) -> tuple[float, Draws]:
    """The best score, and (first, stop, shift, matches, compared, missing) of its path."""
    draws = recorded.shape[0]
    shifts = 2 * slack + 1
    at_edge = -math.log(2.0)
    elsewhere = -math.log(2.0 * draws)
    any_shift = -math.log(float(shifts))
    score = np.full(shifts, -np.inf)
    # Of the path that ends here: first draw, its shift, matches, draws compared.
    trail = np.zeros((shifts, 4), np.int64)
    best = -np.inf
    least = shifts
    won = np.zeros(6, np.int64)
    for draw in range(draws):
        start = (at_edge if draw == 0 else elsewhere) + any_shift
        finish = at_edge if draw == draws - 1 else elsewhere
        # Downward, so that a hole leads on from the draw before, not from this one.
        for shift in range(shifts - 1, -1, -1):
            source = -1
            value = start
            reached = score[shift] + whole
            if draw > 0 and reached > value:
                value, source = reached, shift
            for holes in range(1, shift + 1):
                reached = score[shift - holes] + whole + holes * hole
                if reached > value:
                    value, source = reached, shift - holes
                if whole + holes * hole < -50.0:
                    break
            if source < 0:
                trail[shift, 0] = draw
                trail[shift, 1] = shift
                trail[shift, 2] = 0
                trail[shift, 3] = 0
            elif source != shift:
                for field in range(4):
                    trail[shift, field] = trail[source, field]
            seen = recorded[draw]
            if seen >= 0:
                trail[shift, 3] += 1
                if seen == predicted[draw + shift]:
                    trail[shift, 2] += 1
                    value += gain
                else:
                    value += loss
            if predicted[draw + shift] < 0:
                value = -np.inf
            score[shift] = value
            moved = abs(trail[shift, 1] - slack) + shift - trail[shift, 1]
            behind = best - (value + finish)
            if behind < -_EQUALLY_GOOD or (behind < _EQUALLY_GOOD and moved < least):
                best = value + finish
                least = moved
                won[0] = trail[shift, 0]
                won[1] = draw + 1
                won[2] = trail[shift, 1] - slack
                won[3] = trail[shift, 2]
                won[4] = trail[shift, 3]
                won[5] = shift - trail[shift, 1]
    return best, won
