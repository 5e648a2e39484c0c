"""Count how draws that were predicted meet those on record: all features' counts in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steps.prng.recovery.compiled import compiled

Counts = NDArray[np.int64]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]

# Columns of the counts; matches of each part of a draw come after them.
MATCHES, LONGEST, LATE, SHIFTED, PARTS = 0, 1, 2, 3, 4
# Columns of the sums.
WEIGHTED, WEIGHTED_LANE, MOMENT = 0, 1, 2
SUMS = 3


@compiled
def count_matches(
    predicted: Counts,
    recorded: Counts,
    codes: Codes,
    lane: int,
    late: int,
    weights: Floats,
    times: Floats,
    counts: Counts,
    sums: Floats,
) -> None:
    """Fill counts (n, PARTS + k) and sums (n, SUMS), both zero, for predicted draws
    (n, t or more).

    recorded: (t,), -1 where unread. codes: (M, k), the parts of every draw, each a remainder or a
    digit; two draws match in a part where its codes are equal. lane: which part is the scorer's
    lane, -1 for none. late: from which draw on matches count as late. weights, times: (t,) of the
    draws, for the weighted sums of matches and their moment. A mismatch is shifted where the draw
    before or after is what was recorded.
    """
    draws = recorded.shape[0]
    parts = codes.shape[1]
    for row in range(predicted.shape[0]):
        run = 0
        for draw in range(draws):
            seen = recorded[draw]
            if seen < 0:
                continue
            said = predicted[row, draw]
            if said == seen:
                run += 1
                counts[row, MATCHES] += 1
                counts[row, LONGEST] = max(counts[row, LONGEST], run)
                if draw >= late:
                    counts[row, LATE] += 1
                sums[row, WEIGHTED] += weights[draw]
                sums[row, MOMENT] += times[draw]
            else:
                run = 0
                before = draw > 0 and predicted[row, draw - 1] == seen
                if before or (draw + 1 < draws and predicted[row, draw + 1] == seen):
                    counts[row, SHIFTED] += 1
            for part in range(parts):
                if codes[said, part] == codes[seen, part]:
                    counts[row, PARTS + part] += 1
                    if part == lane:
                        sums[row, WEIGHTED_LANE] += weights[draw]
