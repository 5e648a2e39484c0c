"""Say which seed a found state comes from, where that can be read off it."""

from __future__ import annotations

import numpy as np

from steps.forensics.documents import CandidateRecord
from steps.prng.generators import generator_named
from steps.prng.generators.java import JavaRandom
from steps.prng.mappings import mapping_named
from steps.prng.recovery.found import Found
from steps.prng.recovery.java_seed import seeds_behind

# How far before the first draw a java.util.Random may have been seeded, in outputs; and bits of a
# seed: of a time in milliseconds.
_FURTHEST = 100_000
_SEED_BITS = 41
_STATE_BITS = 48
# A seed as small and as near that is met by chance as often as this is no news.
_NO_NEWS = 1e-5


def with_seed(candidate: CandidateRecord, found: Found) -> CandidateRecord:
    """The candidate with seed, seeding and offset, where they are known.

    `offset` is calls from the seeding to draw 0. Of a machine that was seeded after draw 0 it is
    None: seed and seeding then say where the state comes from, and only the state counts.
    """
    if found.seed is not None and found.seeding is not None and found.offset is not None:
        return _placed(candidate, found.seed, found.seeding, found.offset)
    generator = generator_named(candidate.generator)
    if candidate.state is None or generator.state_words != 1:
        return candidate
    if isinstance(generator, JavaRandom):
        per_call = mapping_named(candidate.mapping).outputs_per_draw(generator, candidate.modulus)
        seeds = [
            ((seed.outputs + 1) * 2.0 ** (seed.seed.bit_length() - _STATE_BITS), seed)
            for seed in seeds_behind(candidate.state[0], _FURTHEST, _SEED_BITS)
            if seed.outputs % per_call == 0
        ]
        chance, nearest = min(seeds, key=lambda pair: pair[0], default=(1.0, None))
        if nearest is not None and chance <= _NO_NEWS:
            return _placed(candidate, nearest.seed, "scramble", nearest.outputs // per_call)
    if candidate.first:
        return candidate  # every state is some seed's, and no news in the middle of a history
    state = np.array([candidate.state], np.uint64)
    for seeding in generator.seedings:
        # A seed that is the state, or its image: java's scramble undoes itself.
        for seeds_tried in (state[:, 0], generator.seed(state[:, 0], seeding)[:, 0]):
            if (generator.seed(seeds_tried, seeding) == state).all():
                return _placed(candidate, int(seeds_tried[0]), seeding, 0)
    return candidate


def _placed(candidate: CandidateRecord, seed: int, seeding: str, calls: int) -> CandidateRecord:
    """calls: from the seeding to draw `candidate.first`."""
    offset = calls - candidate.first * (candidate.gap + 1)
    return candidate.model_copy(
        update={"seed": seed, "seeding": seeding, "offset": offset if offset >= 0 else None}
    )
