"""Draw candidates at random: what a wrong one looks like, beside the few that survived."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from steps.forensics.binomial import log_tails
from steps.forensics.documents import CandidateRecord
from steps.prng.generators import generator_named

# Rows whose target differs from the commonest one, so that every fold has some; and the most rows
# that are made for it.
_VARIED_ROWS = 100
_MOST_CONTROLS = 50_000


def controls_wanted(survivors: int, table_rows: int, trials: int, modulus: int) -> int:
    """How many controls fill a table up: to table_rows, or to as many as make the target vary.

    0 where none survived, or no draw was held back: then there is nothing to learn.
    """
    if survivors == 0 or trials == 0 or table_rows == 0:
        return 0
    tails = np.exp(log_tails(trials, 1 / modulus))
    commonest = float(np.max(tails - np.append(tails[1:], 0.0)))
    rows = max(table_rows, math.ceil(_VARIED_ROWS / (1 - commonest)))
    return max(0, min(rows - survivors, _MOST_CONTROLS))


def draw_controls(
    survivors: Sequence[CandidateRecord], count: int, seed: int
) -> list[CandidateRecord]:
    """Controls, each a survivor drawn at random with another seed, or state, in its place.

    Generator, mapping, gap, offset, stream and size of the search stay the survivor's.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(survivors), count) if count else np.zeros(0, np.int64)
    seeds = rng.integers(0, 1 << 64, count, np.uint64)
    nothing = {"first": 0, "stop": 0, "matches": 0, "compared": 0, "missing": 0, "log_ratio": 0.0}
    controls = []
    for row, drawn in zip(chosen.tolist(), seeds, strict=True):
        survivor = survivors[row]
        if survivor.state is None:
            control = survivor.model_copy(update={**nothing, "seed": int(drawn)})
        else:
            generator = generator_named(survivor.generator)
            state = generator.seed(np.array([drawn]), generator.seedings[0])[0]
            control = survivor.model_copy(update={**nothing, "state": tuple(state.tolist())})
        controls.append(control)
    return controls
