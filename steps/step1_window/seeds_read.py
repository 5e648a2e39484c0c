"""Say which seed a found state comes from, where that can be known, and else which would do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from steps.forensics.candidates import proven
from steps.forensics.documents import CandidateRecord
from steps.prng.base import Generator
from steps.prng.generators import generator_named
from steps.prng.generators.java import JavaRandom
from steps.prng.mappings import Mapping, mapping_named
from steps.prng.recovery.found import Found
from steps.prng.recovery.seed_behind import (
    SeedBehind,
    bits_of,
    chance_of_seed,
    seed_behind,
    seen_bits,
)

# How far before the first draw a machine may have been seeded, in calls: of java.util.Random, whose
# 48 bits bear it, and of others.
_FURTHEST_JAVA = 100_000
_FURTHEST = 4096


def with_seed(candidate: CandidateRecord, found: Found) -> CandidateRecord:
    """The candidate with seed, seeding, offset and what they are worth, where they are known.

    `offset` is calls from the seeding to draw 0. Of a machine that was seeded after draw 0 it is
    None: seed and seeding then say where the state comes from, and only the state counts. A state
    that is not proven is not read.
    """
    generator = generator_named(candidate.generator)
    mapping = mapping_named(candidate.mapping)
    seen = seen_bits(generator, mapping, candidate.modulus)
    candidate = candidate.model_copy(update={"seen_bits": seen})
    if found.seed is not None and found.seeding is not None and found.offset is not None:
        bits = bits_of(generator) if seen is None else seen
        chance = chance_of_seed(found.seed, found.offset, found.offset, bits)
        return _placed(candidate, SeedBehind(found.seed, found.seeding, found.offset, chance))
    if candidate.state is None or not proven(candidate):
        return candidate
    state = np.array([candidate.state], np.uint64)
    per_call = mapping.outputs_per_draw(generator, candidate.modulus)
    furthest = _FURTHEST_JAVA if isinstance(generator, JavaRandom) else _FURTHEST
    behind = seed_behind(generator, state, per_call, furthest, seen)
    if behind is not None and behind.evidence:
        return _placed(candidate, _counted(behind, generator, mapping, candidate.modulus))
    # Every state is some seed's, and in the middle of a history that is of no use.
    behind = None if candidate.first else seed_behind(generator, state, per_call, 0, seen)
    return candidate if behind is None else _placed(candidate, behind)


def _counted(
    behind: SeedBehind, generator: Generator, mapping: Mapping, modulus: int
) -> SeedBehind:
    """The same with calls as the law counts them: outputs thrown away are none."""
    seeded = generator.seed(np.array([behind.seed], np.uint64), behind.seeding)
    per_call = mapping.outputs_per_draw(generator, modulus)
    outputs, _ = generator.run(seeded, behind.calls * per_call)
    accepted = mapping.accepts(generator, outputs, modulus)
    if accepted is None:
        return behind
    return replace(behind, calls=int(np.count_nonzero(accepted)) // per_call)


def _placed(candidate: CandidateRecord, behind: SeedBehind) -> CandidateRecord:
    """behind: of the state before draw `candidate.first`."""
    offset = behind.calls - candidate.first * (candidate.gap + 1)
    return candidate.model_copy(
        update={
            "seed": behind.seed,
            "seeding": behind.seeding,
            "offset": offset if offset >= 0 else None,
            "seed_known": behind.evidence,
            "seed_chance": behind.chance,
            "seed_calls": behind.calls,
        }
    )
